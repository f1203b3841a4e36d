"""ResNet-110 on CIFAR-10: Table 6, 6.43 % error (6.61 +- 0.16 over five runs); begins at a rate of .01."""

from mmengine.config import read_base

from resdet.engine.schedule import WarmUntil

with read_base():
    from ._base_.cifar10 import *

net.update(depth=110)
schedule = dict(type=WarmUntil, schedule=schedule, figure="top1_error", below=80)
