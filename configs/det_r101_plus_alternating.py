"""det_r101_plus.py in four alternating steps, with coco_r101_alternating.py's schedules: Table 12, 60.5 mAP on val2."""

from mmengine.config import read_base

with read_base():
    from ._base_.alternating_coco import *
    from .det_r101_plus import *

model["head"].update(regions=64)
schedule = None
