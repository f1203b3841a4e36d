"""Global context (App. B): the whole image is one more region, its vector stands beside every region's.

    model = FasterRCNN(net, 20, head=HeadSettings(context=True))        # trained end to end
    state = with_context_columns(plain_state, columns=2 * 2048)          # or started from a detector without it

The vectors that the siblings read become [N, R, 2C]: the region's, then the image's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

READERS = ("head.scores.weight", "head.deltas.weight")  # the layers that read the vectors


def embed_with_context(embed: Callable[[Tensor], Tensor], regions: Tensor, image_sizes: Tensor) -> Tensor:
    """Vectors [N, R, 2C] of `regions` [N, R, 4]; `embed` gives the vectors [N, R + 1, C] of regions and image.

    image_sizes: int64 [N, 2], (height, width) in the regions' pixels.
    """
    vectors = embed(torch.cat([regions, whole_image(image_sizes).to(regions.dtype)], 1))
    return beside(vectors[:, :-1], vectors[:, -1:])


def beside(own: Tensor, context: Tensor) -> Tensor:
    """Regions' vectors [N, R, C] and an image's [N, 1, C] -> [N, R, 2C]."""
    return torch.cat([own, context.expand_as(own)], -1)


def whole_image(image_sizes: Tensor) -> Tensor:
    """The region [N, 1, 4] of each image of (height, width) [N, 2]."""
    corner = image_sizes.flip(-1)
    return torch.cat([torch.zeros_like(corner), corner], -1)[:, None]


def with_context_columns(state: Mapping[str, Tensor], columns: int) -> dict[str, Tensor]:
    """A detector's tensors whose siblings read `columns` inputs: zeros in the new ones, so that nothing changes yet.

    Tensors that have as many already, or another number than half, stay as they are.
    """
    return {name: _widen(tensor, columns) if name in READERS else tensor for name, tensor in state.items()}


def _widen(weight: Tensor, columns: int) -> Tensor:
    return F.pad(weight, (0, weight.shape[1])) if 2 * weight.shape[1] == columns else weight
