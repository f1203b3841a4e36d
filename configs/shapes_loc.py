"""The embedded localization set: one large shape an image, 8 classes, pictures of some 80 px; minutes on a CPU.

Not in the paper. shapes_loc_rcnn, which `python tools/train_loc.py` trains, adds the R-CNN stage.
"""

from mmengine.config import read_base

from resdet.data.localization.crops import CenterLocalizationCrop, LocalizationCrop
from resdet.data.embedded.localization import ShapesLocalization
from resdet.engine.schedule import Cosine
from resdet.localization.class_rpn import ClassRPN, ClassRPNSettings
from resdet.nets.resnet import ResNet

with read_base():
    from ._base_.localization import *

model = dict(
    type=ClassRPN,
    net=dict(type=ResNet, depth=18, num_classes=None, width=0.25),
    num_classes=8,
    settings=dict(type=ClassRPNSettings, stage="conv4", hidden=128, scales=(24, 48, 96)),
)
data = dict(
    train=dict(type=ShapesLocalization, image_set="train", with_boxes=True),
    test=dict(type=ShapesLocalization, image_set="val"),
    train_view=dict(type=LocalizationCrop, size=96, short_side=(232, 320)),
    test_view=dict(type=CenterLocalizationCrop, size=96, short=240),
    images=64,
    workers=1,
    scales=(200, 240, 288),
)
optimizer.update(lr=0.1)
schedule = dict(type=Cosine, steps=500, warmup=50)
init_from = "runs/shapes_cls/last.pth"  # python tools/train_loc.py trains it where it is not there
