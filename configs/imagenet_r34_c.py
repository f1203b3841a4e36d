"""ResNet-34 with option C on ImageNet: Table 3, 24.19 % top-1 and 7.40 % top-5 error (10-crop).

Table 4, densely at five scales: 21.53, 5.60 (--views dense).
"""

from mmengine.config import read_base

with read_base():
    from ._base_.imagenet import *

net.update(depth=34, shortcut="C")
