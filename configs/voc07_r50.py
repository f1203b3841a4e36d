"""ResNet-50 on the PASCAL VOC 2007 test set, trained on 07+12 trainval: Table 7's protocol.

The paper has VGG-16 (73.2) and ResNet-101 (76.4, voc07_r101.py) there, and no figure for ResNet-50. Public code:
detectron2's R50-C4 has 51.9 AP and 80.3 AP50, with RoIAlign and another schedule.

Joint training takes 80k steps of two images, the rate divided by ten at 60k: the iterations of the authors' RPN step.
With 8 GPUs set data.images=8 or 16: rate and steps follow (optimizer.reference_images, schedule.reference_images).
"""

from mmengine.config import read_base

from resdet.data.detection.voc import VOCDataset
from resdet.engine.schedule import MultiStep

with read_base():
    from ._base_.faster_rcnn import *

ROOT = "data/VOCdevkit"
data.update(
    train=dict(type=VOCDataset, root=ROOT, splits=[("2007", "trainval"), ("2012", "trainval")], keep_difficult=False),
    test=dict(type=VOCDataset, root=ROOT, splits=[("2007", "test")]),
    method="11-point",
)
schedule = dict(type=MultiStep, steps=80_000, milestones=(60_000,), reference_images=2)
loop.update(validate_every=20_000, checkpoint_every=2_000, best="")  # no choice of a checkpoint on the test set
init_from = "data/weights/R-50.pkl"  # MSRA's ImageNet weights: data/README.md, "Weights"
