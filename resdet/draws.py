"""Random numbers as functions of keys: no generator, no state, no order.

    keys = random_keys(batch.seeds, 100, stream=1)            # [N] -> float32 [N, 100] in [0, 1)
    seeds = draw_seeds(seed, epoch, indices)                  # int64 [N], the `seeds` of a batch

Draws are functions of (seed, stream, slot) only. They do not depend on the device, on what was drawn before or on which
images share the batch, so a run can be resumed or spread over other machines without a change in its samples.

The streams in use: 0 the RPN's anchors, 1 the head's regions, 2 a classifier's views of its images, 3 the per-class
RPN's anchors, 4 the R-CNN stage's regions and 5 which of those are mirrored (localization).
"""

from __future__ import annotations

import torch
from torch import Tensor


def random_keys(seeds: Tensor, count: int, stream: int) -> Tensor:
    """Uniform float32 keys in [0, 1), [N] -> [N, count]: a hash of (seed, `stream`, slot), the same on every device.

    `stream` tells apart the draws made with one seed. Keys are multiples of 2**-24, all exact in float32. The hash is
    splitmix64's output function (Steele, Lea, Flood, 2014), on a counter.
    """
    slots = torch.arange(count, device=seeds.device, dtype=torch.int64)
    state = _mix(_mix(seeds.to(torch.int64) + _GOLDEN) + _signed((stream + 1) * _ODD))
    bits = _mix(state[:, None] + (slots + 1) * _GOLDEN)
    return _shift(bits, 40).to(torch.float32) * 2.0**-24


def draw_seeds(seed: int, epoch: int, indices: Tensor) -> Tensor:
    """A key for every image of a step, int64 [N] of its numbers [N]: a hash of (run, epoch, image)."""
    state = _mix(_mix(torch.tensor(seed) + _GOLDEN) + _signed((epoch + 1) * _ODD)).item()
    return _mix(_mix(indices * _GOLDEN + int(state)))


def _signed(value: int) -> int:
    """`value` modulo 2**64 as the signed number that torch wants."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


_GOLDEN = _signed(0x9E3779B97F4A7C15)  # 2**64 / golden ratio: splitmix64's increment
_ODD = _signed(0xD1B54A32D192ED03)  # an odd number unlike it, so that streams are no shifted slots


def _shift(bits: Tensor, places: int) -> Tensor:
    """Logical right shift; torch's own drags the sign along."""
    return (bits >> places) & ((1 << (64 - places)) - 1)


def _mix(bits: Tensor) -> Tensor:
    bits = (bits ^ _shift(bits, 30)) * _signed(0xBF58476D1CE4E5B9)
    bits = (bits ^ _shift(bits, 27)) * _signed(0x94D049BB133111EB)
    return bits ^ _shift(bits, 31)
