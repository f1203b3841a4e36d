"""VGG-16 and VGG-19 ("Very Deep Convolutional Networks", Simonyan and Zisserman 2015), the paper's baselines.

net = VGG(16)
logits = net(net.preprocess(images))            # uint8 [N, 3, 224, 224] -> [N, 1000]
features = net.trunk(net.preprocess(images))    # conv1_1..conv5_3, stride 16: [N, 512, H/16, W/16]
vectors = net.head(regions)                     # fc6, fc7: [M, 512, 7, 7] -> [M, 4096]

No BN. As a detector's trunk (Sect. 4.3, Table 7's baseline) the last pooling is replaced by RoI pooling to 7x7.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from resdet.errors import UserError
from resdet.nets.blocks import initialise
from resdet.nets.preprocess import Preprocess

LAYERS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}  # 3x3 convolutions of conv1 to conv5
WIDTHS = (64, 128, 256, 512, 512)


class VGG(nn.Module):
    """Five stages of 3x3 convolutions, a 2x2 max pooling after each, and three fully connected layers.

    Args:
        depth: 16 or 19 (configurations D and E).
        num_classes: outputs of fc (fc8); None leaves it out.
        dropout: after fc6 and fc7.
    """

    channels, trunk_channels = 4096, 512
    parts = ("trunk", "head")  # what torch.compile gets
    stride_on = None  # there are no bottlenecks

    def __init__(self, depth: int = 16, num_classes: int | None = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        if depth not in LAYERS:
            raise UserError(f"no VGG-{depth} here; depth is 16 or 19")
        self.depth, self.dropout = depth, dropout
        self.preprocess = Preprocess()
        channels_in = 3
        for i, (count, width) in enumerate(zip(LAYERS[depth], WIDTHS, strict=True), 1):
            widths = [channels_in, *[width] * (count - 1)]
            setattr(self, f"conv{i}", nn.Sequential(*(nn.Conv2d(w, width, 3, padding=1) for w in widths)))
            channels_in = width
        self.fc6, self.fc7 = nn.Linear(512 * 7 * 7, 4096), nn.Linear(4096, 4096)
        self.fc = None if num_classes is None else nn.Linear(4096, num_classes)
        initialise(self)

    def trunk(self, x: Tensor) -> Tensor:
        """All convolutions: x [N, 3, H, W], preprocessed -> [N, 512, H/16, W/16] (rounded down)."""
        for i in range(1, 6):
            for conv in getattr(self, f"conv{i}"):
                x = conv(x).relu_()
            x = x if i == 5 else F.max_pool2d(x, 2)
        return x

    def head(self, regions: Tensor) -> Tensor:
        """fc6 and fc7: [M, 512, 7, 7] -> [M, 4096]."""
        x = regions.flatten(1)
        for layer in (self.fc6, self.fc7):
            x = F.dropout(layer(x).relu_(), self.dropout, self.training)
        return x

    def dense(self, x: Tensor, window: int = 7) -> Tensor:
        """Logits at every position, [N, num_classes, h, w], the three last layers as convolutions over the map.

        window: 7, the only size that fc6 fits.
        """
        assert self.fc is not None
        assert window == 7
        maps = F.max_pool2d(self.trunk(x), 2)
        vectors = F.conv2d(maps, self.fc6.weight.view(4096, 512, 7, 7), self.fc6.bias).relu_().permute(0, 2, 3, 1)
        return self.fc(self.fc7(vectors).relu_()).permute(0, 3, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, num_classes] of preprocessed images of 224x224 pixels."""
        vectors = self.head(F.max_pool2d(self.trunk(x), 2))
        return vectors if self.fc is None else self.fc(vectors)
