"""Linear layers, one a class, of which only those that are asked for are computed.

    layer = PerClassLinear(channels=2048, classes=1000, outputs=4, kinds=9)
    deltas = layer(vectors, rows)              # one row a vector: [..., C] and [...] -> [..., 4]
    deltas = layer.across(vectors, rows)       # some rows of all vectors: [N, P, C] and [N, R] -> [N, P, R, 4]

A thousand classes with nine anchors are 45,000 outputs a position; a training step looks at a few of one class.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resdet.boxes.geometry import as_wide


class PerClassLinear(nn.Module):
    """Linear layers from `channels` to `outputs`, one for each class and kind of anchor: row class * kinds + kind.

    A row is what all classes have in common plus the class's own, which starts from zero (choice: the paper names the
    outputs alone). Without the common part a class learns from its own images what an object is at all, a thousandth of
    each batch; with it the outputs are of the same form and fit sooner (docs/RESULTS.md).

    fp32 always, as the detectors' siblings. Rows are looked up as in an embedding, whose gradient sorts them before it
    adds: the same sum on every run.

    Args:
        channels: of the vectors.
        classes: K.
        outputs: of each row.
        kinds: rows of a class.
        std: of the normal distribution that the common weights start from; biases start at zero.
    """

    def __init__(self, channels: int, classes: int, outputs: int, kinds: int = 1, std: float = 0.01) -> None:
        super().__init__()
        self.kinds = kinds
        self.common_weight = nn.Parameter(torch.empty(kinds, outputs, channels).normal_(std=std))
        self.common_bias = nn.Parameter(torch.zeros(kinds, outputs))
        self.weight = nn.Parameter(torch.zeros(classes * kinds, outputs, channels))
        self.bias = nn.Parameter(torch.zeros(classes * kinds, outputs))

    def forward(self, vectors: Tensor, rows: Tensor) -> Tensor:
        """Each vector through its own row: vectors [..., C], rows int64 [...] -> fp32 [..., outputs]."""
        with torch.autocast(vectors.device.type, enabled=False):
            weight, bias = self.of(rows)
            return (weight @ as_wide(vectors)[..., None]).squeeze(-1) + bias

    def across(self, vectors: Tensor, rows: Tensor) -> Tensor:
        """All vectors of an image through some rows: [N, P, C], rows int64 [N, R] -> fp32 [N, P, R, outputs]."""
        with torch.autocast(vectors.device.type, enabled=False):
            weight, bias = self.of(rows)
            products = as_wide(vectors) @ weight.flatten(1, 2).mT  # [N, P, R * outputs]
            return products.unflatten(-1, weight.shape[1:3]) + bias[:, None]

    def of(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Weights [..., outputs, C] and biases [..., outputs] of `rows` [...], common and own together."""
        kind, shape = rows % self.kinds, self.weight.shape[1:]
        weight = F.embedding(rows, self.weight.flatten(1)) + F.embedding(kind, self.common_weight.flatten(1))
        return weight.unflatten(-1, shape), F.embedding(rows, self.bias) + F.embedding(kind, self.common_bias)
