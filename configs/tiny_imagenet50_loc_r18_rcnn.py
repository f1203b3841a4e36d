"""tiny_imagenet50_loc_r18 and its R-CNN stage, for two CPU cores: crops of 96 px, 1,500 steps of 128 regions.

Not in the paper. The proposals are the 30 best boxes from the centre crop of each training image, which is faster than
the dense test. Crops have much context around the box; without it, the extent of the object cannot be seen. The box
chosen by the R-CNN's score alone is worse than the one chosen by the RPN's. The box chosen by both scores is a little
better than the RPN's, for proposals from the centre crop (docs/RESULTS.md).
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
