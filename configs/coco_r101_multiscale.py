"""coco_r101_context.py's detector at five scales: Table 9, mAP@.5 53.8, mAP@[.5,.95] 32.5 on COCO val.

No further training: resdet eval-coco coco_r101_multiscale --checkpoint runs/coco_r101_context/last.pth
"""

from mmengine.config import read_base

with read_base():
    from ._base_.appendix_b import *
    from .coco_r101_context import *

testing = multiscale
