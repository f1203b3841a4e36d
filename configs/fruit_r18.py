"""One's own data in VOC layout: ResNet-18 on 240 photographs of fruit (apple, banana, orange), short side 400.

Copy this file, change ROOT, the year and the classes. Start from a trunk:
python tools/train_det.py configs/fruit_r18.py --init-from runs/tiny_imagenet50_r18/last.pth
"""

from mmengine.config import read_base

from resdet.data.transforms import Resizer
from resdet.data.detection.voc import VOCDataset
from resdet.engine.schedule import MultiStep

with read_base():
    from ._base_.faster_rcnn import *

ROOT = "data/VOCdevkit"
CLASSES = ("apple", "banana", "orange")
model.update(num_classes=len(CLASSES))
model["net"].update(depth=18)
# Anchors as large as the image cross its border: keep them, or nothing learns the close-ups.
model["rpn"].update(
    hidden=256,
    scales=(64, 128, 256, 512),
    keep_border=True,
    train_pre_nms=2000,
    train_post_nms=500,
    test_pre_nms=2000,
    test_post_nms=100,
)
# The trunk was trained on crops of 112 pixels, of which conv5 read 7x7. Regions that hardly touch an object teach the
# head little: background begins at an IoU of .1. Fruit lies in bunches: NMS at .3 takes neighbours away.
model["head"].update(
    pooling="align", bins=7, regions=40, foreground_fraction=0.4, background_iou=0.1, beta=1 / 9, nms_iou=0.5
)
data.update(
    train=dict(type=VOCDataset, root=ROOT, splits=[("fruit", "trainval")], classes=CLASSES, keep_difficult=False),
    test=dict(type=VOCDataset, root=ROOT, splits=[("fruit", "test")], classes=CLASSES),
    resizer=dict(type=Resizer, short=400, long=667),
    workers=1,
)
schedule = dict(type=MultiStep, steps=2400, milestones=(1680,), warmup=100)
optimizer.update(lr=0.01, reference_images=2)
loop.update(validate_every=400, checkpoint_every=200, clip=10.0)
