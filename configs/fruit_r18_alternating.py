"""fruit_r18.py's photographs and settings in four-step alternating training, with as many steps for each loss.

The learning rates are those of fruit_r18.py for two images per step.
"""

from mmengine.config import read_base

from resdet.engine.schedule import MultiStep

with read_base():
    from .fruit_r18 import *

schedule = None
alternating = dict(
    rpn=dict(images=2, reference_images=2, schedule=dict(type=MultiStep, steps=1200, milestones=(840,), warmup=100)),
    head=dict(images=2, reference_images=2, schedule=dict(type=MultiStep, steps=1200, milestones=(840,), warmup=100)),
)
loop.update(validate_every=0)
