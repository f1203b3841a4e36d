"""ResNet-101 on the PASCAL VOC 2012 test set, trained on 07++12 in four alternating steps: Table 7, mAP 73.8.

The authors' schedules: RPN steps of one image, 60k at .001 and 20k at .0001; Fast R-CNN steps of two images with 64
regions each, 40k of 100k before the rate is divided by ten. See voc12_r101.py for joint training.
"""

from mmengine.config import read_base

from resdet.engine.schedule import MultiStep

with read_base():
    from .voc12_r101 import *

model["head"].update(regions=64)
schedule = None
alternating = dict(
    rpn=dict(images=1, reference_images=1, schedule=dict(type=MultiStep, steps=80_000, milestones=(60_000,))),
    head=dict(images=2, reference_images=2, schedule=dict(type=MultiStep, steps=100_000, milestones=(40_000,))),
)
loop.update(validate_every=0)
