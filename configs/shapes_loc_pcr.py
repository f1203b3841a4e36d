"""The baseline for shapes_loc: one box per class regressed from the whole crop, in half a minute. Not in the paper."""

from mmengine.config import read_base

from resdet.localization.crop_regression import CropRegression
from resdet.nets.resnet import ResNet

with read_base():
    from .shapes_loc import *

model = dict(type=CropRegression, net=dict(type=ResNet, depth=18, num_classes=None, width=0.25), num_classes=8)
schedule = dict(type=Cosine, steps=200, warmup=20)
