"""Networks (Sect. 3) and their layers.

- `backbone`: what the rest of resdet asks of a net
- `resnet`, `cifar_resnet`, `vgg`: the nets; `blocks`: what residual nets are made of
- `preprocess`: from uint8 images to the input of conv1
- `frozen_bn`, `frozen_stages`: layers that are not trained
- `ghost_bn`, `precise_bn`: statistics of batch normalization
- `holes`: a finer feature map from the same weights
- `complexity`: parameters and multiply-adds
"""
