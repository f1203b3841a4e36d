"""Pooling of regions of interest, in the features' own dtype and memory layout.

    cells = roi_align(features, regions)               # [N, C, h, w], [N, R, 4] -> [N * R, C, 14, 14]
    cells = roi_pool(features, regions, even=True)     # [N * R, C, 7, 7]

`roi_align` is torchvision's ``roi_align`` (Mask R-CNN, section 3) and `roi_pool` its ``roi_pool`` (Fast
R-CNN, section 2.1). Those two need NCHW float32; these take bf16 and give the result with C innermost (channels_last),
so that a network in that layout is never copied. Region coordinates get no gradient.

``even=True`` computes only the bins 0, 2, 4, ... of each axis: ``full[..., ::2, ::2]``. A head whose first convolutions
are 1x1 with stride 2 (the bottleneck of the ResNet paper) reads no others.

Both equal torchvision's for every region no larger than the map and for all others with bins of at most `LONGEST_BIN`
cells. Beyond that (a region 112 cells long on 14 bins) an average takes fewer samples and a maximum looks at the first
cells of its bin: shapes must not depend on the data. Coordinates that are not finite count as 0 or as +-`FARTHEST`.

Interpolation is linear and separable, ``Wy F Wx^T``. A GPU, a compiler and an exporter get it as two dense matrix
products, without a sync or an atomic. On a CPU one sparse product is several times faster, as a bin has some four
non-zero weights among the thousands of cells of a map.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

LONGEST_BIN = 8  # cells
FARTHEST = 1e6  # pixels; a bound on coordinates that keeps the arithmetic finite
CHUNK_BYTES = 64 * 2**20  # the temporary of one chunk of regions in dense products
CPU_CHUNK_BYTES = 4 * 2**20  # that of roi_pool on a CPU: should stay in its cache


def roi_align(
    features: Tensor,
    regions: Tensor,
    bins: int = 14,
    stride: float = 16,
    sampling: int = 0,
    even: bool = False,
    cells: Tensor | None = None,
    aligned: bool = True,
) -> Tensor:
    """Average of bilinear samples in each bin: [N, C, h, w] and [N, R, 4] -> [N * R, C, bins, bins].

    `regions` are in pixels of the network's input, `stride` input pixels a cell. `sampling` samples an axis and bin; 0
    is adaptive, ``ceil(region / bins)`` of the region's size in cells. A region without area gives 0 if adaptive. With
    `even` the result is [N * R, C, ceil(bins / 2), ceil(bins / 2)], see above. `cells` int64 [N, 2] is the (height,
    width) that each image fills of a padded map: its border is there. None: the whole map.

    `aligned` says where the value of cell i lies on the image: at pixel ``(i + .5) * stride`` (True: torchvision's
    ``aligned=True``, detectron2's ROIAlignV2), or at ``i * stride`` (False: the original RoIAlign). A region is at
    least one cell long with False.
    """
    height, width = features.shape[2:]
    on_cpu = features.device.type == "cpu" and not torch.compiler.is_compiling()
    low, high = _corners(features, regions, stride)
    if aligned:
        low, high = low - 0.5, high - 0.5
    else:
        high = torch.maximum(high, low + 1)
    rows, columns = _extents(features, regions, cells)
    wx = _interpolation(low[:, 0], high[:, 0], columns, width, bins, sampling, even, on_cpu)
    wy = _interpolation(low[:, 1], high[:, 1], rows, height, bins, sampling, even, on_cpu)
    return _sparse_align(features, wy, wx) if on_cpu else _dense_align(features, wy, wx)


def roi_pool(
    features: Tensor,
    regions: Tensor,
    bins: int = 14,
    stride: float = 16,
    even: bool = False,
    cells: Tensor | None = None,
) -> Tensor:
    """Maximum over the cells of each bin: [N, C, h, w] and [N, R, 4] -> [N * R, C, bins, bins]; 0 in empty bins.

    Arguments as in `roi_align`. Regions are rounded to whole cells, halves away from 0. The gradient goes to one of the
    cells that have the maximum.
    """
    C, height, width = features.shape[1:]
    low, high = (_round(corners) for corners in _corners(features, regions, stride))
    extent_y, extent_x = _extents(features, regions, cells)
    y = _windows(low[:, 1], high[:, 1], extent_y, height, bins, even)
    x = _windows(low[:, 0], high[:, 0], extent_x, width, bins, even)
    rows, empty = _table_rows(features.shape, y, x)
    maps = features.permute(0, 2, 3, 1)
    pooled: Tensor = _MaxPool.apply(maps, rows, empty, y.levels, x.levels)
    P = y.level.shape[1]
    return pooled.view(-1, P, P, C).permute(0, 3, 1, 2)


def _corners(features: Tensor, regions: Tensor, stride: float) -> tuple[Tensor, Tensor]:
    """(x1, y1) and (x2, y2) in cells, each [N * R, 2], in float64 for float64 features, else in float32."""
    dtype = torch.promote_types(features.dtype, torch.float32)
    pixels = regions.detach().reshape(-1, 4).to(dtype).nan_to_num(nan=0.0).clamp(-FARTHEST, FARTHEST)
    cells = pixels * (1 / stride)
    return cells[:, :2], cells[:, 2:]


def _extents(features: Tensor, regions: Tensor, cells: Tensor | None) -> tuple[Tensor, Tensor]:
    """The height and the width, in cells, of the image of each region: two [N * R]."""
    N, _, height, width = features.shape
    if cells is None:
        cells = torch.tensor([[height, width]], device=features.device).expand(N, 2)
    return tuple(cells.repeat_interleave(regions.shape[1], dim=0).unbind(1))  # type: ignore[return-value]


def _bin_numbers(bins: int, even: bool, like: Tensor) -> Tensor:
    return torch.arange(0, bins, 2 if even else 1, device=like.device, dtype=like.dtype)


# --- RoIAlign ---------------------------------------------------------------------------------------------------------


def _interpolation(
    low: Tensor, high: Tensor, extent: Tensor, size: int, bins: int, sampling: int, even: bool, may_sync: bool
) -> Tensor:
    """One axis: the weight of every cell in every bin, [R, P, size], for regions from `low` to `high` [R] (cells).

    `extent` int64 [R]: how many of the `size` cells the region's image has.
    """
    span = (high - low) / bins
    count = torch.full_like(span, sampling) if sampling else span.ceil().clamp(min=0)
    most = sampling or max(LONGEST_BIN, math.ceil(size / bins) + 1)
    if may_sync and not sampling and len(count):
        most = min(most, int(count.max()))
    count = count.clamp(max=most)[:, None, None]  # [R, 1, 1]
    slot = torch.arange(most, device=low.device, dtype=low.dtype)
    start = low[:, None] + _bin_numbers(bins, even, low) * span[:, None]  # [R, P]
    at = start[:, :, None] + (slot + 0.5) * (span[:, None, None] / count.clamp(min=1))  # [R, P, S]
    # torchvision's border: a sample up to one cell outside takes the border cell's value, beyond it is 0.
    end = extent.to(low.dtype)[:, None, None]
    counted = (slot < count) & (at >= -1) & (at <= end)
    distance = torch.minimum(at.clamp(min=0), end - 1)[..., None] - torch.arange(
        size, device=low.device, dtype=low.dtype
    )
    hats = (1 - distance.abs()).clamp(min=0) * counted[..., None]  # [R, P, S, size]
    return hats.sum(dim=2) / count.clamp(min=1)


def _dense_align(features: Tensor, wy: Tensor, wx: Tensor) -> Tensor:
    """Two batched matrix products an image, first along the axis that leaves the smaller temporary."""
    N, C, h, w = features.shape
    R, P = wy.shape[0] // max(N, 1), wy.shape[1]
    maps = features.permute(0, 2, 3, 1).contiguous()
    wy, wx = wy.to(maps.dtype).view(N, R, P, h), wx.to(maps.dtype).view(N, R, P, w)
    product = _columns_first if h <= w else _rows_first
    step = max(1, CHUNK_BYTES // max(1, P * min(h, w) * C * maps.element_size()))
    with torch.autocast(features.device.type, enabled=False):
        parts = [
            product(maps[n], wy[n, i : i + step], wx[n, i : i + step]) for n in range(N) for i in range(0, R, step)
        ]
    pooled = torch.cat(parts) if parts else maps.new_zeros(0, P, P, C)
    return pooled.permute(0, 3, 1, 2)


def _columns_first(maps: Tensor, wy: Tensor, wx: Tensor) -> Tensor:
    """maps [h, w, C] -> [R, P, P, C] by way of [h, R, P, C]."""
    (h, w, C), (R, P, _) = maps.shape, wy.shape
    columns = torch.bmm(wx.reshape(1, R * P, w).expand(h, -1, -1), maps)
    return torch.bmm(wy, columns.view(h, R, P * C).transpose(0, 1)).view(R, P, P, C)


def _rows_first(maps: Tensor, wy: Tensor, wx: Tensor) -> Tensor:
    """maps [h, w, C] -> [R, P, P, C] by way of [R, P, w, C]."""
    (h, w, C), (R, P, _) = maps.shape, wy.shape
    rows = torch.mm(wy.reshape(R * P, h), maps.view(h, w * C)).view(R * P, w, C)
    return torch.bmm(wx.repeat_interleave(P, dim=0), rows).view(R, P, P, C)


def _sparse_align(features: Tensor, wy: Tensor, wx: Tensor) -> Tensor:
    """One sparse matrix, [bins of all regions, cells of all images], times the map [cells, C]."""
    N, C, h, w = features.shape
    R, P = wy.shape[0] // max(N, 1), wy.shape[1]
    value_y, y = _taps(wy)
    value_x, x = _taps(wx)
    values = value_y[:, :, None, :, None] * value_x[:, None, :, None, :]  # [N * R, P, P, taps y, taps x]
    image = torch.arange(N).repeat_interleave(R)[:, None, None, None, None]
    cells = (image * h + y[:, :, None, :, None]) * w + x[:, None, :, None, :]
    used = values > 0
    offsets = F.pad(used.flatten(3).sum(dim=-1).flatten().cumsum(0), (1, 0))
    table = features.permute(0, 2, 3, 1).reshape(N * h * w, C)
    pooled: Tensor = _SparseProduct.apply(table, cells[used], values[used], offsets)
    return pooled.view(N * R, P, P, C).permute(0, 3, 1, 2)


def _taps(weights: Tensor) -> tuple[Tensor, Tensor]:
    """The largest weights of each bin and their cells, as many as the fullest bin has: [R, P, size] -> [R, P, taps]."""
    most = int((weights > 0).sum(dim=-1).max()) if weights.numel() else 0
    return tuple(weights.topk(most, dim=-1, sorted=False))  # type: ignore[return-value]


class _SparseProduct(torch.autograd.Function):
    """rows[i] = sum over j in offsets[i] .. offsets[i + 1] of values[j] * table[columns[j]].

    On a CPU `embedding_bag` does this faster than a product with a `sparse_csr_tensor`, takes bf16 and sums it in
    float32. Its own gradient would sum in bf16, so the gradient is the product with the transposed matrix.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, columns: Tensor, values: Tensor, offsets: Tensor) -> Tensor:
        ctx.save_for_backward(columns, values, offsets)
        ctx.num_columns = len(table)
        return _weighted_sums(table, columns, values, offsets)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        columns, values, offsets = ctx.saved_tensors
        rows = torch.arange(len(grad)).repeat_interleave(offsets.diff())
        order = columns.argsort(stable=True)
        starts = F.pad(columns.bincount(minlength=ctx.num_columns).cumsum(0), (1, 0))
        return _weighted_sums(grad.contiguous(), rows[order], values[order], starts), None, None, None


