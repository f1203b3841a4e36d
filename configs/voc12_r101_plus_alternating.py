"""voc12_r101_plus.py fine-tuned in four alternating steps: "baseline+++" of Table 11, 83.8 mAP.

The RPN and Fast R-CNN are trained for half the steps of voc12_r101_alternating.py.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.alternating_fine_tuning import *
    from .voc12_r101_plus import *

model["head"].update(regions=64)
schedule = None
alternating["head"]["schedule"].update(steps=50_000, milestones=(20_000,))
loop.update(validate_every=0)
