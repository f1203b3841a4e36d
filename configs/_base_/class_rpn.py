"""The per-class RPN (App. C) trained on images with boxes in ILSVRC's CLS-LOC layout, with the crops of classification.

A config that imports this sets the root of data.train and data.test, the net's depth and the number of classes.
"""

from mmengine.config import read_base

from resdet.data.localization.crops import CenterCropWithBoxes, TrainCropWithBoxes
from resdet.data.localization.dataset import LocalizationDataset
from resdet.localization.class_rpn import ClassRPN, ClassRPNSettings
from resdet.nets.resnet import ResNet

with read_base():
    from .localization import *

model = dict(type=ClassRPN, net=dict(type=ResNet, num_classes=None), settings=dict(type=ClassRPNSettings))
data = dict(
    train=dict(type=LocalizationDataset, image_set="train", with_boxes=True),
    test=dict(type=LocalizationDataset, image_set="val"),
    train_view=dict(type=TrainCropWithBoxes, size=224, short_side=(256, 480)),
    test_view=dict(type=CenterCropWithBoxes, size=224, short=256),
    images=256,
    workers=8,
)
