"""resdet compared with torchvision's Faster R-CNN on fruit_r18's photographs: settings that both have, short training.

python tools/benchmark.py compare_fruit_r18 --mode accuracy --against torchvision --init-from runs/trunk/last.pth
"""

from mmengine.config import read_base

from resdet.data.transforms import Resizer
from resdet.engine.schedule import MultiStep

with read_base():
    from .fruit_r18 import *

model["rpn"].update(scales=(32, 64, 128, 256, 400), train_post_nms=1000, test_post_nms=300)
model["head"].update(regions=64, foreground_fraction=0.25, background_iou=0.0, nms_iou=0.4)
data.update(resizer=dict(type=Resizer, short=300, long=500))
optimizer.update(weight_decay=1e-4)
schedule = dict(type=MultiStep, steps=600, milestones=(420,), warmup=100, warmup_factor=0.01)
loop.update(validate_every=0, best="")
