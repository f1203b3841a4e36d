"""What the authors' Caffe files have and the paper does not say, for optimizer.update(**caffe_optimizer) and the RPN.

Biases learn at twice the rate and without decay (lr_mult: 2, decay_mult: 0 of their prototxt files); py-faster-rcnn
drops proposals with a side under 16 pixels of the network's input. Off in the configs of the tables.
"""

caffe_optimizer = dict(double_bias_lr=True)
