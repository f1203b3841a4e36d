"""coco_r101_context.py in four alternating steps, as the paper trained it: Table 9, mAP@.5 51.1, mAP@[.5,.95] 30.0.

At five scales: resdet eval-coco coco_r101_multiscale --checkpoint runs/coco_r101_context_alternating/last.pth
"""

from mmengine.config import read_base

with read_base():
    from ._base_.appendix_b import *
    from .coco_r101_alternating import *

model["head"].update(context=True)
testing = refined
