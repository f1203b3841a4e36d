"""ResNet-18 on 50 classes of Tiny-ImageNet (25,000 images of 64 px, CLS-LOC layout): a trunk for small detectors.

Not in the paper. 8 epochs of 64 px crops, which cost less, then 12 of 112 px. Crops cover more of the
picture than the paper's: short sides of 232 to 340 for a 224 crop instead of 256 to 480 (docs/RESULTS.md).
"""

from mmengine.config import read_base

from resdet.data.classification.imagenet import ImageNetDataset
from resdet.data.transforms import CenterCrop, TrainCrop
from resdet.engine.schedule import Cosine
from resdet.nets.resnet import ResNet

with read_base():
    from ._base_.classifier import *

ROOT = "data/tiny-imagenet-50"
net = dict(type=ResNet, depth=18, num_classes=50)
data = dict(
    train=dict(type=ImageNetDataset, root=ROOT, image_set="train"),
    test=dict(type=ImageNetDataset, root=ROOT, image_set="val"),
    train_view=dict(type=TrainCrop, size={0: 64, 8: 112}, short_side=(232, 340)),
    test_view=dict(type=CenterCrop, size=112, short=240),
    images=128,
    workers=1,
)
optimizer.update(weight_decay=5e-4)
schedule = dict(type=Cosine, steps=20 * 195, warmup=195)
loop.update(checkpoint_every=195, validate_every=4 * 195, best="")
precise_bn.update(images=25_000)
