"""ResNet-101 on VOC 2007 test with all of App. B, from COCO: "baseline+++" of Table 10, 85.6 mAP.

Fine-tuned on 07+12 as in voc07_r101_from_coco.py, from the paper's single model for COCO:
coco_r101_trainval_context.py, with global context, trained on train+val. Tested with box refinement at five scales.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.appendix_b import *
    from .voc07_r101_from_coco import *

model["head"].update(context=True)
testing = multiscale
init_from = "runs/coco_r101_trainval_context/last.pth"
