"""The embedded detection set: textured shapes on clutter, 8 classes; the job of `make demo`, minutes on a CPU.

Not in the paper.
"""

from mmengine.config import read_base

from resdet.data.embedded.detection import ShapesDataset
from resdet.data.transforms import Resizer
from resdet.engine.schedule import Cosine

with read_base():
    from ._base_.faster_rcnn import *

model.update(num_classes=8, frozen_stages=0)
model["net"].update(depth=18, width=0.25)
model["rpn"].update(
    hidden=128,
    scales=(48, 96, 192),
    keep_border=True,
    train_pre_nms=1000,
    train_post_nms=300,
    test_pre_nms=1000,
    test_post_nms=100,
)
model["head"].update(pooling="align", regions=32, foreground_fraction=0.5)
data.update(
    train=dict(type=ShapesDataset, image_set="trainval", keep_difficult=False),
    test=dict(type=ShapesDataset, image_set="test"),
    resizer=dict(type=Resizer, short=480, long=640),
    images=4,
    test_images=4,
    workers=1,
)
schedule = dict(type=Cosine, steps=1000, warmup=100)
optimizer.update(lr=0.04, reference_images=4, weight_decay=1e-4)
loop.update(clip=10.0, checkpoint_every=300)
init_from = "runs/shapes_cls/last.pth"  # python tools/train_cls.py
