"""coco_r101_context.py trained on COCO train+val: Table 9, mAP@.5 53.3, mAP@[.5,.95] 32.2 on test-dev.

The annotations of test-dev are not public: --write-results of eval-coco writes the file for COCO's server.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.appendix_b import *
    from .coco_r101_trainval import *

model["head"].update(context=True)
testing = refined
