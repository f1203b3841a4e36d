"""Residual networks for ImageNet (Sect. 3.3, Table 1), split into trunk and head for detection (App. A).

    net = ResNet(depth=50)                        # the paper's: stride 2 on the first 1x1 of conv3_1, conv4_1, conv5_1
    net = ResNet(depth=50, stride_on="3x3")       # torchvision's
    logits = net(net.preprocess(images))          # uint8 [N, 3, H, W] -> [N, 1000]
    features = net.trunk(net.preprocess(images))  # conv1..conv4, stride 16: [N, 1024, H/16, W/16]
    vectors = net.head(regions)                   # conv5 and the mean over positions: [M, 1024, 14, 14] -> [M, 2048]

Modules have the paper's names: conv1, conv2 (the paper's conv2_x) ... conv5, fc. A block has a, b (and c), shortcut.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resdet.errors import UserError
from resdet.nets.backbone import Backbone
from resdet.nets.blocks import BasicBlock, Bottleneck, ConvBN, Shortcut, StrideOn, initialize, make_stage, zero
from resdet.nets.head_entry import HeadEntry
from resdet.nets.preprocess import Preprocess, inside
from resdet.ranges import Count, Width

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}  # Table 1


class ResNet(Backbone):
    """ResNet-18/34/50/101/152, and the plain nets with the same layers.

    Convolutions are initialized as in "Delving deep into rectifiers" (He et al. 2015): normal, fan-out; BN at 1 and 0.

    Args:
        depth: 18, 34, 50, 101 or 152.
        num_classes: outputs of fc; None leaves fc out (for a detector).
        width: factor on every number of channels (64 of conv1 and so on), for small experiments.
        stride_on: which convolution of a bottleneck has the stride: "1x1" in the paper and the MSRA weights, "3x3" in
            torchvision. Without effect for 18 and 34.
        pool1: "pad" pads the 3x3/2 max pooling by 1 (torchvision, detectron2); "ceil" does not pad and rounds the size
            up (Caffe, the MSRA weights).
        zero_last_gamma: initialize the gamma of the last BN of every block with 0, so that each block starts as its
            shortcut (Goyal et al. 2017, Sect. 5.1); not in the paper.
        shortcut: where the shape changes, "A" pads with zeros and "B" projects; "C" projects everywhere (Sect. 3.3,
            Table 3). None is the plain net (Fig. 3, middle), with bottlenecks too (footnote in Sect. 4.1).

    Raises:
        UserError: another depth or shortcut, or zero_last_gamma for a plain net.
    """

    parts = ("trunk", "head")
    head_stages = ("conv5",)
    region_bins = None

    def __init__(
        self,
        depth: int = 50,
        num_classes: Count | None = 1000,
        width: Width = 1.0,
        stride_on: StrideOn = "1x1",
        pool1: Literal["pad", "ceil"] = "pad",
        zero_last_gamma: bool = False,
        shortcut: Shortcut = "B",
    ) -> None:
        super().__init__()
        if depth not in BLOCKS:
            raise UserError(f"no ResNet-{depth} in Table 1; depth is one of {', '.join(map(str, BLOCKS))}")
        if shortcut not in ("A", "B", "C", None):
            raise UserError(f"shortcut is {shortcut!r}; Sect. 3.3 has A, B and C, and None makes a plain net")
        if zero_last_gamma and shortcut is None:
            raise UserError("zero_last_gamma would make a plain net's output zero: it is for residual nets")
        block = BasicBlock if depth < 50 else Bottleneck
        base = max(1, round(64 * width))
        self.depth, self.stride_on, self.pool1 = depth, stride_on, pool1
        self.preprocess = Preprocess()
        self.conv1 = ConvBN(3, base, 7, 2)
        self.conv2 = make_stage(block, base, base, BLOCKS[depth][0], 1, stride_on, shortcut)
        channels = base * block.expansion
        self.conv3 = make_stage(block, channels, 2 * base, BLOCKS[depth][1], 2, stride_on, shortcut)
        self.conv4 = make_stage(block, 2 * channels, 4 * base, BLOCKS[depth][2], 2, stride_on, shortcut)
        self.conv5 = make_stage(block, 4 * channels, 8 * base, BLOCKS[depth][3], 2, stride_on, shortcut)
        self.trunk_channels, self.channels = 4 * channels, 8 * channels
        self.fc = None if num_classes is None else nn.Linear(self.channels, num_classes)
        initialize(self)
        if zero_last_gamma:
            for module in self.modules():
                if isinstance(module, BasicBlock | Bottleneck):
                    nn.init.zeros_(cast(nn.BatchNorm2d, module.last.bn).weight)

    @property
    def reads_even_cells(self) -> bool:
        """Whether conv5 begins with strided 1x1 convolutions, which read only every second cell of a region."""
        return self.depth >= 50 and self.stride_on == "1x1"

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the convolutions; bf16 after `fold_for_inference` in bf16."""
        return self.conv1.conv.weight.dtype

    def trunk(self, x: Tensor, sizes: Tensor | None = None) -> Tensor:
        """conv1..conv4: preprocessed images [N, 3, H, W] -> [N, trunk_channels, H/16, W/16], sizes rounded up.

        `sizes` int64 [N, 2] are the true (height, width) of the images; None if none is padded. Cells of the padding
        are kept at zero in every layer, so that an image's map does not depend on the batch.
        """
        cells = None if sizes is None else _half(sizes)
        x = zero(self.conv1(x), _outside(cells, -(-x.shape[-2] // 2), -(-x.shape[-1] // 2))).relu_()
        if self.pool1 == "ceil":
            x = F.max_pool2d(x, 3, 2, padding=0, ceil_mode=True)
            cells = None if cells is None else cells // 2
        else:
            x = F.max_pool2d(x, 3, 2, padding=1)
            cells = None if cells is None else _half(cells)
        outside = _outside(cells, x.shape[-2], x.shape[-1])
        x = zero(x, outside)
        for stage in (self.conv2, self.conv3, self.conv4):
            for block in cast(Iterable[BasicBlock | Bottleneck], stage):
                before = outside
                if cells is not None and block.stride == 2:
                    cells = _half(cells)
                    outside = _outside(cells, -(-x.shape[-2] // 2), -(-x.shape[-1] // 2))
                x = block(x, None if outside is None else (before, outside))
        return x

    def trunk_cells(self, sizes: Tensor) -> Tensor:
        """The (height, width) of the trunk's map for images of (height, width) `sizes`: int64 [..., 2] -> [..., 2]."""
        conv1 = _half(sizes)
        pool1 = conv1 // 2 if self.pool1 == "ceil" else _half(conv1)
        return _half(_half(pool1))

    def head(self, regions: Tensor, subsampled: bool = False) -> Tensor:
        """conv5 and the mean over positions: regions [M, trunk_channels, 14, 14] -> float32 [M, channels].

        With `subsampled` the regions [M, trunk_channels, 7, 7] hold the even cells only, which is all that a strided
        1x1 reads; conv5 then runs with stride 1.
        """
        return self._after_first_block(self.conv5[0](regions, stride=1 if subsampled else None))

    @property
    def head_entry(self) -> HeadEntry | None:
        """`head` with conv5_1's first 1x1 and projection on the trunk's map; None for 18, 34 and other shortcuts."""
        first = self.conv5[0]
        projects = isinstance(first, Bottleneck) and isinstance(first.shortcut, ConvBN)
        return HeadEntry(cast(Bottleneck, first), self._after_first_block) if projects else None

    def _after_first_block(self, x: Tensor) -> Tensor:
        for block in list(self.conv5)[1:]:
            x = block(x)
        vectors: Tensor = x.mean((2, 3), dtype=torch.float32)
        return vectors

    def dense(self, x: Tensor, window: int = 7) -> Tensor:
        """Logits at every position of images [N, 3, H, W] of any size: [N, num_classes, h, w] (Sect. 3.4).

        `window` x `window` cells of conv5's map are averaged with stride 1: the map of a training crop, 7 for 224
        pixels.
        """
        assert self.fc is not None
        pooled = F.avg_pool2d(self.conv5(self.trunk(x)).float(), window, stride=1)
        logits: Tensor = self.fc(pooled.permute(0, 2, 3, 1))
        return logits.permute(0, 3, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Preprocessed images [N, 3, H, W] -> logits [N, num_classes]; without fc the vectors [N, channels]."""
        vectors = self.head(self.trunk(x))
        return vectors if self.fc is None else self.fc(vectors)


def _half(cells: Tensor) -> Tensor:
    """The size of a map after a convolution with stride 2 and padding to the same size: half, rounded up."""
    return (cells + 1) // 2


def _outside(cells: Tensor | None, height: int, width: int) -> Tensor | None:
    """The cells of a [height, width] map that are padding, bool [N, 1, height, width]; None: none is."""
    return None if cells is None else ~inside(cells, height, width)
