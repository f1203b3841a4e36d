"""ResNet-1202 on CIFAR-10: Table 6, 7.93 % error."""

from mmengine.config import read_base

with read_base():
    from .cifar10_r110 import *

net.update(depth=1202)
