"""Plain-34 on ImageNet trained three times as long: a footnote of Sect. 4.1; it is still worse than ResNet-34."""

from mmengine.config import read_base

with read_base():
    from .imagenet_plain34 import *

schedule.update(steps=1_800_000, milestones=(450_000, 900_000, 1_350_000))
