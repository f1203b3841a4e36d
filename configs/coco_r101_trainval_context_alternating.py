"""coco_r101_trainval_context.py in four alternating steps: Table 9, mAP@.5 53.3, mAP@[.5,.95] 32.2 on test-dev.

At five scales it is the checkpoint of coco_r101_trainval_multiscale.py.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.alternating_coco import *
    from .coco_r101_trainval_context import *

model["head"].update(regions=64)
schedule = None
