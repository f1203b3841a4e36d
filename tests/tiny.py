"""Sets of a few small images, and the configs of small nets that train on them in a second."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

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
from resdet.data.localization.crops import CenterLocalizationCrop, LocalizationCrop
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
    train_view=dict(type=LocalizationCrop, size=32), test_view=dict(type=CenterLocalizationCrop, size=32),
    images=4, workers=0, scales=(224, 448),
)
optimizer = dict(lr=0.1, reference_images=64)
schedule = dict(type=MultiStep, steps=6, milestones=(4,))
loop = dict(log_every=2, checkpoint_every=2)
ghost_batch = None
"""


def write_voc(root: Path, sets: dict[str, dict[str, list[tuple]]], year: str = "tiny") -> Path:
    """A VOC folder. sets: of each image set, of each image the objects (class, xmin, ymin, xmax, ymax[, difficult])."""
    folder = root / f"VOC{year}"
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for image_set, images in sets.items():
        (folder / "ImageSets/Main" / f"{image_set}.txt").write_text("".join(f"{i}\n" for i in images))
        for image_id, objects in images.items():
            xml = "".join(
                f"<object><name>{name}</name><difficult>{int(bool(difficult))}</difficult><bndbox><xmin>{x1}</xmin>"
                f"<ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
                for name, x1, y1, x2, y2, *difficult in objects
            )
            size = "<size><width>100</width><height>80</height><depth>3</depth></size>"
            (folder / "Annotations" / f"{image_id}.xml").write_text(f"<annotation>{size}{xml}</annotation>")
            pixels = random.integers(0, 256, (80, 100, 3)).astype(np.uint8)
            cv2.imwrite(str(folder / "JPEGImages" / f"{image_id}.jpg"), pixels)
    return folder


def write_class_folders(root: Path) -> Path:
    """ROOT/{train,val}/{dark,light}: 8 and 4 noisy images of 48x40 a class, one class darker than the other."""
    random = np.random.default_rng(0)
    for image_set, count in (("train", 8), ("val", 4)):
        for name, level in (("dark", 40), ("light", 180)):
            folder = root / image_set / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = random.integers(level, level + 60, (40, 48, 3)).astype(np.uint8)
                cv2.imwrite(str(folder / f"{i}.png"), pixels)
    return root


def write_cls_loc(root: Path, train: int = 12, val: int = 7) -> Path:
    """ImageNet's layout with boxes: two classes, a bright object in each dark image; the first of train has no box."""
    random = np.random.default_rng(0)
    lists = root / "ILSVRC/ImageSets/CLS-LOC"
    lists.mkdir(parents=True)
    (root / "LOC_synset_mapping.txt").write_text("n01 ant, Formica\nn02 bee\n")
    (root / "map_clsloc.txt").write_text("n02 1 bee\nn01 2 ant\n")  # ILSVRC's numbers have another order
    for image_set, count in (("train", train), ("val", val)):
        names, rows = [], []
        for i in range(count):
            wnid = f"n0{i % 2 + 1}"
            stem = f"{wnid}_{i}" if image_set == "train" else f"ILSVRC2012_val_{i + 1:08}"
            names.append(f"{wnid}/{stem}" if image_set == "train" else stem)
            height, width = ((40, 60), (60, 40))[i % 3 == 0]
            x1, y1 = random.integers(0, (width - 25, height - 25)).tolist()
            x2, y2 = x1 + int(random.integers(15, 25)), y1 + int(random.integers(15, 25))
            pixels = random.integers(0, 90, (height, width, 3)).astype(np.uint8)
            pixels[y1 : y2 + 1, x1 : x2 + 1, i % 2] += 150
            path = root / f"ILSVRC/Data/CLS-LOC/{image_set}/{names[-1]}.JPEG"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), pixels)
            if image_set == "val" or i:
                rows.append(f"{stem},{wnid} {x1} {y1} {x2} {y2} \n")
        listed = "".join(f"{name} {i}\n" for i, name in enumerate(names, 1))
        (lists / ("train_cls.txt" if image_set == "train" else "val.txt")).write_text(listed)
        (root / f"LOC_{image_set}_solution.csv").write_text("ImageId,PredictionString\n" + "".join(reversed(rows)))
    return root


def write_localizer_config(path: Path, root: Path) -> Path:
    """A per-class RPN on an eighth of ResNet-18's width, for the images of `root`."""
    path.write_text(LOCALIZER.format(root=str(root)))
    return path


def write_classifier_config(path: Path, root: Path) -> Path:
    """An eighth of ResNet-18's width on the folders of `root`: many steps a second."""
    path.write_text(CLASSIFIER.format(root=str(root)))
    return path


def write_detector_config(folder: Path) -> Path:
    """Three images for training, two for testing, in FOLDER/devkit, and FOLDER/tiny_det.py."""
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
