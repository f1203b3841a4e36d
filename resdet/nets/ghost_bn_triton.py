"""Ghost batch normalization as two Triton kernels per direction; ghost_bn.py has the same in plain torch.

In channels_last memory a batch is a matrix [rows, C] with one row per pixel, and the rows of one part are consecutive.
The first kernel of each direction sums over a block of channels and a slice of a part's rows. The second one combines
the slices of a part, again in each of its programs, and writes the result. Everything is computed in float32, in a
fixed order: equal inputs give equal bits.

Both directions are operators of torch, so that they also work with fake tensors and within torch.compile.
With the environment variable TRITON_INTERPRET=1, set before triton is imported, everything runs on a CPU, slowly.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from resdet.nets.ghost_bn_kernels import TILE, gradient_kernel, gradient_sums_kernel, moments_kernel, normalize_kernel

MOST_CHANNELS = 64  # channels of one program: 128 bytes of a row in bf16
PROGRAMS = 512  # enough to fill a large GPU
WARPS = 8


class GhostBatchNormFunction(torch.autograd.Function):
    """x [N, C, H, W], normalized over parts of `images` images each, in the dtype of x, channels_last.

    N is a multiple of `images`; weight, bias and the running statistics are float32 [C]. The latter are updated in
    place with the mean over the parts of their means and unbiased variances.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        running_mean: Tensor,
        running_var: Tensor,
        settings: tuple[int, float, float],
    ) -> Tensor:
        """The normalized x; settings: (images, momentum, eps)."""
        x = x.contiguous(memory_format=torch.channels_last)
        y: Tensor
        y, statistics = _normalize(x, weight, bias, running_mean, running_var, *settings)
        ctx.save_for_backward(x, weight, statistics)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of x, weight and bias."""
        x, weight, statistics = ctx.saved_tensors
        grad = grad.contiguous(memory_format=torch.channels_last)
        return *_normalize_backward(grad, x, weight, statistics), None, None, None


def try_out(device: str) -> None:
    """Compile and run all kernels on a few pixels; raises what Triton raises where it does not work."""
    if device == "cuda" and not torch.cuda.is_available():
        return  # the tensors can only be fake ones, which run no kernel
    ones = [torch.ones(MOST_CHANNELS, device=device) for _ in range(4)]
    x = ones[0].bfloat16().expand(2, 1, 1, -1).movedim(-1, 1).contiguous(memory_format=torch.channels_last)
    _, statistics = _normalize(x, *ones, 2, 0.1, 1e-5)
    _normalize_backward(x, x, ones[0], statistics)


class _Work(NamedTuple):
    """How the work on a layer is divided."""

    grid: tuple[int, int, int]  # blocks of channels, slices of a part, parts
    sizes: tuple[int, int]  # rows of a part, channels
    blocks: dict[str, int]  # the kernels' constants


def _work(x: Tensor, statistics: Tensor) -> _Work:
    parts, channels = statistics.shape[1:]
    return _divide(x.numel() // (parts * channels), channels, parts)


@cache
def _divide(size: int, channels: int, parts: int) -> _Work:
    """The work on `parts` parts of `size` rows each."""
    columns = min(MOST_CHANNELS, triton.next_power_of_2(channels))
    tile = TILE.value // columns
    blocks = triton.cdiv(channels, columns)
    rows = triton.cdiv(triton.cdiv(size, triton.cdiv(PROGRAMS, blocks * parts)), tile) * tile
    grid = (blocks, triton.cdiv(size, rows), parts)
    return _Work(grid, (size, channels), {"COLUMNS": columns, "num_warps": WARPS})


@torch.library.custom_op(
    "resdet::ghost_bn",
    mutates_args=("running_mean", "running_var"),
    schema="(Tensor x, Tensor weight, Tensor bias, Tensor(a!) running_mean, Tensor(b!) running_var, SymInt images, "
    "float momentum, float eps) -> (Tensor, Tensor)",
)
def _normalize(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    images: int,
    momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor]:
    """The result, and float32 [2, parts, C]: means and 1 / sqrt(variance + eps)."""
    y, statistics = _outputs(x, weight, bias, running_mean, running_var, images, momentum, eps)
    grid, sizes, blocks = _work(x, statistics)
    sums = statistics.new_empty(2, grid[2], grid[1], sizes[1])
    with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
        moments_kernel[grid](x, sums, *sizes, **blocks)
        layer = (weight, bias, running_mean, running_var, momentum, eps)
        normalize_kernel[grid](x, y, sums, statistics, layer, *sizes, **blocks)
    return y, statistics


@_normalize.register_fake
def _outputs(x: Tensor, weight: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
    """Unset memory for the results of `_normalize`, whose arguments it takes."""
    images: int = others[3]
    return torch.empty_like(x), weight.new_empty(2, x.shape[0] // images, x.shape[1])


@torch.library.custom_op(
    "resdet::ghost_bn_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor x, Tensor weight, Tensor statistics) -> (Tensor, Tensor, Tensor)",
)
def _normalize_backward(grad: Tensor, x: Tensor, weight: Tensor, statistics: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of x, weight and bias."""
    results: tuple[Tensor, Tensor, Tensor] = _fake_backward(grad, x, weight, statistics)
    grid, sizes, blocks = _work(x, statistics)
    sums = statistics.new_empty(2, grid[2], grid[1], sizes[1])
    with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
        saved = (x, weight, statistics)
        gradient_sums_kernel[grid](grad, saved, sums, *sizes, **blocks)
        gradient_kernel[grid](grad, saved, results, sums, *sizes, **blocks)
    return results


@_normalize_backward.register_fake
def _fake_backward(grad: Tensor, x: Tensor, weight: Tensor, statistics: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Unset memory for the results of `_normalize_backward`."""
    return torch.empty_like(x), torch.empty_like(weight), torch.empty_like(weight)
