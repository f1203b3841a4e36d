"""ResNet-18 on a few hundred photographs, short side 400: small enough to train on a CPU or a small GPU.

It starts from a trunk trained on 112-pixel crops, where conv5 reads 7x7 cells: hence RoIAlign to 7x7.
"""

from mmengine.config import read_base

from resdet.data.transforms import Resizer

with read_base():
    from .faster_rcnn import *

model["net"].update(depth=18)
# Anchors as large as the image cross its border: keep them, or nothing learns the close-ups.
model["rpn"].update(
    hidden=256,
    scales=(64, 128, 256, 512),
    keep_border=True,
    train_pre_nms=2000,
    train_post_nms=500,
    test_pre_nms=2000,
)
model["head"].update(pooling="align", bins=7, foreground_fraction=0.4, beta=1 / 9, nms_iou=0.5)
data.update(resizer=dict(type=Resizer, short=400, long=667), workers=1)
optimizer.update(lr=0.01, reference_images=2)
loop.update(clip=10.0)
