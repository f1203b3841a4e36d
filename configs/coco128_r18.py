"""ResNet-18 overfitted to 128 photographs of COCO: a test that training on COCO's format works, nothing more.

It is tested on its own training images. Start from a trunk of 112-pixel crops (tiny_imagenet50_r18.py):
python tools/train_det.py coco128_r18 --init-from runs/tiny_imagenet50_r18/last.pth
"""

from mmengine.config import read_base

from resdet.data.detection.coco import COCODataset
from resdet.engine.schedule import MultiStep

with read_base():
    from ._base_.faster_rcnn_r18 import *

ROOT = "data/coco128"
model.update(num_classes=80)
model["rpn"].update(test_post_nms=200)
model["head"].update(regions=64, score_floor=0.01)
data.update(
    train=dict(type=COCODataset, root=ROOT, splits=["train2017"], empty_images=False),
    test=dict(type=COCODataset, root=ROOT, splits=["train2017"]),
    method="coco",
)
schedule = dict(type=MultiStep, steps=5000, milestones=(3500, 4500), warmup=100)
loop.update(validate_every=0, checkpoint_every=100, best="")
