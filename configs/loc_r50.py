"""The per-class RPN on ResNet-50 (App. C). Not in the paper, which uses 101 and 152 layers."""

from mmengine.config import read_base

with read_base():
    from .loc_r101 import *

model["net"].update(depth=50)
init_from = "runs/imagenet_r50/last.pth"
