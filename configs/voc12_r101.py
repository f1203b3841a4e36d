"""ResNet-101 on the PASCAL VOC 2012 test set, trained on 07++12: Table 7, mAP 73.8 (VGG-16: 70.4). See voc12_r50.py."""

from mmengine.config import read_base

with read_base():
    from .voc12_r50 import *

model["net"].update(depth=101)
init_from = "data/weights/R-101.pkl"
