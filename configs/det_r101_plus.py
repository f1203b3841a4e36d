"""ResNet-101 on ImageNet DET with all of App. B: Table 12's single model, 60.5 mAP on val2, 58.8 on test.

With several --checkpoint this is the paper's ensemble: 63.6 and 62.1, the first place of ILSVRC 2015.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.appendix_b import *
    from .det_r101 import *

model["head"].update(context=True)
testing = multiscale
