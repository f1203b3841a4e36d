""" "baseline+++", ResNet-101 on VOC 2012 test: Table 11, 83.8 mAP. COCO, then 07++12, with all of App. B.

voc12_r101_from_coco.py's fine-tuning of a detector with global context; tested with box refinement at five scales.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.appendix_b import *
    from .voc12_r101_from_coco import *

model["head"].update(context=True)
testing = multiscale
init_from = "runs/coco_r101_context/last.pth"
