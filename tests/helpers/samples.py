"""Detection samples with random pixels, and the indices that a sampler yields."""

from __future__ import annotations

from itertools import islice

import numpy as np
import torch

from resdet.data.sampling import TrainSampler
from resdet.structures import Sample


def indices(sampler: TrainSampler, steps: int) -> list[list[int]]:
    """Image indices of a sampler's first steps."""
    return [[draw.index for draw in batch] for batch in islice(sampler, steps)]


def sample_of(height: int, width: int, boxes: list[list[float]], **flags: list[bool]) -> Sample:
    """A detection sample of random pixels; object i has class i."""
    pixels = np.random.default_rng(height * width).integers(0, 256, (height, width, 3)).astype(np.uint8)
    none = [False] * len(boxes)
    return Sample(
        image=torch.from_numpy(pixels),
        boxes=torch.tensor(boxes).reshape(-1, 4),
        labels=torch.arange(len(boxes)),
        difficult=torch.tensor(flags.get("difficult", none), dtype=torch.bool),
        crowd=torch.tensor(flags.get("crowd", none), dtype=torch.bool),
        image_id=f"{width}x{height}",
    )
