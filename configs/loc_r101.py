"""The per-class RPN on ResNet-101 (App. C), first stage of the paper's localization system on ImageNet.

Table 13, localization error on val, true class ("oracle"): VGG's regression from the centre crop 33.1, this config 13.3
from the centre crop and 11.7 densely; densely with ResNet-101's five classes 14.4. With the R-CNN stage 10.6, an
ensemble 8.9. Table 14, test set: OverFeat 29.9, GoogLeNet 26.7, VGG 25.3, the ensemble 9.0.

The paper does not give the schedule: here 40,000 steps, about 19 epochs of the 544,546 images with boxes. If 256 crops
do not fit into memory, loop.accumulate=8 processes 32 at a time, as many as BN uses.
"""

from mmengine.config import read_base

from resdet.classification.augment import ColourNoise
from resdet.engine.schedule import MultiStep

with read_base():
    from ._base_.class_rpn import *

ROOT = "data/imagenet"
model.update(num_classes=1000, augment=dict(type=ColourNoise))
model["net"].update(depth=101)
model["settings"].update(repeat_positives=True)  # 1:1 also where a crop has fewer positives than four
data["train"].update(root=ROOT)
data["test"].update(root=ROOT)
schedule = dict(type=MultiStep, steps=40_000, milestones=(25_000, 35_000), reference_images=256)
ghost_batch = 32  # as in the classification, on the authors' eight GPUs
loop.update(checkpoint_every=2000)
classifier = dict(nets=[("imagenet_r101", "runs/imagenet_r101/last.pth")], views="dense")  # eval-loc's --classifier
init_from = "runs/imagenet_r101/last.pth"
