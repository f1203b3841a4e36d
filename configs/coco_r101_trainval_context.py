"""coco_r101_context.py trained on COCO train+val: Table 9, mAP@.5 53.3, mAP@[.5,.95] 32.2 on test-dev.

The answers of test-dev are on COCO's server: --write-results of eval-coco writes its file.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.appendix_b import *
    from .coco_r101_trainval import *

model["head"].update(context=True)
testing = refined
