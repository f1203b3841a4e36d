"""The kernels of ghost_bn_triton.py, in Triton's language.

Programs are numbered by block of channels, slice, part. M: rows of a part; C: channels; COLUMNS: those of a program.
sums: float32 [2, parts, slices, C]; statistics: float32 [2, parts, C], means and 1 / sqrt(variance + eps).
"""

import triton
import triton.language as tl

TILE = tl.constexpr(4096)  # values that a program loads at a time


@triton.jit(do_not_specialize=["M"])
def moments_kernel(x, sums, M, C, COLUMNS: tl.constexpr):
    """Each slice's mean, and its sum of squared differences to that mean.

    First the values' differences to the mean of the slice's first tile are summed: no cancellation with large means.
    """
    ROWS: tl.constexpr = TILE // COLUMNS
    channel, tile, first, last = _where(M, C, COLUMNS)
    part = tl.program_id(2).to(tl.int64) * M
    here = (first + tl.arange(0, ROWS) < last)[:, None] & (channel < C)[None, :]
    value = tl.load(x + (part + first) * C + tile, mask=here, other=0).to(tl.float32)
    shift = tl.sum(value, 0) / tl.minimum(last - first, ROWS)
    total = tl.zeros([ROWS, COLUMNS], tl.float32)
    squares = tl.zeros([ROWS, COLUMNS], tl.float32)
    for row in range(first, last, ROWS):
        here = (row + tl.arange(0, ROWS) < last)[:, None] & (channel < C)[None, :]
        value = tl.load(x + (part + row) * C + tile, mask=here, other=0).to(tl.float32)
        difference = tl.where(here, value - shift[None, :], 0)
        total += difference
        squares += difference * difference
    away = tl.sum(total, 0) / (last - first)
    _store_sums(sums, C, channel, shift + away, tl.sum(squares, 0) - away * away * (last - first))


@triton.jit(do_not_specialize=["M"])
def normalize_kernel(x, y, sums, statistics, layer, M, C, COLUMNS: tl.constexpr):
    """y, and each part's statistics; the first program of a block of channels updates the running ones.

    layer: (weight, bias, running_mean, running_var, momentum, eps).
    """
    weight, bias, running_mean, running_var, momentum, eps = layer
    ROWS: tl.constexpr = TILE // COLUMNS
    channel, tile, first, last = _where(M, C, COLUMNS)
    group = tl.program_id(2)
    part = group.to(tl.int64) * M
    mean, squares = _combine_moments(sums, group, channel, M, C, COLUMNS)
    inverse_std = 1 / tl.sqrt(squares / M + eps)
    if tl.program_id(1) == 0:
        tl.store(statistics + group * C + channel, mean, mask=channel < C)
        tl.store(statistics + (tl.num_programs(2) + group) * C + channel, inverse_std, mask=channel < C)
    scale = tl.load(weight + channel, mask=channel < C, other=0) * inverse_std
    offset = tl.load(bias + channel, mask=channel < C, other=0)
    for row in range(first, last, ROWS):
        here = (row + tl.arange(0, ROWS) < last)[:, None] & (channel < C)[None, :]
        at = (part + row) * C + tile
        value = tl.load(x + at, mask=here, other=0).to(tl.float32)
        normalized = (value - mean[None, :]) * scale[None, :] + offset[None, :]
        tl.store(y + at, normalized.to(y.dtype.element_ty), mask=here)
    if (tl.program_id(1) == 0) & (group == 0):
        means = tl.zeros([COLUMNS], tl.float32)
        variances = tl.zeros([COLUMNS], tl.float32)
        for other in range(tl.num_programs(2)):
            mean, squares = _combine_moments(sums, other, channel, M, C, COLUMNS)
            means += mean
            variances += squares / (M - 1)
        _average(running_mean, channel, C, means / tl.num_programs(2), momentum)
        _average(running_var, channel, C, variances / tl.num_programs(2), momentum)


@triton.jit(do_not_specialize=["M"])
def gradient_sums_kernel(grad, saved, sums, M, C, COLUMNS: tl.constexpr):
    """The sums over each slice of the gradient, and of the gradient times (x - mean).

    saved: (x, weight, statistics).
    """
    x, _, statistics = saved
    ROWS: tl.constexpr = TILE // COLUMNS
    channel, tile, first, last = _where(M, C, COLUMNS)
    part = tl.program_id(2).to(tl.int64) * M
    mean = tl.load(statistics + tl.program_id(2) * C + channel, mask=channel < C, other=0)
    total = tl.zeros([ROWS, COLUMNS], tl.float32)
    products = tl.zeros([ROWS, COLUMNS], tl.float32)
    for row in range(first, last, ROWS):
        here = (row + tl.arange(0, ROWS) < last)[:, None] & (channel < C)[None, :]
        at = (part + row) * C + tile
        slope = tl.load(grad + at, mask=here, other=0).to(tl.float32)
        value = tl.load(x + at, mask=here, other=0).to(tl.float32)
        total += slope
        products += slope * (value - mean[None, :])
    _store_sums(sums, C, channel, tl.sum(total, 0), tl.sum(products, 0))


