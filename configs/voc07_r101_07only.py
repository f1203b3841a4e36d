"""ResNet-101 on the PASCAL VOC 2007 test set, trained on 07 trainval alone. Not in the paper, but the usual comparison.

Public code: jwyang's Faster R-CNN has 75.2 mAP. 40k steps of two images, the rate divided by ten at 30k, as in the
authors' files for Fast R-CNN on 07.
"""

from mmengine.config import read_base

from resdet.data.detection.voc import VOCDataset
from resdet.engine.schedule import MultiStep

with read_base():
    from .voc07_r101 import *

data["train"] = dict(type=VOCDataset, root=ROOT, splits=[("2007", "trainval")], keep_difficult=False)
schedule = dict(type=MultiStep, steps=40_000, milestones=(30_000,), reference_images=2)
