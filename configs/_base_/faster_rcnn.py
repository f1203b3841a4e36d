"""Settings of all detector configs: the paper's for PASCAL VOC, joint training (Sect. 4.3, App. A).

The learning rate is that of the authors' Caffe code: .001 for steps of one image, so .002 for two.
"""

from mmengine.config import read_base

from albumentations import HorizontalFlip

from resdet.data.transforms import Resizer
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.detection.roi_head import HeadSettings
from resdet.detection.rpn import RPNSettings
from resdet.engine.schedule import MultiStep
from resdet.nets.resnet import ResNet

model = dict(
    type=FasterRCNN,
    net=dict(type=ResNet, depth=50, num_classes=None, stride_on="1x1"),
    num_classes=20,
    rpn=dict(type=RPNSettings),
    head=dict(type=HeadSettings, pooling="pool"),
    frozen_stages=2,
)
data = dict(
    train_scales=(),
    augment=[dict(type=HorizontalFlip, p=0.5)],
    resizer=dict(type=Resizer, short=600, long=1000),
    images=2,
    test_images=1,
    workers=2,
    method="area",
)
optimizer = dict(lr=0.001, reference_images=1, momentum=0.9, weight_decay=5e-4)
loop = dict(log_every=20, checkpoint_every=1000, validate_every=0, accumulate=1, clip=None, ema=None, best="val/mAP50")
testing = dict()  # App. B's improvements, see resdet/detection/inference.py; none here
init_from = None
log_backends = []
