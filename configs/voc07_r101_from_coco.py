"""The detector of coco_r101.py fine-tuned on VOC: voc07_r101.py's data with COCO's anchors, so that its RPN is kept.

Part of the paper's "+++" row (Table 10), which has App. B's improvements too: voc07_r101_plus.py. Their schedule is not
given; half of the one from ImageNet is our choice. The head's two output layers are new, because the classes differ;
all other weights are kept.
"""

from mmengine.config import read_base

from resdet.engine.schedule import MultiStep

with read_base():
    from .voc07_r101 import *

model["rpn"].update(scales=(64, 128, 256, 512))
schedule = dict(type=MultiStep, steps=40_000, milestones=(30_000,), reference_images=2)
init_from = "runs/coco_r101/last.pth"
