"""Tell from the first layer of a net whether it was trained on pixels divided by their standard deviation.

Nets of Caffe read BGR in 0..255 minus the mean; torchvision's read RGB, divided by a std as well. Public files have the
former under the latter's names, where nothing but the numbers tells them apart.
"""

from __future__ import annotations

import torch
from torch import Tensor

# A filter w on inputs of covariance C has the output variance w'Cw. Over the filters of a first layer, sum(w'Cw) /
# sum(|w|^2) is 2 to 12 in nets trained by resdet on inputs with std, and 6,500 in one without. On photographs divided
# by the std it is at most C's largest eigenvalue, 175 for 7x7 patches of 100 images of COCO; the std's square is 3,300.
_MOST_WITH_STD = 600.0
_MOST_VARIANCE = 1000.0

# Biases of the first layers of the nets of Simonyan and Zisserman, in Caffe's release and all its conversions.
_CAFFE_VGG_BIASES = {
    "features.0.bias": (0.73429835, 0.09340367, 0.06775674, 0.8862966, 0.25994542),  # VGG-16
    "features.2.bias": (-0.292965, 0.339774, 0.159743, 0.0413218, 0.776448),  # VGG-19
}
_TOLERANCE = 0.01  # fine-tuning changes them little
_LEAST_WITH_STD = 0.06  # norm of a filter of VGG's first layer; torchvision's initialization has .3


def reads_raw_pixels(conv: Tensor, variance: Tensor) -> bool:
    """Whether a first convolution was trained on pixels that are not divided by a std.

    Args:
        conv: float32 [N, 3, k, k].
        variance: float32 [N], the variance of its outputs: the running variance of its BN.
    """
    return float(variance.sum()) > _MOST_WITH_STD * float(conv.square().sum())


def was_rescaled(variance: Tensor) -> bool:
    """Whether the weights of `reads_raw_pixels` were multiplied by the std afterwards: the variances stay large."""
    return float(variance.mean()) > _MOST_VARIANCE


def has_no_statistics(mean: Tensor, variance: Tensor, scale: Tensor) -> bool:
    """Whether a BN's statistics were folded into its trained scale and shift, so that they tell nothing."""
    return bool((mean == 0).all() and (variance == 1).all() and (scale != 1).any())


def is_caffe_vgg(tensors: dict[str, Tensor]) -> bool:
    """Whether a VGG under torchvision's names is Caffe's, or one whose first filters are as small as for 0..255."""
    for name, values in _CAFFE_VGG_BIASES.items():
        bias = tensors.get(name, torch.zeros(0))[: len(values)]
        if len(bias) == len(values) and torch.allclose(bias, torch.tensor(values), rtol=0, atol=_TOLERANCE):
            return True
    filters = tensors["features.0.weight"].flatten(1).norm(dim=1)
    return float(filters.max()) > 0 and float(filters.mean()) < _LEAST_WITH_STD
