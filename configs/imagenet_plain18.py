"""Plain-18 on ImageNet: Table 2, 27.94 % top-1 error (10-crop)."""

from mmengine.config import read_base

with read_base():
    from ._base_.imagenet import *

net.update(depth=18, shortcut=None)
