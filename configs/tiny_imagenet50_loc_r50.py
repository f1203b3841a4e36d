"""tiny_imagenet50_loc_r18 on ResNet-50, for a GPU. Not in the paper.

These commands train its classifier, then the RPN and the R-CNN stage:
resdet train-cls tiny_imagenet50_r18 --work-dir runs/tiny_imagenet50_r50 --cfg-options net.depth=50
resdet train-loc tiny_imagenet50_loc_r18_rcnn --init-from runs/tiny_imagenet50_r50/last.pth \\
    --cfg-options model.net.depth=50
"""

from mmengine.config import read_base

with read_base():
    from .tiny_imagenet50_loc_r18 import *

model["net"].update(depth=50)
init_from = "runs/tiny_imagenet50_r50/last.pth"
