"""Plain-34 on ImageNet: Tables 2 and 3, 28.54 % top-1 and 10.02 % top-5 error (10-crop)."""

from mmengine.config import read_base

with read_base():
    from ._base_.imagenet import *

net.update(depth=34, shortcut=None)
