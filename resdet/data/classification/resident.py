"""Batches of a small data set that is kept on the device as uint8: no workers, no files, no copies from the host.

for batch in ResidentLoader(train, sampler, device): ...        # endless, for training
for batch in resident_batches(test, order, 1000, device): ...   # every image once
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from resdet.data.sampling import TrainSampler
from resdet.draws import draw_seeds
from resdet.structures import LabelledImages


class ResidentDataset(Protocol):
    """A data set in one tensor, such as Cifar10 (data/classification/cifar.py)."""

    classes: Sequence[str]
    names: Sequence[str]  # human-readable names of the classes
    images: Tensor  # uint8 [N, 3, H, W]
    labels: Tensor  # int64 [N]

    def __len__(self) -> int: ...
    def image_id(self, index: int) -> str:
        """A name of the image, for messages and result files."""
        ...


class ResidentLoader:
    """Endless batches in the sampler's order; the image indices of a whole epoch are copied to the device at once.

    Args:
        dataset: copied to the device.
        sampler: the images of each step.
        device: where the batches are made.
    """

    def __init__(self, dataset: ResidentDataset, sampler: TrainSampler, device: torch.device) -> None:
        self.dataset, self.sampler = dataset, sampler
        self.images, self.labels = dataset.images.to(device), dataset.labels.to(device)

    def __iter__(self) -> Iterator[LabelledImages]:
        sampler = self.sampler
        epoch, first = divmod(sampler.start, sampler.steps_per_epoch)
        while True:
            plan = sampler.own_steps(epoch)
            index = torch.tensor(plan, device=self.images.device)
            seeds = draw_seeds(sampler.seed, epoch, index)
            for step in range(first, len(plan)):
                ids = [self.dataset.image_id(i) for i in plan[step].tolist()]
                yield LabelledImages(self.images[index[step]], self.labels[index[step]], seeds[step], ids)
            epoch, first = epoch + 1, 0


def resident_batches(
    dataset: ResidentDataset, order: np.ndarray, size: int, device: torch.device
) -> Iterator[LabelledImages]:
    """The images of `order`, int64 [N], `size` per batch, on `device`; the last batch may have fewer."""
    for start in range(0, len(order), size):
        part = order[start : start + size]
        index = torch.from_numpy(part)
        ids = [dataset.image_id(i) for i in part.tolist()]
        batch = LabelledImages(dataset.images[index], dataset.labels[index], draw_seeds(0, 0, index), ids)
        yield batch.to(device)
