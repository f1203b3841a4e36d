"""RoIPool (Fast R-CNN, section 2.1): the maximum over the cells in each bin of a region.

    pooled = roi_pool(features, regions)               # [N, C, h, w], [N, R, 4] -> [N * R, C, 14, 14]
    pooled = roi_pool(features, regions, even=True)    # every second bin: [N * R, C, 7, 7]

Same values as torchvision's ``roi_pool``, which needs NCHW float32. This one takes any float dtype and returns it in
channels_last memory, so that a network in bf16 and channels_last needs no conversion.

On a GPU with Triton one kernel does it (roi_pool_triton.py); everywhere else, and where
``torch.use_deterministic_algorithms`` is set, plain torch (below), with the same values to the bit and each gradient
for the same cell.

A bin is a rectangle, and the maximum over a rectangle is the maximum over four overlapping windows whose sides are
powers of two. Table [i, j] holds, for every cell, the maximum over the 2**i rows and 2**j columns that begin there (a
"sparse table" for range-maximum queries). Cells so near the border that their window would cross it are left unset: no
bin reads them.

Of several cells with a bin's maximum one takes the gradient: the first in the first of the four windows (upper left,
upper right, lower left, lower right) that has one, counted down the columns from the left. torchvision's is the first
one along the rows. A bin with a NaN is NaN and gives no gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from resdet.boxes.region_grid import CHUNK_BYTES, LONGEST_BIN, bin_indices, corners_in_cells, image_extents
from resdet.kernels import kernel_runs

KERNELS = "resdet.boxes.roi_pool_triton"
CPU_CHUNK_BYTES = 4 * 2**20  # size of a chunk's temporary tensor on a CPU: it should fit into the cache


def roi_pool(
    features: Tensor,
    regions: Tensor,
    bins: int = 14,
    stride: float = 16,
    even: bool = False,
    cells: Tensor | None = None,
) -> Tensor:
    """The maximum over the cells of each bin of each region; 0 in bins without cells.

    Regions are rounded to whole cells, halves away from 0. The gradient of a bin goes to one of the cells that have its
    maximum; gradients of one cell are summed in float32 (float64 for float64 maps).

    Args:
        features: [N, C, h, w], any float dtype.
        regions: [N, R, 4], x1, y1, x2, y2 in pixels of the network's input; they get no gradient.
        bins: bins per axis; 14 is the input of conv5 (App. A), 7 that of VGG's fc6.
        stride: input pixels per cell.
        even: compute every second bin only (region_grid.py).
        cells: int64 [N, 2], the (height, width) of each image in cells of a padded map; None: images fill the map.

    Returns:
        [N * R, C, P, P] in the dtype of `features`, channels_last; P is bins, or ceil(bins / 2) with `even`.
    """
    C = features.shape[1]
    found = _bins(features, regions, bins, stride, even, cells)
    maps = features.permute(0, 2, 3, 1)
    pooled = _pooling(features.device.type)(maps, *found)
    P = found.start.shape[2]
    return pooled.view(-1, P, P, C).permute(0, 3, 1, 2)


class _Bins(NamedTuple):
    """The bins along each axis, x before y; R is the regions of all images."""

    start: Tensor  # int64 [2, R, P], first cell
    stop: Tensor  # int64 [2, R, P], one after the last cell; a bin without cells stops where it starts, or before
    longest: tuple[int, int]  # how many cells of a bin are looked at (region_grid.py), a power of two


def _bins(features: Tensor, regions: Tensor, bins: int, stride: float, even: bool, cells: Tensor | None) -> _Bins:
    """Where the bins of all regions begin and end; arguments as in `roi_pool`."""
    low, high = _round(corners_in_cells(features, regions, stride)).transpose(1, 2)[..., None]  # each [2, R, 1]
    # Divided by a tensor: a GPU multiplies by the reciprocal of a Python number, and bins would differ from a CPU's.
    span = (high - low + 1).clamp(min=1) / low.new_full((), bins)
    number = bin_indices(bins, even, low)
    edges = torch.stack([number, number + 1])[:, None, None] * span  # [2, 2, R, P]: start and stop of x and y
    edges[0].floor_()
    edges[1].ceil_()
    edges.add_(low).clamp_(min=0)
    heights, widths = image_extents(features, regions, cells)
    for axis, extent in zip(edges.unbind(1), (widths, heights), strict=True):
        torch.minimum(axis, extent[:, None], out=axis)
    start, stop = edges.to(torch.int64, memory_format=torch.contiguous_format)
    height, width = features.shape[2:]
    return _Bins(start, stop, (_longest(width, bins), _longest(height, bins)))


def _round(values: Tensor) -> Tensor:
    """Round to the nearest integer, halves away from 0 like C's round(); torch.round takes halves to even."""
    whole = values.trunc()
    return whole + values.sign() * ((values - whole).abs() >= 0.5)


