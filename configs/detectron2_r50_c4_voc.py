"""detectron2's R50-C4 on VOC 07+12 trainval, tested on VOC 07: its model zoo has 51.9 AP and 80.3 AP50 (11-point)."""

from mmengine.config import read_base

from resdet.data.detection.voc import VOCDataset
from resdet.engine.schedule import MultiStep

with read_base():
    from ._base_.detectron2_c4 import *

ROOT = "data/VOCdevkit"
data.update(
    train=dict(type=VOCDataset, root=ROOT, splits=[("2007", "trainval"), ("2012", "trainval")]),  # difficult ones too
    test=dict(type=VOCDataset, root=ROOT, splits=[("2007", "test")]),
    method="11-point",
)
schedule = dict(type=MultiStep, steps=18_000, milestones=(12_000, 16_000), warmup=100, reference_images=16)
loop.update(best="")
init_from = "data/weights/R-50.pkl"
