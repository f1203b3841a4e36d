"""coco_r101.py's detector with box refinement: Table 9, mAP@.5 49.9, mAP@[.5,.95] 29.9 on COCO val.

No further training: resdet eval-coco coco_r101_refined --checkpoint runs/coco_r101/last.pth
"""

from mmengine.config import read_base

with read_base():
    from ._base_.appendix_b import *
    from .coco_r101 import *

testing = refined
