"""A plain net of bottlenecks, 101 layers, on ImageNet: a footnote of Sect. 4.1; such nets degrade as well."""

from mmengine.config import read_base

with read_base():
    from ._base_.imagenet import *

net.update(depth=101, shortcut=None)
