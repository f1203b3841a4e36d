"""The four-step training as the paper ran it on COCO with eight GPUs: RPN steps of 8 images, Fast R-CNN steps of 16.

Both 240k at .001 and 80k at .0001. A config that imports this sets schedule = None and the head's 64 regions.
"""

from mmengine.config import read_base

with read_base():
    from .alternating import *

alternating["rpn"].update(images=8, reference_images=8)
alternating["rpn"]["schedule"].update(steps=320_000, milestones=(240_000,), reference_images=8)
alternating["head"].update(images=16, reference_images=16)
alternating["head"]["schedule"].update(steps=320_000, milestones=(240_000,), reference_images=16)
