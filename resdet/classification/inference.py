"""Ten-crop and fully convolutional testing of classifiers (Sect. 3.4). Probabilities are averaged, not logits.

    probabilities = classifier.predict(crops)                   # centre crop
    probabilities = ten_crop(classifier, images, size=224)      # uint8 [N, 3, H, W] -> float32 [N, K]
    probabilities = dense(classifier, images, window=7)         # one scale; the caller averages over several

Shapes: N images of H x W pixels, K classes.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from resdet.classification.classifier import Classifier
from resdet.nets.backbone import Backbone

TestMode = Literal["center", "ten-crop", "dense"]  # how classifiers test images


def ten_crops(images: Tensor, size: int) -> Tensor:
    """The four corner crops and the centre crop, then their mirror images: [10, N, 3, size, size].

    Source: Krizhevsky et al. 2012.

    Args:
        images: uint8 [N, 3, H, W].
        size: side of a crop in pixels.

    Raises:
        ValueError: the images are smaller than a crop.
    """
    height, width = images.shape[2:]
    if min(height, width) < size:
        raise ValueError(f"images of {height}x{width} have no crops of {size}x{size}")
    bottom, right = height - size, width - size
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]
    crops = torch.stack([images[:, :, y : y + size, x : x + size] for y, x in corners])
    return torch.cat([crops, crops.flip(-1)])


def ten_crop(classifier: Classifier, images: Tensor, size: int) -> Tensor:
    """Class probabilities averaged over ten crops of `size` pixels, float32 [N, K]."""
    crops = ten_crops(images, size)
    probabilities = classifier.predict(crops.flatten(0, 1))  # [10 * N, K]
    return torch.unflatten(probabilities, 0, crops.shape[:2]).mean(0)


@torch.inference_mode()
def dense(classifier: Classifier, images: Tensor, window: int) -> Tensor:
    """Class probabilities averaged over all positions of the images and their mirror images, float32 [N, K].

    Args:
        classifier: of a ResNet or VGG; a CifarResNet has no fully convolutional form.
        images: uint8 [N, 3, H, W], any size.
        window: side of the average pooling before fc, which runs with stride 1, in cells of the last map: 7 for a net
            trained on 224-pixel crops.
    """
    net = classifier.net
    assert isinstance(net, Backbone)
    x = net.preprocess(images)
    both = (net.dense(images, window).float().softmax(1).mean((2, 3)) for images in (x, x.flip(-1)))
    return torch.stack(list(both)).mean(0)
