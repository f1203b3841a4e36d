"""Fine-tuning in four alternating steps from a detector trained on COCO ("baseline+++" of Tables 10 and 11).

The paper does not give its schedule: half of alternating.py's steps is our choice.
"""

from mmengine.config import read_base

with read_base():
    from .alternating import *

alternating["rpn"]["schedule"].update(steps=40_000, milestones=(30_000,))
alternating["head"]["schedule"].update(steps=30_000, milestones=(15_000,))
