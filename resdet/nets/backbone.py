"""What the rest of resdet asks of a net: `Net` for classification, `Backbone` for detection and localization too.

class MyNet(Backbone): ...                          # implement what is abstract, set the attributes in __init__
detector = FasterRCNN(MyNet(), num_classes=20)

A backbone is split where the paper's detector splits it (App. A): `trunk` is computed once per image, `head` once per
region. Both classes are abstract bases and not a typing.Protocol, because every user also needs an nn.Module: to freeze
BN and stages, to compile, to load weights.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from resdet.nets.blocks import StrideOn
from resdet.nets.head_entry import HeadEntry
from resdet.nets.preprocess import Preprocess


class Net(nn.Module, ABC):
    """A net that classifies images (Sect. 3.4, 4.1, 4.2): ResNet, VGG, CifarResNet."""

    preprocess: Preprocess  # uint8 RGB [N, 3, H, W] -> the float32 input of `forward` and `trunk`
    fc: nn.Linear | None  # the last layer, with one output per class; None: the net ends with the vectors before it
    stride_on: StrideOn | None  # which convolution of a bottleneck has the stride; None without bottlenecks
    parts: tuple[str, ...]  # names of the methods that torch.compile is applied to

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Preprocessed images [N, 3, H, W] -> logits [N, num_classes]; without fc the vectors [N, C] before it."""


class Backbone(Net):
    """A net that is split into a trunk and a head (App. A): ResNet, VGG.

    Its convolutions are in the children conv1 ... conv5, of which `freeze_stages` freezes the first ones.
    """

    trunk_channels: int  # channels of the trunk's map: 1024 for ResNet-50 and deeper, 512 for VGG
    channels: int  # length of the head's vectors: 2048 for ResNet-50 and deeper, 4096 for VGG
    head_stages: tuple[str, ...]  # names of the modules that `head` runs: ("conv5",) or ("fc6", "fc7")
    region_bins: int | None  # bins per axis that `head` needs of a pooled region; None: any number

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """The dtype of the convolutions, in which `trunk` and `head` want their input; bf16 after a fold in bf16."""

    @property
    @abstractmethod
    def reads_even_cells(self) -> bool:
        """Whether `head` begins with strided 1x1 convolutions, which read every second cell of a region only."""

    @abstractmethod
    def trunk(self, x: Tensor, sizes: Tensor | None = None) -> Tensor:
        """The feature map that all regions share: conv1..conv4 of a ResNet, conv1..conv5 of VGG.

        Args:
            x: preprocessed images [N, 3, H, W], in `dtype`.
            sizes: int64 [N, 2], the true (height, width) of each image; None if none is padded. Cells of the padding
                are kept at zero in every layer, so that an image's map does not depend on the batch.

        Returns:
            [N, trunk_channels, h, w] with stride 16.
        """

    @abstractmethod
    def trunk_cells(self, sizes: Tensor) -> Tensor:
        """The (height, width) of the trunk's map for images of (height, width) `sizes`: int64 [..., 2] -> [..., 2]."""

    @abstractmethod
    def head(self, regions: Tensor, subsampled: bool = False) -> Tensor:
        """One vector per region: conv5 and the mean over positions of a ResNet, fc6 and fc7 of VGG.

        Args:
            regions: pooled regions [M, trunk_channels, bins, bins], in `dtype`.
            subsampled: `regions` hold the even rows and columns only; allowed if `reads_even_cells`.

        Returns:
            float32 [M, channels].
        """

    @property
    def head_entry(self) -> HeadEntry | None:
        """`head` with its first convolutions on the trunk's map; None where it does not begin with 1x1 convolutions."""
        return None

    @abstractmethod
    def dense(self, x: Tensor, window: int = 7) -> Tensor:
        """Logits at every position of images of any size (the fully convolutional test of Sect. 3.4).

        Args:
            x: preprocessed images [N, 3, H, W].
            window: side in cells of the last map that one prediction reads: that of a training crop, 7 for 224 pixels.

        Returns:
            [N, num_classes, h, w].
        """
