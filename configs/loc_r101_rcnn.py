"""loc_r101 and its R-CNN stage (App. C): the whole of the paper's localization system on ImageNet.

Table 13, error on val with ResNet-101's own five classes, densely: the per-class RPN 14.4, RPN + R-CNN 10.6, an
ensemble of both 8.9. Table 14, test set: the ensemble 9.0.

The paper does not give this stage's schedule: here 40,000 steps of 256 regions, drawn from all images. Crops have 16
pixels of context as in R-CNN. With ResNet-18 on 50 classes of Tiny-ImageNet, and the center crop's proposals, the odds
of both scores chose better boxes than the R-CNN's score alone, "replace" (docs/RESULTS.md, Localization); eval-loc
reports both rules, and "keep".
"""

from mmengine.config import read_base

from resdet.localization.rcnn import RCNNSettings

with read_base():
    from .loc_r101 import *

rcnn = dict(
    settings=dict(type=RCNNSettings, size=224, context=16.0),
    augment=dict(type=ColourNoise),
    images=256,
    proposals=dict(count=200, views="dense", flip=False),
    optimizer=dict(),
    schedule=dict(type=MultiStep, steps=40_000, milestones=(25_000, 35_000), reference_images=256),
    combine="odds",
)
