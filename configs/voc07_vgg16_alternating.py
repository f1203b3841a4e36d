"""VGG-16 on the PASCAL VOC 2007 test set, trained on 07+12 trainval in four alternating steps: Table 7, mAP 73.2.

voc07_r101_alternating.py's schedules with the net of voc07_vgg16.py.
"""

from mmengine.config import read_base

from resdet.nets.vgg import VGG

with read_base():
    from .voc07_r101_alternating import *

model["net"] = dict(type=VGG, depth=16, num_classes=None)
model["head"].update(bins=7)
init_from = "VGG16_Weights.IMAGENET1K_V1"
