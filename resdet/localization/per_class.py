"""Linear layers, one a class, of which only those that are asked for are computed.

    layer = PerClassLinear(channels=2048, rows=1000 * 9, outputs=4)
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
    """`rows` linear layers from `channels` to `outputs`; fp32 always, as the detectors' siblings.

    Rows are looked up as in an embedding, whose gradient sorts them before it adds: the same sum on every run.

    Args:
        channels: of the vectors.
        rows: how many layers; a class, or an anchor of a class.
        outputs: of each.
        std: of the normal distribution that the weights start from; biases start at zero.
    """

    def __init__(self, channels: int, rows: int, outputs: int, std: float = 0.01) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(rows, outputs, channels).normal_(std=std))
        self.bias = nn.Parameter(torch.zeros(rows, outputs))

    def forward(self, vectors: Tensor, rows: Tensor) -> Tensor:
        """Each vector through its own row: vectors [..., C], rows int64 [...] -> fp32 [..., outputs]."""
        with torch.autocast(vectors.device.type, enabled=False):
            weight, bias = self._look_up(rows)
            return (weight @ as_wide(vectors)[..., None]).squeeze(-1) + bias

    def across(self, vectors: Tensor, rows: Tensor) -> Tensor:
        """All vectors of an image through some rows: [N, P, C], rows int64 [N, R] -> fp32 [N, P, R, outputs]."""
        with torch.autocast(vectors.device.type, enabled=False):
            weight, bias = self._look_up(rows)
            products = as_wide(vectors) @ weight.flatten(1, 2).mT  # [N, P, R * outputs]
            return products.unflatten(-1, weight.shape[1:3]) + bias[:, None]

    def _look_up(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Weights [..., outputs, C] and biases [..., outputs] of `rows` [...]."""
        weight = F.embedding(rows, self.weight.flatten(1))
        return weight.unflatten(-1, self.weight.shape[1:]), F.embedding(rows, self.bias)
