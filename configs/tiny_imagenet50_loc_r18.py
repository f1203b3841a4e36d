"""The per-class RPN on ResNet-18 and 50 classes of Tiny-ImageNet (64-pixel photos, CLS-LOC layout), resized to 112.

Not in the paper. The RPN reads dilated conv4 at stride 8. For a 112-pixel crop, conv5 has 4 x 4 cells and undilated
conv4 7 x 7, too few for objects smaller than a quarter of the photo. Anchors are denser than usual: with scales 32, 64,
128, ratios .5, 1, 2 and a stride of 16, in most crops no anchor has an IoU of .7 with the object. Anchors are positive
from IoU .4, because the regressor moves such a box to .5, which counts as correct. 32 anchors per crop are sampled,
half of them positive. The dense test, with box voting, uses only the short sides of the training crops: at 320 an
object that fills the image is detected in parts.
"""

from mmengine.config import read_base

from resdet.engine.schedule import Cosine

with read_base():
    from ._base_.class_rpn import *

ROOT = "data/tiny-imagenet-50"
model.update(num_classes=50)
model["net"].update(depth=18)
model["settings"].update(
    stage="conv4",
    holes=True,
    hidden=256,
    scales=(20, 32, 48, 72, 108),
    ratios=(0.5, 0.71, 1, 1.41, 2),
    positive_iou=0.4,
    anchors_per_image=32,
    repeat_positives=True,
    frozen_stages=2,
)
data["train"].update(root=ROOT)
data["test"].update(root=ROOT)
data["train_view"].update(size=112, short_side=(224, 300))
data["test_view"].update(size=112, short=240)
data.update(images=64, workers=1, scales=(224, 256, 288), vote=0.5)
optimizer.update(lr=0.2, weight_decay=5e-4)
schedule = dict(type=Cosine, steps=4000, warmup=150)
loop.update(checkpoint_every=500)
init_from = "runs/tiny_imagenet50_r18/last.pth"
