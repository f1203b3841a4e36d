"""voc12_r101_plus.py fine-tuned in four alternating steps: "baseline+++" of Table 11, 83.8 mAP.

Fast R-CNN's steps, too, are half of voc12_r101_alternating.py's.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.alternating_fine_tuning import *
    from .voc12_r101_plus import *

model["head"].update(regions=64)
schedule = None
alternating["head"]["schedule"].update(steps=50_000, milestones=(20_000,))
loop.update(validate_every=0)
