"""ResNet-101 on the PASCAL VOC 2007 test set, trained on 07+12 trainval in four alternating steps: Table 7, mAP 76.4.

voc07_r101.py trains both parts jointly.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.alternating import *
    from .voc07_r101 import *

model["head"].update(regions=64)
schedule = None
loop.update(validate_every=0)
