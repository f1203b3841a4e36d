"""voc12_r101_plus.py fine-tuned in four alternating steps: "baseline+++" of Table 11, 83.8 mAP.

The paper does not give the fine-tuning's schedule: half of voc12_r101_alternating.py's is our choice.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.alternating import *
    from .voc12_r101_plus import *

model["head"].update(regions=64)
schedule = None
alternating["rpn"]["schedule"].update(steps=40_000, milestones=(30_000,))
alternating["head"]["schedule"].update(steps=50_000, milestones=(20_000,))
loop.update(validate_every=0)
