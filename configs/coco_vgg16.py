"""VGG-16 on COCO val, trained on COCO train: Table 8, mAP@.5 41.5, mAP@[.5,.95] 21.2.

The paper's baseline: coco_r101.py with the net of voc07_vgg16.py.
"""

from mmengine.config import read_base

from resdet.nets.vgg import VGG

with read_base():
    from .coco_r101 import *

model["net"] = dict(type=VGG, depth=16, num_classes=None)
model["head"].update(bins=7)
init_from = "VGG16_Weights.IMAGENET1K_V1"
