"""VGG-16 on ImageNet, to be tested like the ResNets: Table 3, 28.07 % top-1 and 9.33 % top-5 error (10-crop).

python tools/eval_cls.py imagenet_vgg16 --checkpoint VGG16_Weights.IMAGENET1K_V1 --views ten-crop
"""

from mmengine.config import read_base

from resdet.nets.vgg import VGG

with read_base():
    from ._base_.imagenet import *

net = dict(type=VGG, depth=16)
ghost_batch = None  # VGG has no BN
precise_bn = dict(images=0)
