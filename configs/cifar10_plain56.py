"""Plain-56 on CIFAR-10: Fig. 6, left."""

from mmengine.config import read_base

with read_base():
    from ._base_.cifar10 import *

net.update(depth=56, shortcut=None)
