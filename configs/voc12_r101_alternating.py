"""ResNet-101 on the PASCAL VOC 2012 test set, trained on 07++12 in four alternating steps: Table 7, mAP 73.8.

The authors' schedules: the RPN's as on VOC 2007, Fast R-CNN's 100k steps, 40k before the rate is divided by ten.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.alternating import *
    from .voc12_r101 import *

model["head"].update(regions=64)
schedule = None
alternating["head"]["schedule"].update(steps=100_000, milestones=(40_000,))
loop.update(validate_every=0)
