"""ResNet-56 on CIFAR-10: Table 6, 6.97 % error."""

from mmengine.config import read_base

with read_base():
    from ._base_.cifar10 import *

net.update(depth=56)
