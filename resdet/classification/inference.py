"""How a net is tested (Sect. 3.4): its centre crop, ten crops, or fully convolutionally at several scales.

probabilities = ten_crop(classifier, images, size=224)      # uint8 [N, 3, H, W] -> float32 [N, K]
probabilities = dense(classifier, images, window=7)         # one scale; the mean over scales is the test

Probabilities are averaged, never logits.
"""

from __future__ import annotations

import torch
from torch import Tensor

from resdet.classification.classifier import Classifier
from resdet.nets.cifar_resnet import CifarResNet

SCALES = (224, 256, 384, 480, 640)  # of the short side, for a net trained on crops of 224 (Sect. 3.4)


def ten_crops(images: Tensor, size: int) -> Tensor:
    """Four corners and the centre, then the same mirrored (Krizhevsky et al. 2012): [10, N, 3, size, size]."""
    height, width = images.shape[2:]
    if min(height, width) < size:
        raise ValueError(f"images of {height}x{width} have no crops of {size}x{size}")
    bottom, right = height - size, width - size
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]
    crops = torch.stack([images[:, :, y : y + size, x : x + size] for y, x in corners])
    return torch.cat([crops, crops.flip(-1)])


def ten_crop(classifier: Classifier, images: Tensor, size: int) -> Tensor:
    """The mean of the class probabilities of ten crops, float32 [N, K]."""
    crops = ten_crops(images, size)
    return classifier.predict(crops.flatten(0, 1)).unflatten(0, crops.shape[:2]).mean(0)


@torch.inference_mode()
def dense(classifier: Classifier, images: Tensor, window: int) -> Tensor:
    """The mean of the class probabilities at all positions of the images and their mirror images, float32 [N, K].

    window: cells of the last map that are averaged before fc, with stride 1: as many as a training crop's map has.
    """
    net = classifier.net
    assert not isinstance(net, CifarResNet)
    x = net.preprocess(images)
    both = (net.dense(view, window).float().softmax(1).mean((2, 3)) for view in (x, x.flip(-1)))
    return torch.stack(list(both)).mean(0)
