"""tiny_imagenet50_loc_r18 and its R-CNN stage, for two CPU cores: crops of 96 px, 1,500 steps of 64 regions.

Not in the paper. The 50 best boxes of each training image come from its centre crop, six times as fast as densely; a
crop shows what lies around its box, or nothing in it tells where the object ends.
"""

from mmengine.config import read_base

from resdet.localization.rcnn import RCNNSettings

with read_base():
    from .tiny_imagenet50_loc_r18 import *

rcnn = dict(
    settings=dict(type=RCNNSettings, size=96, context=16.0),
    images=64,
    proposals=dict(count=50, views="1-crop", flip=False),
    optimizer=dict(),
    schedule=dict(type=Cosine, steps=1500, warmup=100),
    combine="replace",
)
