"""detectron2's R101-C4 on COCO train2017, tested on val2017: its model zoo has 41.1 AP (3x)."""

from mmengine.config import read_base

from resdet.engine.schedule import MultiStep

with read_base():
    from .detectron2_r50_c4 import *

model["net"].update(depth=101)
schedule = dict(  # 3x
    type=MultiStep, steps=270_000, milestones=(210_000, 250_000), warmup=1000, reference_images=16
)
init_from = "data/weights/R-101.pkl"
