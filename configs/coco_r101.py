"""ResNet-101 on COCO val, trained on COCO train: Table 8, mAP@.5 48.4, mAP@[.5,.95] 27.2 (VGG-16: 41.5, 21.2).

The paper's schedule: 240k iterations at .001 and 80k at .0001, 8 images per step for the RPN, 16 for Fast R-CNN; here 8
in joint training. Anchors of 64 px are added for COCO's small objects (the authors' journal version). The paper uses
the 2014 sets: 80k training and 40k test images.
"""

from mmengine.config import read_base

from resdet.data.detection.coco import COCODataset
from resdet.engine.schedule import MultiStep

with read_base():
    from ._base_.faster_rcnn import *

ROOT = "data/coco"
model.update(num_classes=80)
model["net"].update(depth=101)
model["rpn"].update(scales=(64, 128, 256, 512))
model["head"].update(nms_iou=0.5)
data.update(
    train=dict(type=COCODataset, root=ROOT, splits=["train2014"], empty_images=False),
    test=dict(type=COCODataset, root=ROOT, splits=["val2014"]),
    images=8,
    method="coco",
)
optimizer.update(reference_images=8)
schedule = dict(type=MultiStep, steps=320_000, milestones=(240_000,), reference_images=8)
loop.update(best="", validate_every=20_000, validate_images=5_000)  # on the way; at the end all images
init_from = "data/weights/R-101.pkl"
