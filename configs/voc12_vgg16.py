"""VGG-16 on the PASCAL VOC 2012 test set, trained on 07++12: Table 7, mAP 70.4.

The paper's baseline: voc12_r50.py with the net of voc07_vgg16.py.
"""

from mmengine.config import read_base

from resdet.nets.vgg import VGG

with read_base():
    from .voc12_r50 import *

model["net"] = dict(type=VGG, depth=16, num_classes=None)
model["head"].update(bins=7)
init_from = "VGG16_Weights.IMAGENET1K_V1"
