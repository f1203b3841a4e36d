"""VGG-16's regression of one box per class from the whole crop, first row of Table 13: 33.1, from the centre crop.

The figure is from VGG's paper, which trains with a Euclidean loss on centre and sides; here smooth L1 on deltas.
"""

from mmengine.config import read_base

from resdet.localization.crop_regression import CropRegression
from resdet.nets.vgg import VGG

with read_base():
    from .loc_r101 import *

model = dict(type=CropRegression, net=dict(type=VGG, depth=16, num_classes=None), num_classes=1000)
ghost_batch = None  # there is no BN
init_from = "VGG16_Weights.IMAGENET1K_V1"
