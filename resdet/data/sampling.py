"""Which images make up step t: a function of (seed, t) alone, so that a resumed run continues where it stopped.

sampler = TrainSampler(len(dataset), images=2, seed=0, groups=aspect_groups(dataset.table.aspect_ratios()))
for batch in sampler:                 # endless; each batch is a list of Draw(index, epoch, seed)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Draw:
    """One image of one step. `seed` keys everything random about it: augmentation, sampling of anchors and regions."""

    index: int
    epoch: int
    seed: int


@dataclass(frozen=True)
class StepShare:
    """A process's part of a step: a step has `accumulate` passes, and each pass is divided among `world` processes."""

    accumulate: int = 1
    rank: int = 0
    world: int = 1


class TrainSampler:
    """Endless batches: every epoch a new permutation, cut into steps, the same plan on every process.

    Args:
        length: images in the data set.
        images: images per step, over all processes.
        seed: of the run.
        groups: int [length], such as `aspect_groups`; a step takes its images from one group, to save padding. At the
            end of an epoch the images left over in the groups are mixed. None: one group.
        rank, world: this process takes images / world of every step.
        start: the first step, for resuming.

    Raises:
        ValueError: `images` is not divisible by `world`.
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
            raise ValueError(f"{images} images per step cannot be shared evenly by {world} processes")
        self.length, self.images, self.seed, self.start = length, images, seed, start
        self.groups = np.zeros(length, np.int64) if groups is None else groups
        self.rank, self.world = rank, world
        self.steps_per_epoch = max(1, length // images)

    def __iter__(self) -> Iterator[list[Draw]]:
        epoch, first = divmod(self.start, self.steps_per_epoch)
        while True:
            steps = self.own_steps(epoch)[first:]
            for indices, seeds in zip(steps, image_seeds(self.seed, epoch, steps), strict=True):
                yield [Draw(i, epoch, seed) for i, seed in zip(indices.tolist(), seeds.tolist(), strict=True)]
            epoch, first = epoch + 1, 0

    def own_steps(self, epoch: int) -> np.ndarray:
        """This process's images of every step of an epoch: int64 [steps_per_epoch, images / world].

        They are consecutive in the step, so that a process sees the images of one ghost batch of its size
        (nets/ghost_bn.py).
        """
        share = self.images // self.world
        return self.epoch_steps(epoch)[:, self.rank * share : (self.rank + 1) * share]

    def epoch_steps(self, epoch: int) -> np.ndarray:
        """The images of every step of an epoch, over all processes: int64 [steps_per_epoch, images]."""
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


def image_seeds(seed: int, epoch: int, indices: np.ndarray) -> np.ndarray:
    """A 63-bit hash of (run's seed, epoch, image) for each image; it does not depend on processes, workers or restarts.

    They are ``SeedSequence([seed, epoch, index]).generate_state(1, np.uint64) >> 1``, computed for all images at once:
    an object for each takes most of the time in which the main process plans a step.

    Args:
        seed: of the run, 0 or more.
        epoch: 0 or more.
        indices: int of any shape, below 2**32.

    Returns:
        uint64, of the same shape.
    """
    words = [*_words(seed), *_words(epoch), indices.astype(np.uint32)]
    words += [_words(0)[0]] * (4 - len(words))
    hashed = _Hash(0x43B0D7E5, 0x931E8875)
    pool = [hashed(word) for word in words[:4]]
    for source in range(4):
        for target in range(4):
            if source != target:
                pool[target] = _mixed(pool[target], hashed(pool[source]))
    for word in words[4:]:  # of a seed from 2**32
        pool = [_mixed(value, hashed(word)) for value in pool]
    hashed = _Hash(0x8B51F9DD, 0x58F38DED)
    low, high = (hashed(value).astype(np.uint64) for value in pool[:2])
    seeds: np.ndarray = (low | high << np.uint64(32)) >> np.uint64(1)
    return seeds


class _Hash:
    """The hash of NumPy's SeedSequence, whose constant changes at each call; uint32 arrays."""

    def __init__(self, constant: int, factor: int) -> None:
        self.constant, self.factor = constant, factor

    def __call__(self, value: np.ndarray) -> np.ndarray:
        value = value ^ np.uint32(self.constant)
        self.constant = self.constant * self.factor % 2**32
        value = value * np.uint32(self.constant)
        hashed: np.ndarray = value ^ value >> np.uint32(16)
        return hashed


def _mixed(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """SeedSequence's mixture of two words."""
    mixed = np.asarray(x * np.uint32(0xCA01F9DD) - y * np.uint32(0x4973F715), np.uint32)
    return mixed ^ mixed >> np.uint32(16)


def _words(number: int) -> list[np.ndarray]:
    """A number's 32-bit words, the lowest first, each an array of one: scalars would warn of the wrapping."""
    count = max(1, -(-number.bit_length() // 32))
    return [np.array([number >> 32 * k & 0xFFFFFFFF], np.uint32) for k in range(count)]


def aspect_groups(ratios: np.ndarray) -> np.ndarray:
    """Groups for `TrainSampler`, int64 [N]: 0 for landscape and square images, 1 for portrait.

    Args:
        ratios: width / height, [N].
    """
    return (ratios < 1).astype(np.int64)


def spread_evenly(length: int, count: int) -> np.ndarray:
    """Indices of `count` images spread evenly over a data set of `length`, int64, ascending; 0 or too many: of all."""
    if not 0 < count < length:
        return np.arange(length)
    return np.arange(count) * length // count
