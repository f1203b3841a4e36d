"""Settings of the authors' Caffe files that the paper does not mention, for optimizer.update(**caffe_optimizer).

Biases learn at twice the rate and without decay (lr_mult: 2, decay_mult: 0 of their prototxt files). Off in the configs
of the tables. py-faster-rcnn also drops proposals with a side under 16 pixels of the network's input: in pixels of an
image whose short side of 375 is resized to 600, as model.rpn.min_size is, under 10.
"""

caffe_optimizer = dict(double_bias_lr=True)
