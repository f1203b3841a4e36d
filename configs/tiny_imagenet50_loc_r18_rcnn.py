"""tiny_imagenet50_loc_r18 and its R-CNN stage, for two CPU cores: crops of 96 px, 1,500 steps of 128 regions.

Not in the paper. The 30 best boxes of each training image come from its centre crop, four times as fast as densely; a
crop shows much of what lies around its box, or nothing in it tells where the object ends. Alone the R-CNN chooses the
best box of an image worse than the RPN does, both together a little better, among the centre crop's (docs/RESULTS.md).
"""

from mmengine.config import read_base

from resdet.localization.rcnn import RCNNSettings

with read_base():
    from .tiny_imagenet50_loc_r18 import *

rcnn = dict(
    settings=dict(type=RCNNSettings, size=96, context=40.0, frozen_stages=2),
    images=128,
    proposals=dict(count=30, views="1-crop", flip=False),
    optimizer=dict(),
    schedule=dict(type=Cosine, steps=1500, warmup=100),
    combine="odds",
)
