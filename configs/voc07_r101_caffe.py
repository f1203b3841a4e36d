"""voc07_r101.py with the optimizer of the authors' Caffe files: biases at twice the rate and without decay.

Table 7 has 76.4 mAP for this net. That it was trained with this optimizer is our guess from the authors' public files.
"""

from mmengine.config import read_base

with read_base():
    from ._base_.caffe_line import *
    from .voc07_r101 import *

optimizer.update(**caffe_optimizer)