def _weighted_sums(table: Tensor, columns: Tensor, values: Tensor, offsets: Tensor) -> Tensor:
    if not len(columns):
        return table.new_zeros(len(offsets) - 1, table.shape[1])
    weights = values.to(table.dtype)
    return F.embedding_bag(columns, table, offsets, mode="sum", per_sample_weights=weights, include_last_offset=True)


# --- RoIPool ----------------------------------------------------------------------------------------------------------
#
# The maximum over a rectangle is the maximum over four overlapping windows with sides that are powers of two. A table
# [i, j] holds, for every cell, the maximum over the 2**i rows and 2**j columns that begin there (a "sparse table" for
# range-maximum queries). Cells so near the border that their window would hang over stay unset: no bin looks them up.


class _Windows(NamedTuple):
    """How the bins of one axis are covered: each by two windows of 2**level cells."""

    first: Tensor  # int64 [R, P], where the first window begins
    second: Tensor  # int64 [R, P], where the second begins, so that both end with the bin
    level: Tensor  # int64 [R, P]
    empty: Tensor  # bool [R, P]
    levels: int  # how many levels the axis needs


def _round(values: Tensor) -> Tensor:
    """To the nearest whole number, halves away from 0 as C's round(); torch.round takes halves to even."""
    whole = values.trunc()
    return whole + values.sign() * ((values - whole).abs() >= 0.5)


