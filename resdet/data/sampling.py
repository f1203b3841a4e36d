"""Which images make up step t: a pure function of (seed, t), so that a resumed run goes on where it stopped.

sampler = TrainSampler(len(dataset), images=2, seed=0, groups=aspect_groups(dataset.table.aspect_ratios()))
for batch in sampler:                 # endless; each batch is a list of Draw(index, epoch, seed)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Draw:
    """One image of one step. `seed` keys everything random that happens to it: augmentation, sampling of regions."""

    index: int
    epoch: int
    seed: int


class TrainSampler:
    """Endless batches: every epoch a new permutation, cut into steps, the same plan on every process.

    Args:
        length: images in the data set.
        images: images a step, over all processes together.
        seed: of the run.
        groups: int [length]; a step takes its images from one group (landscape or portrait), so that little is padded.
            The few that are left over in each group at the end of an epoch are put together.
        rank, world: this process takes images/world of every step.
        start: the first step, for resuming.
    """

    def __init__(
        self,
        length: int,
        images: int,
        seed: int,
        groups: np.ndarray | None = None,
        rank: int = 0,
        world: int = 1,
        start: int = 0,
    ) -> None:
        if images % world:
            raise ValueError(f"{images} images a step cannot be shared by {world} processes evenly")
        self.length, self.images, self.seed, self.start = length, images, seed, start
        self.groups = np.zeros(length, np.int64) if groups is None else groups
        self.rank, self.world = rank, world
        self.steps_an_epoch = max(1, length // images)

    def __iter__(self) -> Iterator[list[Draw]]:
        epoch, first = divmod(self.start, self.steps_an_epoch)
        while True:
            for indices in self.own_steps(epoch)[first:].tolist():
                yield [Draw(i, epoch, draw_seed(self.seed, epoch, i)) for i in indices]
            epoch, first = epoch + 1, 0

    def own_steps(self, epoch: int) -> np.ndarray:
        """This process's images of every step of an epoch: int64 [steps_an_epoch, images / world].

        Neighbours in the step, so that processes see what ghost batches of their size see (nets/ghost_bn.py).
        """
        share = self.images // self.world
        return self.epoch_steps(epoch)[:, self.rank * share : (self.rank + 1) * share]

    def epoch_steps(self, epoch: int) -> np.ndarray:
        """The images of every step of an epoch: int64 [steps_an_epoch, images]."""
        random = np.random.default_rng([self.seed, epoch])
        order = random.permutation(self.length)
        if self.length < self.images:
            return np.resize(order, (1, self.images))
        full, rest = [], []
        for group in np.unique(self.groups):
            members = order[self.groups[order] == group]
            cut = len(members) // self.images * self.images
            full.append(members[:cut].reshape(-1, self.images))
            rest.append(members[cut:])
        leftover = np.concatenate(rest)
        cut = len(leftover) // self.images * self.images
        steps = np.concatenate([*full, leftover[:cut].reshape(-1, self.images)])
        return steps[random.permutation(len(steps))]


def draw_seed(seed: int, epoch: int, index: int) -> int:
    """A 63-bit key of (run, epoch, image): the same whatever the number of processes, workers or restarts."""
    return int(np.random.SeedSequence([seed, epoch, index]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def aspect_groups(ratios: np.ndarray) -> np.ndarray:
    """0 for landscape and square, 1 for portrait: two groups; ratios are width over height."""
    return (ratios < 1).astype(np.int64)
