"""voc07_r101_plus.py fine-tuned in four alternating steps: "baseline+++" of Table 10, 85.6 mAP.

The paper does not give the fine-tuning's schedule: half of voc07_r101_alternating.py's is our choice.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.alternating import *
    from .voc07_r101_plus import *

model["head"].update(regions=64)
schedule = None
alternating["rpn"]["schedule"].update(steps=40_000, milestones=(30_000,))
alternating["head"]["schedule"].update(steps=30_000, milestones=(15_000,))
loop.update(validate_every=0)