def _windows(low: Tensor, high: Tensor, extent: Tensor, size: int, bins: int, even: bool) -> _Windows:
    """One axis, for regions from cell `low` to cell `high`, both included, [R]; `extent` as in `_interpolation`."""
    longest = min(size, max(LONGEST_BIN, math.ceil((size + 1) / bins) + 1))
    levels = max(1, (longest - 1).bit_length())  # 2 * 2**(levels - 1) >= longest
    span = ((high - low + 1).clamp(min=1) / bins)[:, None]
    number = _bin_numbers(bins, even, low)
    end = extent.to(low.dtype)[:, None]
    start = torch.minimum(((number * span).floor() + low[:, None]).clamp(min=0), end).long()
    stop = torch.minimum((((number + 1) * span).ceil() + low[:, None]).clamp(min=0), end).long()
    length = (stop - start).clamp(0, 2**levels)
    level = torch.zeros_like(length)
    for k in range(1, levels):
        level += length >= 2**k
    second = start + length - 2**level
    return _Windows(start.clamp(max=size - 1), second.clamp(0, size - 1), level, length == 0, levels)


def _table_rows(shape: torch.Size, y: _Windows, x: _Windows) -> tuple[Tensor, Tensor]:
    """Where each bin's four windows stand in the tables, seen as [rows, C]: (int64 [4, bins], bool [bins, 1] empty)."""
    N, _, h, w = shape
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
    """maps [N, h, w, C] -> [bins, C].

    Saves the map and the result only; the gradient looks the maxima up again, which takes a small part of the memory of
    an index for every value.
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
        # Many bins add to one cell: in float32, or bf16 would lose the small ones.
        grads = torch.zeros_like(tables, dtype=torch.promote_types(maps.dtype, torch.float32))
        flat_tables, flat_grads = tables.view(-1, maps.shape[3]), grads.view(-1, maps.shape[3])
        for part in _chunks(pooled):
            left = grad[part].to(grads.dtype).masked_fill(empty[part], 0)
            for corner in rows[:, part]:
                # The first window that has the maximum takes the gradient, the others find none left.
                given = left.masked_fill(flat_tables.index_select(0, corner) != pooled[part], 0)
                flat_grads.index_add_(0, corner, given)
                left -= given
        _tables_backward(tables, grads)
        return grads[0, 0].to(maps.dtype), None, None, None, None


def _chunks(pooled: Tensor) -> list[slice]:
    """Slices of the rows of `pooled` whose temporaries are of bounded size."""
    limit = CPU_CHUNK_BYTES if pooled.device.type == "cpu" else CHUNK_BYTES
    step = max(1, limit // max(1, pooled.shape[1] * pooled.element_size()))
    return [slice(i, i + step) for i in range(0, len(pooled), step)]


def _tables(maps: Tensor, levels_y: int, levels_x: int) -> Tensor:
    """Maxima over windows, [levels_y, levels_x, N, h, w, C] of maps [N, h, w, C]."""
    tables = maps.new_empty(levels_y, levels_x, *maps.shape)
    tables[0, 0] = maps
    for target, near, far in _doublings(tables):
        torch.maximum(near, far, out=target)
    return tables


def _tables_backward(tables: Tensor, grads: Tensor) -> None:
    """Passes the gradients of larger windows down to ``grads[0, 0]``, those of the maps."""
    steps = zip(_doublings(tables), _doublings(grads), strict=True)
    for (_, near, far), (grad, grad_near, grad_far) in reversed(list(steps)):
        to_near = grad.masked_fill(near < far, 0)
        grad_near += to_near
        grad_far += grad - to_near


def _doublings(tables: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Views (window, its first half, its second half) of every table but the first, each after those it is made of."""
    for i, row in enumerate(tables):
        for j in range(len(row)):
            if i == j == 0:
                continue
            parent, axis, half = (row[j - 1], 2, 2 ** (j - 1)) if j else (tables[i - 1, 0], 1, 2 ** (i - 1))
            count = parent.shape[axis] - half
            yield row[j].narrow(axis, 0, count), parent.narrow(axis, 0, count), parent.narrow(axis, half, count)
