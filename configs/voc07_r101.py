"""ResNet-101 on the PASCAL VOC 2007 test set, trained on 07+12 trainval: Table 7, mAP 76.4.

VGG-16 has 73.2 there. Public code: jwyang's Faster R-CNN has 75.2 with ResNet-101 trained on VOC 2007 alone.
"""

from mmengine.config import read_base

with read_base():
    from .voc07_r50 import *

model["net"].update(depth=101)
init_from = "data/weights/R-101.pkl"
