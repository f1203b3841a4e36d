"""ResNet-101 on COCO val, trained on COCO train in four alternating steps: Table 8, mAP@.5 48.4, mAP@[.5,.95] 27.2.

The paper's schedules for eight GPUs: RPN steps of 8 images, Fast R-CNN steps of 16, both 240k at .001 and 80k at .0001.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.alternating_coco import *
    from .coco_r101 import *

model["head"].update(regions=64)
schedule = None
