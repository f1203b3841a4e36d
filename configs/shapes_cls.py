"""The embedded classification set: 8 shapes, 64-pixel pictures resized to 96. Trains shapes_det's trunk in a minute.

A quarter-width ResNet-18. Not in the paper.
"""

from mmengine.config import read_base

from resdet.data.embedded.detection import ShapeCrops
from resdet.data.transforms import CenterCrop, TrainCrop
from resdet.engine.schedule import Cosine
from resdet.nets.resnet import ResNet

with read_base():
    from ._base_.classifier import *

net = dict(type=ResNet, depth=18, num_classes=8, width=0.25)
data = dict(
    train=dict(type=ShapeCrops, image_set="train"),
    test=dict(type=ShapeCrops, image_set="val"),
    train_view=dict(type=TrainCrop, size=96, short_side=(224, 300)),
    test_view=dict(type=CenterCrop, size=96, short=232),
    images=64,
    workers=1,
)
optimizer.update(lr=0.2)
schedule = dict(type=Cosine, steps=500, warmup=50)
precise_bn.update(images=3200)
