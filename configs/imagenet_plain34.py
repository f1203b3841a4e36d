"""Plain-34 on ImageNet: Table 2, 28.54 % top-1 error (10-crop)."""

from mmengine.config import read_base

with read_base():
    from ._base_.imagenet import *

net.update(depth=34, shortcut=None)
