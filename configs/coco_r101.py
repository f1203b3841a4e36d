"""ResNet-101 on COCO val, trained on COCO train: Table 8, mAP@.5 48.4, mAP@[.5,.95] 27.2 (VGG-16: 41.5, 21.2).

The paper's schedule: 240k iterations at .001 and 80k at .0001, 8 images a step in the RPN step, 16 in the Fast R-CNN
step. Anchors of 64 px are added for COCO's small objects (the authors' journal version). COCO is read
(data/coco.py) and scored (metrics/coco_ap.py), but no command trains or evaluates on it yet: the model builds alone.
"""

from mmengine.config import read_base

from resdet.engine.schedule import MultiStep

with read_base():
    from ._base_.faster_rcnn import *

model.update(num_classes=80)
model["net"].update(depth=101)
model["rpn"].update(scales=(64, 128, 256, 512))
model["head"].update(nms_iou=0.5)
data.update(images=8)
optimizer.update(reference_images=8)
schedule = dict(type=MultiStep, steps=320_000, milestones=(240_000,))
init_from = "data/weights/R-101.pkl"
