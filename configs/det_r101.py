"""ResNet-101 on ImageNet DET val2, trained on DET train and val1: Table 12.

The paper's single model has 60.5 mAP on val2 and 58.8 on test, with App. B's improvements (det_r101_plus.py); this is
the detector without them. val1 and val2 are written by tools/split_det.py. The paper does not give this task's
schedule: VOC 07++12's settings for 480k steps of two images, divided by ten at 360k, are our choice.
"""

from mmengine.config import read_base

from resdet.data.detection.imagenet_det import ImageNetDETDataset
from resdet.engine.schedule import MultiStep

with read_base():
    from ._base_.faster_rcnn import *

ROOT = "data/imagenet"
model.update(num_classes=200)
model["net"].update(depth=101)
data.update(
    train=dict(type=ImageNetDETDataset, root=ROOT, image_sets=["train", "val1"], empty_images=False),
    # blacklist=ROOT + "/ILSVRC2015_det_validation_blacklist.txt", of the kit, leaves out what ILSVRC's own script does
    test=dict(type=ImageNetDETDataset, root=ROOT, image_sets=["val2"], blacklist=None),
    method="ilsvrc",
)
schedule = dict(type=MultiStep, steps=480_000, milestones=(360_000,))
loop.update(best="")
init_from = "data/weights/R-101.pkl"
