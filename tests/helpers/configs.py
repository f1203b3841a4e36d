"""Configs of small nets that train on a few images within a second."""

from __future__ import annotations

from pathlib import Path

from helpers.datasets import write_voc

CLASSIFIER = """
from resdet.data.classification.imagenet import ImageNetDataset
from resdet.data.transforms import CenterCrop, TrainCrop
from resdet.engine.schedule import MultiStep
from resdet.nets.resnet import ResNet

net = dict(type=ResNet, depth=18, num_classes=2, width=0.125)
data = dict(
    train=dict(type=ImageNetDataset, root={root!r}, image_set="train"),
    test=dict(type=ImageNetDataset, root={root!r}, image_set="val"),
    train_view=dict(type=TrainCrop, size=32), test_view=dict(type=CenterCrop, size=32), images=4, workers=0,
)
optimizer = dict(lr=0.1, reference_images=64)
schedule = dict(type=MultiStep, steps=6, milestones=(4,))
loop = dict(log_every=2, checkpoint_every=2)
ghost_batch = None
precise_bn = dict(images=12)
"""

DETECTOR = """
from albumentations import HorizontalFlip

from resdet.data.transforms import Resizer
from resdet.data.detection.voc import VOCDataset
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.detection.roi_head import HeadSettings
from resdet.detection.rpn import RPNSettings
from resdet.engine.schedule import MultiStep
from resdet.nets.resnet import ResNet

CLASSES = ("apple", "pear")
model = dict(
    type=FasterRCNN, num_classes=2, frozen_stages=0,
    net=dict(type=ResNet, depth=18, num_classes=None, width=0.125),
    rpn=dict(type=RPNSettings, hidden=8, scales=(16, 32), train_post_nms=50, test_post_nms=20),
    head=dict(type=HeadSettings, regions=16, score_floor=0.05),
)
data = dict(
    train=dict(type=VOCDataset, root={root!r}, splits=[("tiny", "trainval")], classes=CLASSES),
    test=dict(type=VOCDataset, root={root!r}, splits=[("tiny", "test")], classes=CLASSES),
    augment=[dict(type=HorizontalFlip, p=0.5)], resizer=dict(type=Resizer, short=64, long=100),
    images=2, test_images=1, workers=0, method="area",
)
optimizer = dict(lr=0.001, reference_images=2)
schedule = dict(type=MultiStep, steps=4)
loop = dict(log_every=1, checkpoint_every=2)
"""

LOCALIZER = """
from resdet.data.localization.dataset import LocalizationDataset
from resdet.data.localization.crops import CenterCropWithBoxes, TrainCropWithBoxes
from resdet.engine.schedule import MultiStep
from resdet.localization.class_rpn import ClassRPN, ClassRPNSettings
from resdet.localization.crop_regression import CropRegression
from resdet.nets.resnet import ResNet

NET = dict(type=ResNet, depth=18, num_classes=None, width=0.125)
model = dict(type=ClassRPN, net=NET, num_classes=2, settings=dict(
    type=ClassRPNSettings, stage="conv4", scales=(8, 16, 32)
))
data = dict(
    train=dict(type=LocalizationDataset, root={root!r}, image_set="train", with_boxes=True),
    test=dict(type=LocalizationDataset, root={root!r}, image_set="val"),
    train_view=dict(type=TrainCropWithBoxes, size=32), test_view=dict(type=CenterCropWithBoxes, size=32),
    images=4, workers=0, scales=(224, 448),
)
optimizer = dict(lr=0.1, reference_images=64)
schedule = dict(type=MultiStep, steps=6, milestones=(4,))
loop = dict(log_every=2, checkpoint_every=2)
ghost_batch = None
"""


def write_classifier_config(path: Path, root: Path) -> Path:
    """Config of a ResNet-18 of 1/8 width on the class folders in `root`: many steps per second."""
    path.write_text(CLASSIFIER.format(root=str(root)))
    return path


def write_detector_config(folder: Path) -> Path:
    """Write FOLDER/devkit with three images for training and two for testing, and the config FOLDER/tiny_det.py."""
    write_voc(
        folder / "devkit",
        {
            "trainval": {
                "a": [("apple", 10, 10, 40, 50), ("pear", 50, 20, 90, 70)],
                "b": [],
                "c": [("pear", 1, 1, 100, 80)],
            },
            "test": {"d": [("apple", 20, 20, 60, 60)], "e": [("pear", 30, 5, 70, 75), ("apple", 1, 1, 20, 20, True)]},
        },
    )
    path = folder / "tiny_det.py"
    path.write_text(DETECTOR.format(root=str(folder / "devkit")))
    return path


def write_localizer_config(path: Path, root: Path) -> Path:
    """Config of a per-class RPN on ResNet-18 of 1/8 width, for the images in `root`."""
    path.write_text(LOCALIZER.format(root=str(root)))
    return path
