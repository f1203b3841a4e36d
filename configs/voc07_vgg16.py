"""VGG-16 on the PASCAL VOC 2007 test set, trained on 07+12 trainval: Table 7, mAP 73.2.

The paper's baseline; see voc07_r50.py. The 13 convolutions are shared; fc6 and fc7 are the region head, after
RoI pooling to 7x7.
"""

from mmengine.config import read_base

from resdet.nets.vgg import VGG

with read_base():
    from .voc07_r50 import *

model["net"] = dict(type=VGG, depth=16, num_classes=None)
model["head"].update(bins=7)
init_from = "VGG16_Weights.IMAGENET1K_V1"
