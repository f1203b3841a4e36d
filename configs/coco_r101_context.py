"""ResNet-101 with global context and box refinement: Table 9, mAP@.5 51.1, mAP@[.5,.95] 30.0 on COCO val.

Trained end to end as coco_r101.py. With --init-from a detector without context, training starts from its predictions:
the weights for the image's vector are zero.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.appendix_b import *
    from .coco_r101 import *

model["head"].update(context=True)
testing = refined
