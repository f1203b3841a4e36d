"""ResNet-101 on VOC 2012 test with all of App. B, from COCO: "baseline+++" of Table 11, 83.8 mAP.

Starting weights and test are those of voc07_r101_plus.py; the fine-tuning on 07++12 is that of voc12_r101_from_coco.py.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.appendix_b import *
    from .voc12_r101_from_coco import *

model["head"].update(context=True)
testing = multiscale
init_from = "runs/coco_r101_trainval_context/last.pth"
