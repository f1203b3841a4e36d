"""RoIPool as one Triton kernel per direction; roi_pool.py has the same in plain torch and says when each is used.

One program computes one bin for a block of channels. The forward pass keeps the cell of every maximum, and the backward
pass adds each gradient to its cell, in float32 and in no fixed order. Both are operators of torch, so that they also
work with fake tensors and within torch.compile.

With the environment variable TRITON_INTERPRET=1, set before triton is imported, everything runs on a CPU, slowly.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

MOST_CHANNELS = 1024  # channels of one program
CHANNELS_PER_WARP = 256  # 8 per thread: 16 bytes in bf16, the widest load


def pool_bins(maps: Tensor, start: Tensor, stop: Tensor, longest: tuple[int, int]) -> Tensor:
    """The maximum over the cells of each bin; 0 in bins without cells.

    Args:
        maps: [N, h, w, C], any float dtype.
        start, stop: int64 [2, N * R, P], first cell and one after the last of each bin along x and along y.
        longest: how many cells of a bin are looked at along x and along y.

    Returns:
        [N * R * P * P, C] in the dtype of `maps`.
    """
    tracked = torch.is_grad_enabled() and maps.requires_grad
    pooled: Tensor = _pool(maps.contiguous(), start.contiguous(), stop.contiguous(), *longest, tracked)[0]
    return pooled


def try_out(device: str) -> None:
    """Compile and run both kernels on one cell; raises what Triton raises where it does not work."""
    if device == "cuda" and not torch.cuda.is_available():
        return  # the tensors can only be fake ones, which run no kernel
    maps, edges = torch.ones(1, 1, 1, 1, device=device), torch.zeros(2, 1, 1, dtype=torch.int64, device=device)
    pooled, cells = _pool(maps, edges, edges + 1, 2, 2, True)
    _pool_backward(pooled, cells, list(maps.shape))


@torch.library.custom_op(
    "resdet::roi_pool",
    mutates_args=(),
    schema="(Tensor maps, Tensor start, Tensor stop, int longest_x, int longest_y, bool tracked) -> (Tensor, Tensor)",
)
def _pool(
    maps: Tensor, start: Tensor, stop: Tensor, longest_x: int, longest_y: int, tracked: bool
) -> tuple[Tensor, Tensor]:
    """Maxima [bins, C], and the cell y * w + x of each: [bins, C] if `tracked`, else [0, C]; -1: no cell."""
    pooled, cells = _outputs(maps, start, stop, longest_x, longest_y, tracked)
    images, height, width, channels = maps.shape
    if pooled.numel() == 0:
        return pooled, cells
    block, warps = _block(channels)
    layout = (start.shape[2], channels, longest_x, longest_y)
    with torch.cuda.device_of(maps):
        _pool_kernel[(len(pooled) // images, triton.cdiv(channels, block), images)](
            maps, (start, stop), (pooled, cells), height * width, width, layout,
            TRACKED=tracked, BLOCK=block, num_warps=warps,
        )  # fmt: skip
    return pooled, cells


@_pool.register_fake
def _outputs(
    maps: Tensor, start: Tensor, stop: Tensor, longest_x: int, longest_y: int, tracked: bool
) -> tuple[Tensor, Tensor]:
    """Unset memory for the results of `_pool`."""
    height, width, channels = maps.shape[1:]
    bins = start.shape[1] * start.shape[2] ** 2
    smallest = torch.int16 if height * width <= 2**15 else torch.int32
    cells = torch.empty(bins if tracked else 0, channels, dtype=smallest, device=maps.device)
    return maps.new_empty(bins, channels), cells


@torch.library.custom_op(
    "resdet::roi_pool_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor cells, SymInt[] shape) -> Tensor",
)
def _pool_backward(grad: Tensor, cells: Tensor, shape: list[int]) -> Tensor:
    """The gradient of maps with `shape` [N, h, w, C], in the dtype of `grad`."""
    summed = grad.new_zeros(shape, dtype=_sum_dtype(grad.dtype))
    images, height, width, channels = shape
    if cells.numel():
        block, warps = _block(channels)
        with torch.cuda.device_of(grad):
            _backward_kernel[(len(cells), triton.cdiv(channels, block))](
                grad.contiguous(), cells, summed, len(cells) // images, height * width, channels,
                BLOCK=block, num_warps=warps,
            )  # fmt: skip
    return summed.to(grad.dtype)


@_pool_backward.register_fake
def _fake_backward(grad: Tensor, cells: Tensor, shape: list[int]) -> Tensor:
    return grad.new_empty(shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.set_materialize_grads(False)  # no zeros for the gradient of the cells
    ctx.save_for_backward(output[1])
    ctx.shape = inputs[0].shape


def _differentiate(ctx: Any, grad: Tensor, _: None) -> tuple[Tensor | None, ...]:
    (cells,) = ctx.saved_tensors
    return _pool_backward(grad, cells, ctx.shape), None, None, None, None, None


_pool.register_autograd(_differentiate, setup_context=_keep)


def _sum_dtype(dtype: torch.dtype) -> torch.dtype:
    """Many bins add to one cell, and a sum in bf16 would lose the small terms."""
    return torch.promote_types(dtype, torch.float32)


def _block(channels: int) -> tuple[int, int]:
    """Channels per program, a power of two, and its warps."""
    block = min(MOST_CHANNELS, triton.next_power_of_2(channels))
    return block, max(1, block // CHANNELS_PER_WARP)


@triton.jit(do_not_specialize=["area", "width"])  # one variant for all sizes of maps
def _pool_kernel(maps, edges, results, area, width, layout, TRACKED: tl.constexpr, BLOCK: tl.constexpr):
    """One bin of one region. Programs are numbered by bin of an image, block of channels, image.

    edges: (start, stop). results: (pooled, cells). area: cells of a map. layout: (bins per axis, channels, longest_x,
    longest_y).
    """
    start, stop = edges
    pooled, cells = results
    side, channels, longest_x, longest_y = layout
    bin = tl.program_id(2) * tl.num_programs(0) + tl.program_id(0)
    regions = tl.num_programs(2) * tl.num_programs(0) // (side * side)
    region = bin // (side * side)
    x_edge = region * side + bin % side
    y_edge = (regions + region) * side + bin // side % side
    left = tl.load(start + x_edge).to(tl.int32)
    top = tl.load(start + y_edge).to(tl.int32)
    columns = tl.minimum(tl.load(stop + x_edge).to(tl.int32) - left, longest_x)
    rows = tl.minimum(tl.load(stop + y_edge).to(tl.int32) - top, longest_y)
    right, bottom = left + columns, top + rows
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    values = maps + tl.program_id(2).to(tl.int64) * area * channels + channel
    inside = channel < channels
    best = tl.zeros([BLOCK], dtype=tl.float64 if maps.dtype.element_ty == tl.float64 else tl.float32)
    cell = tl.full([BLOCK], -1, dtype=tl.int32)
    # The parts of roi_pool.py's four windows that are in no earlier one: of equal maxima the same cell is kept.
    x, y = left + _window(columns, longest_x), top + _window(rows, longest_y)
    best, cell = _scan(best, cell, (left, x, top, y), values, inside, width, channels)
    best, cell = _scan(best, cell, (x, right, top, y), values, inside, width, channels)
    best, cell = _scan(best, cell, (left, x, y, bottom), values, inside, width, channels)
    best, cell = _scan(best, cell, (x, right, y, bottom), values, inside, width, channels)
    row = bin.to(tl.int64) * channels
    tl.store(pooled + row + channel, best.to(pooled.dtype.element_ty), mask=inside)
    if TRACKED:
        cell = tl.where(best == best, cell, -1)  # NaN gives no gradient
        tl.store(cells + row + channel, cell.to(cells.dtype.element_ty), mask=inside)


@triton.jit
def _scan(best, cell, rectangle, values, inside, width, channels):
    """Go on with the maximum, and its cell, over a rectangle of cells, down the columns; the first of equal ones."""
    left, right, top, bottom = rectangle
    for x in range(left, right):
        for y in range(top, bottom):
            here = y * width + x
            value = tl.load(values + tl.cast(here, tl.int64) * channels, mask=inside, other=0).to(best.dtype)
            better = (value > best) | (value != value) | (cell < 0)
            best = tl.where(better, value, best)
            cell = tl.where(better, here, cell)
    return best, cell


@triton.jit
def _window(length, longest):
    """The largest power of two that is at most `length` and below `longest`; `length` itself if that is below 1."""
    power = tl.full([], 1, tl.int32)
    while (power * 2 <= length) & (power * 2 < longest):
        power *= 2
    return tl.minimum(power, length)


@triton.jit(do_not_specialize=["bins_per_image", "area"])
def _backward_kernel(grad, cells, summed, bins_per_image, area, channels, BLOCK: tl.constexpr):
    """Add the gradient of one bin to the cells that its maxima came from."""
    bin = tl.program_id(0)
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    row = bin.to(tl.int64) * channels
    cell = tl.load(cells + row + channel, mask=channel < channels, other=-1).to(tl.int64)
    value = tl.load(grad + row + channel, mask=channel < channels, other=0).to(summed.dtype.element_ty)
    image = (bin // bins_per_image).to(tl.int64) * area
    tl.atomic_add(summed + (image + cell) * channels + channel, value, mask=cell >= 0, sem="relaxed")
