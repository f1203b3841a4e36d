"""The detector of coco_r101.py fine-tuned on voc12_r101.py's data, as in voc07_r101_from_coco.py.

Part of the paper's "+++" row (Table 11), which has App. B's improvements too: voc12_r101_plus.py.
"""

from mmengine.config import read_base

from resdet.engine.schedule import MultiStep

with read_base():
    from .voc12_r101 import *

model["rpn"].update(scales=(64, 128, 256, 512))
schedule = dict(type=MultiStep, steps=55_000, milestones=(40_000,), reference_images=2)
init_from = "runs/coco_r101/last.pth"
