"""tiny_imagenet50_loc_r18 and its R-CNN stage, for two CPU cores: crops of 64 px, 1,500 steps of 64 regions.

Not in the paper. The RPN's 30 best boxes of each training image come from the centre crop alone.
"""

from mmengine.config import read_base

from resdet.localization.rcnn import RCNNSettings

with read_base():
    from .tiny_imagenet50_loc_r18 import *

rcnn = dict(
    settings=dict(type=RCNNSettings, size=64, context=0.0),
    images=64,
    proposals=dict(count=30, views="1-crop", flip=False),
    optimizer=dict(),
    schedule=dict(type=Cosine, steps=1500, warmup=100),
    combine="replace",
)
