"""Your own data in VOC layout: ResNet-18 on 240 photographs of fruit (apple, banana, orange), short side 400.

Copy this file, change ROOT, the year and the classes. Start from a trunk:
python tools/train_det.py configs/fruit_r18.py --init-from runs/tiny_imagenet50_r18/last.pth
"""

from mmengine.config import read_base

from resdet.data.detection.voc import VOCDataset
from resdet.engine.schedule import MultiStep

with read_base():
    from ._base_.faster_rcnn_r18 import *

ROOT = "data/VOCdevkit"
CLASSES = ("apple", "banana", "orange")
model.update(num_classes=len(CLASSES))
model["rpn"].update(test_post_nms=100)
# Regions that hardly touch an object teach the head little: background begins at an IoU of .1. Fruit lies in bunches:
# NMS at .3 takes neighbours away.
model["head"].update(regions=40, background_iou=0.1, nms_iou=0.5)
data.update(
    train=dict(type=VOCDataset, root=ROOT, splits=[("fruit", "trainval")], classes=CLASSES, keep_difficult=False),
    test=dict(type=VOCDataset, root=ROOT, splits=[("fruit", "test")], classes=CLASSES),
)
schedule = dict(type=MultiStep, steps=2400, milestones=(1680,), warmup=100, reference_images=2)
loop.update(validate_every=400, checkpoint_every=200)
