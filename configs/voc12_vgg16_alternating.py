"""VGG-16 on the PASCAL VOC 2012 test set, trained on 07++12 in four alternating steps: Table 7, mAP 70.4.

voc12_r101_alternating.py's schedules with the net of voc12_vgg16.py.
"""

from mmengine.config import read_base

from resdet.nets.vgg import VGG

with read_base():
    from .voc12_r101_alternating import *

model["net"] = dict(type=VGG, depth=16, num_classes=None)
model["head"].update(bins=7)
init_from = "VGG16_Weights.IMAGENET1K_V1"
