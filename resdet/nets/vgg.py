"""VGG-16 and VGG-19 (Simonyan and Zisserman 2015), the paper's baselines.

net = VGG(16)
logits = net(net.preprocess(images))            # uint8 [N, 3, 224, 224] -> [N, 1000]
features = net.trunk(net.preprocess(images))    # conv1_1..conv5_3, stride 16: [N, 512, H/16, W/16]
vectors = net.head(regions)                     # fc6, fc7: [M, 512, 7, 7] -> [M, 4096]

They have no BN. In a detector (the baseline of Table 7) RoI pooling to 7x7 replaces the last pooling, and the head
begins with fc6. Poolings round sizes down like torchvision's; Caffe's round up.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resdet.errors import UserError
from resdet.nets.backbone import Backbone
from resdet.nets.blocks import initialize, zero
from resdet.nets.preprocess import Preprocess, inside
from resdet.ranges import Count, Share, Width

LAYERS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}  # 3x3 convolutions of conv1 to conv5
WIDTHS = (64, 128, 256, 512, 512)


class VGG(Backbone):
    """Five stages of 3x3 convolutions, a 2x2 max pooling after each, and three fully connected layers.

    Args:
        depth: 16 or 19 (configurations D and E).
        num_classes: outputs of fc (their fc8); None leaves fc out.
        dropout: probability after fc6 and fc7 in training.
        width: factor on every number of channels; 1 is the paper's, less is for tests.

    Raises:
        UserError: another depth.
    """

    parts = ("trunk", "head")
    head_stages = ("fc6", "fc7")
    region_bins = 7  # the input of fc6
    stride_on = None
    reads_even_cells = False

    def __init__(
        self, depth: int = 16, num_classes: Count | None = 1000, dropout: Share = 0.5, width: Width = 1.0
    ) -> None:
        super().__init__()
        if depth not in LAYERS:
            raise UserError(f"no VGG-{depth} here; depth is 16 or 19")
        self.depth, self.dropout = depth, dropout
        self.preprocess = Preprocess()
        channels_in = 3
        for i, (count, base) in enumerate(zip(LAYERS[depth], WIDTHS, strict=True), 1):
            channels = max(1, round(base * width))
            inputs = [channels_in, *[channels] * (count - 1)]
            setattr(self, f"conv{i}", nn.Sequential(*(nn.Conv2d(c, channels, 3, padding=1) for c in inputs)))
            channels_in = channels
        self.trunk_channels, self.channels = channels_in, max(1, round(4096 * width))
        self.fc6, self.fc7 = nn.Linear(channels_in * 7 * 7, self.channels), nn.Linear(self.channels, self.channels)
        self.fc = None if num_classes is None else nn.Linear(self.channels, num_classes)
        initialize(self)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights, fc's excepted."""
        return self.fc6.weight.dtype

    def cast(self, dtype: torch.dtype) -> None:
        """Cast the weights of all layers but fc to `dtype`, in place, for inference."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear) and layer is not self.fc:
                layer.to(dtype)

    def trunk(self, x: Tensor, sizes: Tensor | None = None) -> Tensor:
        """All convolutions: preprocessed images [N, 3, H, W] -> [N, 512, H/16, W/16], sizes rounded down.

        `sizes` int64 [N, 2] are the true (height, width) of the images; None if none is padded. Cells of the padding
        are kept at zero in every layer, so that an image's map does not depend on the batch.
        """
        cells = sizes
        for i in range(1, 6):
            outside = None if cells is None else ~inside(cells, x.shape[-2], x.shape[-1])
            for conv in getattr(self, f"conv{i}"):
                x = zero(conv(x), outside).relu_()  # ReLU's backward pass reads its result
            if i == 5:
                break
            x = F.max_pool2d(x, 2)
            if cells is not None:
                cells = cells // 2
                x = zero(x, ~inside(cells, x.shape[-2], x.shape[-1]))
        return x

    def trunk_cells(self, sizes: Tensor) -> Tensor:
        """The (height, width) of the trunk's map for images of (height, width) `sizes`: int64 [..., 2] -> [..., 2]."""
        return sizes // 16

    def head(self, regions: Tensor, subsampled: bool = False) -> Tensor:
        """fc6 and fc7: regions [M, 512, 7, 7] -> float32 [M, 4096]; `subsampled` has to be False."""
        assert not subsampled
        x = regions.flatten(1)
        for layer in (self.fc6, self.fc7):
            x = F.dropout(layer(x).relu_(), self.dropout, self.training)
        return x.float()

    def dense(self, x: Tensor, window: int = 7) -> Tensor:
        """Logits at every position of images [N, 3, H, W] of any size: [N, num_classes, h, w] (Sect. 3.4).

        fc6, fc7 and fc become convolutions over the map of conv5.

        Raises:
            UserError: `window` is not 7, the size that fc6 reads.
        """
        assert self.fc is not None
        if window != 7:
            raise UserError(f"VGG reads crops of 224 pixels, whose map has 7 cells; these have {window}")
        maps = F.max_pool2d(self.trunk(x), 2)
        fc6 = self.fc6.weight.view(self.channels, self.trunk_channels, 7, 7)
        vectors = F.conv2d(maps, fc6, self.fc6.bias).relu_().permute(0, 2, 3, 1)
        logits: Tensor = self.fc(self.fc7(vectors).relu_())
        return logits.permute(0, 3, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Preprocessed images [N, 3, 224, 224] -> logits [N, num_classes]; without fc the vectors [N, 4096].

        Raises:
            UserError: images of another size.
        """
        maps = F.max_pool2d(self.trunk(x), 2)
        if maps.shape[2:] != (7, 7):
            height, width = x.shape[2:]
            raise UserError(f"VGG reads crops of 224 pixels, not of {height}x{width}; set data.test_view.size=224")
        vectors = self.head(maps)
        return vectors if self.fc is None else self.fc(vectors)
