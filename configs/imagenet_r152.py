"""ResNet-152 on ImageNet: Table 3, 21.43 % top-1 and 5.71 % top-5 error (10-crop).

Table 4, densely at five scales: 19.38, 4.49 (--views dense).
"""

from mmengine.config import read_base

with read_base():
    from ._base_.imagenet import *

net.update(depth=152)
