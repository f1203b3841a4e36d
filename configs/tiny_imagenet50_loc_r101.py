"""tiny_imagenet50_loc_r50.py with ResNet-101, for a GPU. In its commands, replace 50 by 101. Not in the paper."""

from mmengine.config import read_base

with read_base():
    from .tiny_imagenet50_loc_r18 import *

model["net"].update(depth=101)
init_from = "runs/tiny_imagenet50_r101/last.pth"