@triton.jit(do_not_specialize=["M"])
def gradient_kernel(grad, saved, results, sums, M, C, COLUMNS: tl.constexpr):
    """The gradient of x; the first program of a block of channels writes those of weight and bias.

    saved: (x, weight, statistics). results: (x_grad, weight_grad, bias_grad).
    """
    x, weight, statistics = saved
    x_grad, weight_grad, bias_grad = results
    ROWS: tl.constexpr = TILE // COLUMNS
    channel, tile, first, last = _where(M, C, COLUMNS)
    group = tl.program_id(2)
    part = group.to(tl.int64) * M
    total, products = _combine_sums(sums, group, channel, C, COLUMNS)
    inverse_stds = statistics + tl.num_programs(2) * C
    mean = tl.load(statistics + group * C + channel, mask=channel < C, other=0)
    inverse_std = tl.load(inverse_stds + group * C + channel, mask=channel < C, other=0)
    scale = tl.load(weight + channel, mask=channel < C, other=0) * inverse_std
    level, slant = total / M, products / M * inverse_std * inverse_std
    for row in range(first, last, ROWS):
        here = (row + tl.arange(0, ROWS) < last)[:, None] & (channel < C)[None, :]
        at = (part + row) * C + tile
        slope = tl.load(grad + at, mask=here, other=0).to(tl.float32)
        value = tl.load(x + at, mask=here, other=0).to(tl.float32)
        result = (slope - level[None, :] - (value - mean[None, :]) * slant[None, :]) * scale[None, :]
        tl.store(x_grad + at, result.to(x_grad.dtype.element_ty), mask=here)
    if (tl.program_id(1) == 0) & (group == 0):
        weights = tl.zeros([COLUMNS], tl.float32)
        biases = tl.zeros([COLUMNS], tl.float32)
        for other in range(tl.num_programs(2)):
            total, products = _combine_sums(sums, other, channel, C, COLUMNS)
            weights += products * tl.load(inverse_stds + other * C + channel, mask=channel < C, other=0)
            biases += total
        tl.store(weight_grad + channel, weights, mask=channel < C)
        tl.store(bias_grad + channel, biases, mask=channel < C)


@triton.jit
def _rows(M, COLUMNS: tl.constexpr):
    """Rows of a slice: whole tiles. No slice is empty."""
    ROWS: tl.constexpr = TILE // COLUMNS
    return tl.cdiv(tl.cdiv(M, tl.num_programs(1)), ROWS) * ROWS


@triton.jit
def _where(M, C, COLUMNS: tl.constexpr):
    """This program's channels, the offsets [ROWS, COLUMNS] within a tile, its first row and one after its last."""
    ROWS: tl.constexpr = TILE // COLUMNS
    rows = _rows(M, COLUMNS)
    channel = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    tile = tl.arange(0, ROWS)[:, None] * C + channel[None, :]
    first = tl.program_id(1) * rows
    return channel, tile, first, tl.minimum(first + rows, M)


@triton.jit
def _store_sums(sums, C, channel, one, two):
    """Write this program's two sums."""
    at = (tl.program_id(2) * tl.num_programs(1) + tl.program_id(1)) * C + channel
    tl.store(sums + at, one, mask=channel < C)
    tl.store(sums + tl.num_programs(2) * tl.num_programs(1) * C + at, two, mask=channel < C)


@triton.jit
def _combine_sums(sums, group, channel, C, COLUMNS: tl.constexpr):
    """Both sums over a part."""
    SLICES: tl.constexpr = TILE // COLUMNS // 4  # at a time
    total = tl.zeros([SLICES, COLUMNS], tl.float32)
    products = tl.zeros([SLICES, COLUMNS], tl.float32)
    for number in range(0, tl.num_programs(1), SLICES):
        one, two = _load_sums(sums, group, number + tl.arange(0, SLICES), channel, C)
        total += one
        products += two
    return tl.sum(total, 0), tl.sum(products, 0)


@triton.jit
def _combine_moments(sums, group, channel, M, C, COLUMNS: tl.constexpr):
    """A part's mean, and its sum of squared differences to it (Chan et al. 1983).

    The means of the slices are taken relative to the first one's.
    """
    SLICES: tl.constexpr = TILE // COLUMNS // 4  # at a time
    rows = _rows(M, COLUMNS)
    base = tl.load(sums + group * tl.num_programs(1) * C + channel, mask=channel < C, other=0)
    total = tl.zeros([SLICES, COLUMNS], tl.float32)
    squares = tl.zeros([SLICES, COLUMNS], tl.float32)
    for first in range(0, tl.num_programs(1), SLICES):
        number = first + tl.arange(0, SLICES)
        mean, within = _load_sums(sums, group, number, channel, C)
        count = tl.minimum(tl.maximum(M - number * rows, 0), rows).to(tl.float32)[:, None]
        away = mean - base[None, :]
        total += count * away
        squares += within + count * away * away
    shift = tl.sum(total, 0) / M
    return base + shift, tl.sum(squares, 0) - shift * shift * M


@triton.jit
def _load_sums(sums, group, number, channel, C):
    """Both sums of some slices of a part, each [slices, COLUMNS], 0 where there is no slice."""
    slices = tl.num_programs(1)
    here = (number < slices)[:, None] & (channel < C)[None, :]
    at = (group * slices + number)[:, None] * C + channel[None, :]
    one = tl.load(sums + at, mask=here, other=0)
    return one, tl.load(sums + tl.num_programs(2) * slices * C + at, mask=here, other=0)


@triton.jit
def _average(running, channel, C, value, momentum):
    """Move running statistics towards new ones."""
    old = tl.load(running + channel, mask=channel < C, other=0)
    tl.store(running + channel, old + (value - old) * momentum, mask=channel < C)
