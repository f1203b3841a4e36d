"""The baseline for tiny_imagenet50_loc_r18: one box per class regressed from the whole crop. Not in the paper."""

from mmengine.config import read_base

from resdet.localization.crop_regression import CropRegression
from resdet.nets.resnet import ResNet

with read_base():
    from .tiny_imagenet50_loc_r18 import *

model = dict(type=CropRegression, net=dict(type=ResNet, depth=18, num_classes=None), num_classes=50)
