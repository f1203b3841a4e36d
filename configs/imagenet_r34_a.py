"""ResNet-34 with option A on ImageNet: Tables 2 and 3, 25.03 % top-1 and 7.76 % top-5 error (10-crop)."""

from mmengine.config import read_base

with read_base():
    from ._base_.imagenet import *

net.update(depth=34, shortcut="A")