def _longest(size: int, bins: int) -> int:
    """How many cells of a bin are looked at, along an axis with `size` cells: a power of two."""
    longest = min(size, max(LONGEST_BIN, math.ceil((size + 1) / bins) + 1))
    return int(2 ** max(1, (longest - 1).bit_length()))


def _pooling(device: str) -> Callable[..., Tensor]:
    """The Triton kernel's pooling where it runs, else `_table_pool`. The kernel adds gradients in no fixed order."""
    if torch.are_deterministic_algorithms_enabled() or not kernel_runs(KERNELS, device):
        return _table_pool
    from resdet.boxes.roi_pool_triton import pool_bins

    return pool_bins


def _table_pool(maps: Tensor, start: Tensor, stop: Tensor, longest: tuple[int, int]) -> Tensor:
    """The maxima by sparse tables: [bins of all regions, C] of maps [N, h, w, C]; see `_Bins`."""
    x = _cover(start[0], stop[0], longest[0], maps.shape[2])
    y = _cover(start[1], stop[1], longest[1], maps.shape[1])
    rows, empty = _table_rows(maps.shape, y, x)
    pooled: Tensor = _MaxPool.apply(maps, rows, empty, y.levels, x.levels)
    return pooled


class _Windows(NamedTuple):
    """The two windows of 2**level cells that together cover each bin of one axis."""

    first: Tensor  # int64 [R, P], cell where the first window begins
    second: Tensor  # int64 [R, P], cell where the second begins; it ends where the bin ends
    level: Tensor  # int64 [R, P]
    empty: Tensor  # bool [R, P], bins without cells
    levels: int  # number of levels that the axis needs


def _cover(start: Tensor, stop: Tensor, longest: int, size: int) -> _Windows:
    """The windows of one axis; start, stop: int64 [R, P] and longest as in `_Bins`, size: cells of the axis."""
    levels = longest.bit_length() - 1  # two windows of 2**(levels - 1) cells cover the longest bin
    length = (stop - start).clamp(0, longest)
    level = torch.zeros_like(length)
    for k in range(1, levels):
        level += length >= 2**k
    second = start + length - 2**level
    return _Windows(start.clamp(max=size - 1), second.clamp(0, size - 1), level, length == 0, levels)


