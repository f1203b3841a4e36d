"""ResNet-50 on ImageNet: Table 3, 22.85 % top-1 and 6.71 % top-5 error (10-crop).

Table 4, densely at five scales: 20.74, 5.25 (--views dense).
"""

from mmengine.config import read_base

with read_base():
    from ._base_.imagenet import *

net.update(depth=50)
