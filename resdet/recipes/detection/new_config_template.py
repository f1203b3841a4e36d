"""The text of the config that new-config writes, with its values left open."""

from __future__ import annotations

TEMPLATE = '''"""ResNet-{depth} on {what}: {classes} classes, {images} training images.

Written by `resdet new-config`; every value may be changed. Train and measure with
resdet train-det {name}{weights}
resdet {evaluate}
"""

from albumentations import HorizontalFlip

{imports}
from resdet.data.transforms import Resizer
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.detection.roi_head import HeadSettings
from resdet.detection.rpn import RPNSettings
from resdet.engine.schedule import MultiStep
from resdet.nets.resnet import ResNet

ROOT = {root!r}{relative}
CLASSES = {class_names!r}
{whole}
model = dict(
    type=FasterRCNN,
    net=dict(type=ResNet, depth={depth}, num_classes=None, stride_on={stride_on!r}),
    num_classes=len(CLASSES),
    # {anchors_why}
    # Anchors as large as the image cross its border: they are kept, or nothing learns the close-ups.
    rpn=dict(
        type=RPNSettings,
        hidden=256,
        scales={scales!r},
        ratios={ratios!r},
        keep_border=True,
        train_pre_nms=2000,
        train_post_nms=500,
        test_pre_nms=2000,
        test_post_nms={proposals},
    ),
    # {bins_why}
    head=dict(
        type=HeadSettings,
        pooling="align",
        bins={bins},
        regions=64,
        foreground_fraction=0.4,
        beta=1 / 9,
        nms_iou=0.5,
    ),
    frozen_stages=2,
)
data = dict(
    train={train},
    test={test},
    # {size_why}
    resizer=dict(type=Resizer, short={short}, long={long}),
    train_scales=(),
    augment=[dict(type=HorizontalFlip, p=0.5)],
    images={batch},
    test_images=1,
    workers=2,
    method={method!r},
)
optimizer = dict(lr=0.01, reference_images=2, momentum=0.9, weight_decay=5e-4)
# {steps_why}
schedule = dict(type=MultiStep, steps={steps}, milestones=({milestone},), warmup=100, reference_images={batch})
loop = dict(
    log_every=20, checkpoint_every=200, validate_every={validate}, accumulate=1, clip=10.0, ema=None, best="val/mAP50"
)
testing = dict()
init_from = {init_from!r}
log_backends = []
'''
