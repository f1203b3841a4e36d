"""ResNet-34 with option B on ImageNet: Table 3, 24.52 % top-1 and 7.46 % top-5 error (10-crop).

Table 4, densely at five scales: 21.84, 5.71 (--views dense).
"""

from mmengine.config import read_base

with read_base():
    from ._base_.imagenet import *

net.update(depth=34, shortcut="B")
