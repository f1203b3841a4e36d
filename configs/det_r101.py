"""ResNet-101 on ImageNet DET val2, trained on DET train and val1: Table 12.

The paper's single model has 60.5 mAP on val2 and 58.8 on test, with App. B's improvements (det_r101_plus.py); this is
the detector without them. val1 and val2 are written by tools/split_det.py. "Our object detection algorithm for ImageNet
DET is the same as that for MS COCO in Table 9": anchors, NMS, images per step, schedule and validation are those of
coco_r101.py. The data, the 200 classes and the rule of AP are ILSVRC's; training images without objects are left out,
as for COCO.
"""

from mmengine.config import read_base

from resdet.data.detection.imagenet_det import ImageNetDETDataset

with read_base():
    from .coco_r101 import *

ROOT = "data/imagenet"
model.update(num_classes=200)
data["train"] = dict(type=ImageNetDETDataset, root=ROOT, image_sets=["train", "val1"], empty_images=False)
# blacklist=ROOT + "/ILSVRC2015_det_validation_blacklist.txt", of the kit, leaves out what ILSVRC's own script does
data["test"] = dict(type=ImageNetDETDataset, root=ROOT, image_sets=["val2"], blacklist=None)
data.update(method="ilsvrc")
