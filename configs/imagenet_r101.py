"""ResNet-101 on ImageNet: Table 3, 21.75 % top-1 and 6.05 % top-5 error (10-crop).

Table 4, densely at five scales: 19.87, 4.60 (--views dense).
"""

from mmengine.config import read_base

with read_base():
    from ._base_.imagenet import *

net.update(depth=101)
