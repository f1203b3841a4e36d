"""RoIAlign (Mask R-CNN, section 3): the mean of bilinear samples in each bin of a region.

    pooled = roi_align(features, regions)              # [N, C, h, w], [N, R, 4] -> [N * R, C, 14, 14]
    pooled = roi_align(features, regions, even=True)   # every second bin: [N * R, C, 7, 7]

Same values as torchvision's ``roi_align``, which needs NCHW float32. This one takes any float dtype and returns it in
channels_last memory, so that a network in bf16 and channels_last needs no conversion.

Bilinear interpolation is separable: the pooled region is ``Wy F Wx^T``, where a row of Wy (or Wx) holds the weight of
each row (or column) of the map F in one bin. On a GPU, under torch.compile and for export these are two dense matrix
products, without synchronization or atomics. On a CPU one sparse product is several times faster: of the thousands of
cells of a map, a bin has about four non-zero weights.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from resdet.boxes.region_grid import CHUNK_BYTES, LONGEST_BIN, bin_indices, corners_in_cells, image_extents


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
    """The mean of bilinear samples in each bin of each region.

    Args:
        features: [N, C, h, w], any float dtype.
        regions: [N, R, 4], x1, y1, x2, y2 in pixels of the network's input; they get no gradient.
        bins: bins per axis; 14 is the input of conv5 (App. A).
        stride: input pixels per cell.
        sampling: samples per bin and axis; 0 adapts to the region: ceil(region size in cells / bins), with which a
            region without area gives 0.
        even: compute every second bin only (region_grid.py).
        cells: int64 [N, 2], the (height, width) of each image in cells of a padded map; None: images fill the map.
        aligned: the value of cell i lies at pixel ``(i + 0.5) * stride`` (True: torchvision's ``aligned=True``,
            detectron2's ROIAlignV2) or at ``i * stride`` (False: the original RoIAlign, where a region is at least one
            cell wide and high).

    Returns:
        [N * R, C, P, P] in the dtype of `features`, channels_last; P is bins, or ceil(bins / 2) with `even`.
    """
    height, width = features.shape[2:]
    on_cpu = features.device.type == "cpu" and not torch.compiler.is_compiling()
    low, high = corners_in_cells(features, regions, stride)
    if aligned:
        low, high = low - 0.5, high - 0.5
    else:
        high = torch.maximum(high, low + 1)
    heights, widths = image_extents(features, regions, cells)
    wx = _bin_weights(low[:, 0], high[:, 0], widths, width, bins, sampling, even, on_cpu)
    wy = _bin_weights(low[:, 1], high[:, 1], heights, height, bins, sampling, even, on_cpu)
    return _sparse_align(features, wy, wx) if on_cpu else _dense_align(features, wy, wx)


def _bin_weights(
    low: Tensor, high: Tensor, extent: Tensor, size: int, bins: int, sampling: int, even: bool, may_sync: bool
) -> Tensor:
    """For one axis, the weight of every cell in every bin: [R, P, size].

    Args:
        low, high: float [R], where the regions begin and end, in cells.
        extent: int64 [R], how many of the `size` cells belong to the region's image; the rest is padding.
        size: cells of the map along this axis.
        bins, sampling, even: as in `roi_align`.
        may_sync: read the largest number of samples from the data; False keeps shapes independent of it.
    """
    # Divided by a tensor, as in roi_pool.py: a span of whole cells must not be rounded up to one more sample.
    span = (high - low) / low.new_full((), bins)
    count = torch.full_like(span, sampling) if sampling else span.ceil().clamp(min=0)
    most = sampling or max(LONGEST_BIN, math.ceil(size / bins) + 1)
    if may_sync and not sampling and len(count):
        most = min(most, int(count.max()))
    count = count.clamp(max=most)[:, None, None]  # [R, 1, 1]
    slot = torch.arange(most, device=low.device, dtype=low.dtype)
    start = low[:, None] + bin_indices(bins, even, low) * span[:, None]  # [R, P]
    at = start[:, :, None] + (slot + 0.5) * (span[:, None, None] / count.clamp(min=1))  # [R, P, S], sample positions
    # torchvision's border: a sample up to one cell outside has the value of the border cell, beyond that it is 0.
    end = extent.to(low.dtype)[:, None, None]
    counted = (slot < count) & (at >= -1) & (at <= end)
    distance = torch.minimum(at.clamp(min=0), end - 1)[..., None] - torch.arange(
        size, device=low.device, dtype=low.dtype
    )
    weights = (1 - distance.abs()).clamp(min=0) * counted[..., None]  # [R, P, S, size], linear interpolation
    return weights.sum(dim=2) / count.clamp(min=1)


def _dense_align(features: Tensor, wy: Tensor, wx: Tensor) -> Tensor:
    """Two batched matrix products per image, first along the axis that leaves the smaller temporary tensor."""
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
    """A sparse matrix [bins of all regions, cells of all images] times the maps [cells, C]."""
    N, C, h, w = features.shape
    R, P = wy.shape[0] // max(N, 1), wy.shape[1]
    value_y, y = _nonzero_weights(wy)
    value_x, x = _nonzero_weights(wx)
    values = value_y[:, :, None, :, None] * value_x[:, None, :, None, :]  # [N * R, P, P, taps y, taps x]
    image = torch.arange(N).repeat_interleave(R)[:, None, None, None, None]
    cells = (image * h + y[:, :, None, :, None]) * w + x[:, None, :, None, :]
    used = values > 0
    offsets = F.pad(used.flatten(3).sum(dim=-1).flatten().cumsum(0), (1, 0))
    table = features.permute(0, 2, 3, 1).reshape(N * h * w, C)
    pooled: Tensor = _SparseProduct.apply(table, cells[used], values[used], offsets)
    return pooled.view(N * R, P, P, C).permute(0, 3, 1, 2)


def _nonzero_weights(weights: Tensor) -> tuple[Tensor, Tensor]:
    """The largest weights of each bin and their cells, as many as the fullest bin has: [R, P, size] -> [R, P, taps]."""
    most = int((weights > 0).sum(dim=-1).max()) if weights.numel() else 0
    values, cells = weights.topk(most, dim=-1, sorted=False)
    return values, cells


class _SparseProduct(torch.autograd.Function):
    """rows[i] = sum over j in offsets[i] .. offsets[i + 1] - 1 of values[j] * table[columns[j]].

    `embedding_bag` computes this faster on a CPU than a product with a `sparse_csr_tensor`, takes bf16 and sums it in
    float32. Its own gradient would be summed in bf16; therefore the gradient here is `embedding_bag` with the
    transposed matrix.
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
