"""A plain net of bottlenecks, 50 layers, on ImageNet: a footnote of Sect. 4.1; such nets degrade as well.

For deeper ones add --cfg-options net.depth=101 or 152.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.imagenet import *

net.update(depth=50, shortcut=None)
