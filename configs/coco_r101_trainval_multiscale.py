"""coco_r101_trainval_context.py's detector at five scales: Table 9, mAP@.5 55.7, mAP@[.5,.95] 34.9 on test-dev.

With several --checkpoint, also of different depths, this is the paper's ensemble: 59.0 and 37.4, first place of COCO
2015.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.appendix_b import *
    from .coco_r101_trainval_context import *

testing = multiscale
