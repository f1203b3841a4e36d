"""tiny_imagenet50_loc_r18 on ResNet-101, for a GPU. Not in the paper.

Its classifier: python tools/train_cls.py tiny_imagenet50_r18 --work-dir runs/tiny_imagenet50_r101 --cfg-options
net.depth=101. Its R-CNN stage: tiny_imagenet50_loc_r18_rcnn with --cfg-options model.net.depth=101.
"""

from mmengine.config import read_base

with read_base():
    from .tiny_imagenet50_loc_r18 import *

model["net"].update(depth=101)
init_from = "runs/tiny_imagenet50_r101/last.pth"
