"""Linear layers with separate weights for each class, computed only for the classes that are asked for.

    layer = PerClassLinear(channels=2048, classes=1000, outputs=4, kinds=9)
    deltas = layer(vectors, rows)              # one row for each vector: [..., C] and [...] -> [..., 4]
    deltas = layer.across(vectors, rows)       # R rows for every vector: [N, P, C] and [N, R] -> [N, P, R, 4]

1,000 classes with nine anchors would have 45,000 outputs per position; a training step needs a few rows of one class.

Shapes: N images, P positions, C channels, R rows. A row is the weights of one class and one anchor of a cell (`kind`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resdet.boxes.geometry import at_least_float32


class PerClassLinear(nn.Module):
    """One linear layer from `channels` to `outputs` for each class and kind of anchor; row = class * kinds + kind.

    The weights of a row are the sum of weights shared by all classes and of the class's own, which are initialized with
    zeros (choice: the paper only specifies the outputs). Without the shared part, a class would have to learn what an
    object is from its own images alone, a thousandth of each batch; with it, training converges faster
    (docs/RESULTS.md).

    Always computed in fp32. Rows are looked up with ``F.embedding``, whose gradient is summed in a fixed order, so that
    training is deterministic.

    Args:
        channels: C, of the input vectors.
        classes: K.
        outputs: outputs of each row.
        kinds: rows per class, one for each anchor of a cell.
        std: standard deviation of the initial shared weights; biases start at zero.
    """

    def __init__(self, channels: int, classes: int, outputs: int, kinds: int = 1, std: float = 0.01) -> None:
        super().__init__()
        self.kinds = kinds
        self.common_weight = nn.Parameter(torch.empty(kinds, outputs, channels).normal_(std=std))
        self.common_bias = nn.Parameter(torch.zeros(kinds, outputs))
        self.weight = nn.Parameter(torch.zeros(classes * kinds, outputs, channels))
        self.bias = nn.Parameter(torch.zeros(classes * kinds, outputs))

    def forward(self, vectors: Tensor, rows: Tensor) -> Tensor:
        """Apply one row to each vector: vectors [..., C], rows int64 [...] -> float32 [..., outputs]."""
        with torch.autocast(vectors.device.type, enabled=False):
            weight, bias = self.of(rows)
            products = weight @ at_least_float32(vectors)[..., None]  # [..., outputs, 1]
            outputs: Tensor = products.squeeze(-1) + bias
            return outputs

    def across(self, vectors: Tensor, rows: Tensor) -> Tensor:
        """Apply R rows to every vector of an image: [N, P, C], rows int64 [N, R] -> float32 [N, P, R, outputs]."""
        with torch.autocast(vectors.device.type, enabled=False):
            weight, bias = self.of(rows)
            products = at_least_float32(vectors) @ weight.flatten(1, 2).mT  # [N, P, R * outputs]
            outputs: Tensor = torch.unflatten(products, -1, weight.shape[1:3]) + bias[:, None]
            return outputs

    def of(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Weights [..., outputs, C] and biases [..., outputs] of `rows` int64 [...], shared plus own."""
        kind, shape = rows % self.kinds, self.weight.shape[1:]
        weight = F.embedding(rows, self.weight.flatten(1)) + F.embedding(kind, self.common_weight.flatten(1))
        return torch.unflatten(weight, -1, shape), F.embedding(rows, self.bias) + F.embedding(kind, self.common_bias)