def _table_rows(shape: torch.Size, y: _Windows, x: _Windows) -> tuple[Tensor, Tensor]:
    """The rows of each bin's four windows in the tables of maps [N, h, w, C], seen as one matrix [rows, C].

    Returns:
        int64 [4, bins of all regions], bool [bins of all regions, 1]: True for empty bins.
    """
    N, h, w, _ = shape
    image = torch.arange(N, device=y.level.device).repeat_interleave(len(y.level) // max(N, 1))[:, None, None]
    table = (y.level[:, :, None] * x.levels + x.level[:, None, :]) * N + image
    rows = [
        ((table * h + top[:, :, None]) * w + left[:, None, :]).flatten()
        for top in (y.first, y.second)
        for left in (x.first, x.second)
    ]
    empty = y.empty[:, :, None] | x.empty[:, None, :]
    return torch.stack(rows), empty.reshape(-1, 1)


class _MaxPool(torch.autograd.Function):
    """maps [N, h, w, C] -> [bins of all regions, C].

    Saves only the map and the result. The backward pass finds the maxima again, which needs a small part of the memory
    that an index for every value would take.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor, rows: Tensor, empty: Tensor, levels_y: int, levels_x: int) -> Tensor:
        tables = _tables(maps, levels_y, levels_x).view(-1, maps.shape[3])
        pooled = maps.new_empty(rows.shape[1], maps.shape[3])
        for part in _chunks(pooled):
            best = tables.index_select(0, rows[0, part])
            for corner in rows[1:, part]:
                torch.maximum(best, tables.index_select(0, corner), out=best)
            pooled[part] = best.masked_fill_(empty[part], 0)
        ctx.save_for_backward(maps, pooled, rows, empty)
        ctx.levels = levels_y, levels_x
        return pooled

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        maps, pooled, rows, empty = ctx.saved_tensors
        tables = _tables(maps, *ctx.levels)
        # In float32: many bins add to one cell, and a sum in bf16 would lose the small terms.
        grads = torch.zeros_like(tables, dtype=torch.promote_types(maps.dtype, torch.float32))
        flat_tables, flat_grads = tables.view(-1, maps.shape[3]), grads.view(-1, maps.shape[3])
        for part in _chunks(pooled):
            left = grad[part].to(grads.dtype).masked_fill(empty[part], 0)
            for corner in rows[:, part]:
                # The first window that has the maximum takes the gradient; for the others none is left.
                given = left.masked_fill(flat_tables.index_select(0, corner) != pooled[part], 0)
                flat_grads.index_add_(0, corner, given)
                left -= given
        _tables_backward(tables, grads)
        return grads[0, 0].to(maps.dtype), None, None, None, None


def _chunks(pooled: Tensor) -> list[slice]:
    """Slices of the rows of `pooled`, each at most CHUNK_BYTES large (CPU_CHUNK_BYTES on a CPU)."""
    limit = CPU_CHUNK_BYTES if pooled.device.type == "cpu" else CHUNK_BYTES
    step = max(1, limit // max(1, pooled.shape[1] * pooled.element_size()))
    return [slice(i, i + step) for i in range(0, len(pooled), step)]


def _tables(maps: Tensor, levels_y: int, levels_x: int) -> Tensor:
    """Maxima over windows: [levels_y, levels_x, N, h, w, C] of maps [N, h, w, C]."""
    tables = maps.new_empty(levels_y, levels_x, *maps.shape)
    tables[0, 0] = maps
    for target, first_half, second_half in _doublings(tables):
        torch.maximum(first_half, second_half, out=target)
    return tables


def _tables_backward(tables: Tensor, grads: Tensor) -> None:
    """Pass the gradients of larger windows down to ``grads[0, 0]``, the gradient of the maps."""
    steps = zip(_doublings(tables), _doublings(grads), strict=True)
    for (_, first_half, second_half), (grad, grad_first, grad_second) in reversed(list(steps)):
        to_first = grad.masked_fill(first_half < second_half, 0)
        grad_first += to_first
        grad_second += grad - to_first


def _doublings(tables: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Views (window, its first half, its second half) of every table but the first, halves before wholes."""
    for i, row in enumerate(tables):
        for j in range(len(row)):
            if i == j == 0:
                continue
            parent, axis, half = (row[j - 1], 2, 2 ** (j - 1)) if j else (tables[i - 1, 0], 1, 2 ** (i - 1))
            count = parent.shape[axis] - half
            yield row[j].narrow(axis, 0, count), parent.narrow(axis, 0, count), parent.narrow(axis, half, count)
