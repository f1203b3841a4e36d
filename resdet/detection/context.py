"""Global context (App. B): the vector of the whole image is concatenated to the vector of every region.

    model = FasterRCNN(net, 20, head=HeadSettings(context=True))        # trained end to end
    state = with_context_columns(plain_state, columns=2 * 2048)         # or initialized from a detector without context

Shapes: N images, R regions per image, C channels of a region's vector; with context the layers that follow read 2C.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

READERS = ("head.scores.weight", "head.deltas.weight")  # the layers that read the vectors


def embed_with_context(embed: Callable[[Tensor], Tensor], regions: Tensor, image_sizes: Tensor) -> Tensor:
    """Vectors with context [N, R, 2C] of `regions` [N, R, 4].

    Args:
        embed: regions [N, R + 1, 4] -> vectors [N, R + 1, C]; the last region is the whole image.
        regions: boxes in image pixels.
        image_sizes: int64 [N, 2], (height, width) in the same pixels.
    """
    vectors = embed(torch.cat([regions, whole_image(image_sizes).to(regions.dtype)], 1))
    return concatenate_context(vectors[:, :-1], vectors[:, -1:])


def concatenate_context(vectors: Tensor, context: Tensor) -> Tensor:
    """Vectors of regions [N, R, C] and of their image [N, 1, C] -> [N, R, 2C]."""
    return torch.cat([vectors, context.expand_as(vectors)], -1)


def whole_image(image_sizes: Tensor) -> Tensor:
    """The box of each whole image, [N, 1, 4], from (height, width) [N, 2]."""
    corner = image_sizes.flip(-1)
    return torch.cat([torch.zeros_like(corner), corner], -1)[:, None]


def with_context_columns(state: Mapping[str, Tensor], columns: int) -> dict[str, Tensor]:
    """A detector's state dict whose `READERS` have `columns` inputs; the columns that read the context are zero.

    The detector's predictions are unchanged until it is trained. Weights that do not have exactly half of `columns`
    inputs are left as they are.
    """
    return {name: _widen(tensor, columns) if name in READERS else tensor for name, tensor in state.items()}


def _widen(weight: Tensor, columns: int) -> Tensor:
    return F.pad(weight, (0, weight.shape[1])) if 2 * weight.shape[1] == columns else weight
