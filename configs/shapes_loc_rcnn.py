"""shapes_loc and its R-CNN stage: the whole system of App. C on the embedded set, in a few minutes on two CPU cores.

Not in the paper. python tools/train_loc.py
"""

from mmengine.config import read_base

from resdet.localization.rcnn import RCNNSettings

with read_base():
    from .shapes_loc import *

rcnn = dict(
    settings=dict(type=RCNNSettings, size=64, context=16.0),
    images=64,
    proposals=dict(count=20, views="dense", flip=False),
    optimizer=dict(),
    schedule=dict(type=Cosine, steps=300, warmup=30),
    combine="replace",
)
