"""Counter-based random numbers: a hash of (seed, stream, slot) instead of a generator with a state.

    seeds = draw_seeds(seed, epoch, indices)                  # int64 [N], one per image of a step: `batch.seeds`
    numbers = random_keys(seeds, 100, stream=1)               # [N] -> float32 [N, 100] in [0, 1)

The numbers do not depend on the device, on earlier draws or on the other images of the batch. A run can therefore be
resumed, or spread over another number of GPUs, and draws the same samples.

A stream number separates different uses of one seed. In use are

- 0: the RPN's anchors
- 1: the region head's regions
- 2: a classifier's augmentation
- 3: the per-class RPN's anchors
- 4: the R-CNN stage's regions
- 5: which of these regions are mirrored
"""

from __future__ import annotations

import torch
from torch import Tensor


def random_keys(seeds: Tensor, count: int, stream: int) -> Tensor:
    """Uniform random numbers in [0, 1), equal on every device.

    The hash is the output function of splitmix64 (Steele, Lea, Flood 2014), applied to a counter. The numbers are
    multiples of 2**-24, which float32 holds exactly.

    Args:
        seeds: int64 [N].
        count: numbers per seed.
        stream: 0 or more; see the module.

    Returns:
        float32 [N, count].
    """
    slots = torch.arange(count, device=seeds.device, dtype=torch.int64)
    state = _mix(_mix(seeds.to(torch.int64) + _GOLDEN) + _signed((stream + 1) * _ODD))
    bits = _mix(state[:, None] + (slots + 1) * _GOLDEN)
    return _shift(bits, 40).to(torch.float32) * 2.0**-24


def draw_seeds(seed: int, epoch: int, indices: Tensor) -> Tensor:
    """The seed of each image in one epoch: a hash of (seed, epoch, index).

    Args:
        seed: of the run.
        epoch: 0 or more; a step's number where there are no epochs.
        indices: int64 [N], the images' indices in the data set.

    Returns:
        int64 [N].
    """
    state = _mix(_mix(torch.tensor(seed) + _GOLDEN) + _signed((epoch + 1) * _ODD)).item()
    return _mix(_mix(indices * _GOLDEN + int(state)))


def _signed(value: int) -> int:
    """`value` modulo 2**64 as a signed 64-bit integer, which is what torch has."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


_GOLDEN = _signed(0x9E3779B97F4A7C15)  # 2**64 / golden ratio: splitmix64's increment
_ODD = _signed(0xD1B54A32D192ED03)  # another odd number, so that a stream is not a shifted copy of another


def _shift(bits: Tensor, places: int) -> Tensor:
    """Logical right shift; torch's ``>>`` is arithmetic and copies the sign bit."""
    return (bits >> places) & ((1 << (64 - places)) - 1)


def _mix(bits: Tensor) -> Tensor:
    """splitmix64's output function."""
    bits = (bits ^ _shift(bits, 30)) * _signed(0xBF58476D1CE4E5B9)
    bits = (bits ^ _shift(bits, 27)) * _signed(0x94D049BB133111EB)
    return bits ^ _shift(bits, 31)
