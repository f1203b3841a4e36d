"""RoIPool's Triton kernel against plain torch: on a GPU, and in Triton's interpreter in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torchvision.ops import roi_pool as torchvision_pool

from helpers.operators import CountedOperators
from helpers.triton_kernels import DEVICE, needs_gpu, needs_kernel, run_in_interpreter
from resdet.boxes.roi_pool import roi_pool

N, C, H, W = 2, 5, 9, 13
REGIONS = [
    [24, 40, 130, 100],  # halves after the division by 16
    [-60, -40, 70, 50],
    [-200, -160, 500, 300],  # long bins
    [5000, 5000, 5100, 5100],
    [100, 100, 60, 50],
    [float("nan")] * 4,
]


@contextmanager
def plain_torch() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def maps_of(dtype: torch.dtype = torch.float32, channels: int = C, height: int = H, width: int = W) -> torch.Tensor:
    """Whole numbers with many equal maxima: it shows which cell has the gradient."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.randint(-2, 3, (N, channels, height, width), generator=generator).to(dtype)
    return maps.contiguous(memory_format=torch.channels_last).to(DEVICE)


def regions_of(count: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    centre = torch.rand(N, count, 2, generator=generator) * torch.tensor([W, H]) * 16
    size = torch.exp(torch.rand(N, count, 2, generator=generator) * 6)
    special = torch.tensor(REGIONS).expand(N, -1, -1)
    return torch.cat([special, torch.cat([centre - size / 2, centre + size / 2], dim=-1)], dim=1).to(DEVICE)


def assert_equal_to_plain_torch(maps: torch.Tensor, regions: torch.Tensor, bins: int = 2, **options: Any) -> None:
    """Same values and, since sums of whole numbers are exact in any order, same gradients to the bit."""
    ours, theirs = (maps.clone(memory_format=torch.preserve_format).requires_grad_() for _ in range(2))
    pooled = roi_pool(ours, regions, bins, **options)
    with plain_torch():
        expected = roi_pool(theirs, regions, bins, **options)
        assert torch.equal(pooled.nan_to_num(nan=99), expected.nan_to_num(nan=99))
        assert pooled.stride() == expected.stride()
        assert pooled.dtype == expected.dtype == maps.dtype
        grad = torch.randint(-8, 9, expected.shape, generator=torch.Generator().manual_seed(2)).to(expected)
        expected.backward(grad)
    pooled.backward(grad)
    assert ours.grad is not None
    assert ours.grad.dtype == maps.dtype
    assert torch.equal(ours.grad, theirs.grad)
    with torch.no_grad():
        assert torch.equal(roi_pool(maps, regions, bins, **options).nan_to_num(nan=99), pooled.nan_to_num(nan=99))


def test_all_in_the_interpreter() -> None:
    run_in_interpreter(__file__)


@needs_kernel
def test_it_is_the_kernel_that_pools_except_where_determinism_is_asked_for() -> None:
    maps, regions = maps_of(height=2, width=2), regions_of()[:, :1]
    roi_pool(maps, regions, bins=1)  # the first call tries the kernel out
    with CountedOperators() as operators:
        roi_pool(maps, regions, bins=1)
    assert operators.work.kernels["roi_pool"] == 1
    assert operators.work.kernels.total() <= 32, operators.work.kernels
    with plain_torch(), CountedOperators() as operators:
        roi_pool(maps, regions, bins=1)
    assert operators.work.kernels["roi_pool"] == 0


@needs_kernel
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_kernel_equals_plain_torch(dtype: torch.dtype) -> None:
    assert_equal_to_plain_torch(maps_of(dtype), regions_of())


@needs_kernel
@pytest.mark.parametrize(("bins", "even"), [(1, False), (3, True), (4, True)])
def test_kernel_with_any_number_of_bins(bins: int, even: bool) -> None:
    assert_equal_to_plain_torch(maps_of(), regions_of(), bins, even=even)


@needs_kernel
def test_kernel_ends_at_the_border_of_each_image() -> None:
    cells = torch.tensor([[H - 4, W], [H, W - 7]], device=DEVICE)
    assert_equal_to_plain_torch(maps_of(), regions_of(), cells=cells)


@needs_kernel
def test_kernel_with_any_number_of_channels_and_any_layout() -> None:
    regions = regions_of()[:, :2]
    assert_equal_to_plain_torch(maps_of(channels=1030), regions[:, :1])
    assert_equal_to_plain_torch(maps_of().contiguous(), regions)
    assert_equal_to_plain_torch(maps_of(channels=2 * C)[:, ::2], regions)


@needs_kernel
def test_kernel_on_a_map_of_more_cells_than_int16_counts() -> None:
    maps = maps_of(channels=1, height=2, width=20_000)
    far = torch.tensor([[[16.0 * 19_000, 0, 16 * 19_040, 32]]], device=DEVICE).expand(N, -1, -1)
    assert_equal_to_plain_torch(maps, far)


@needs_kernel
def test_kernel_with_nan_infinity_and_without_regions_or_images() -> None:
    maps = maps_of()
    maps[0, 0, 2, 3], maps[0, 1], maps[1, 2, 4] = float("nan"), float("-inf"), float("inf")
    assert_equal_to_plain_torch(maps, regions_of()[:, :3])
    assert_equal_to_plain_torch(maps_of(), regions_of()[:, :0])
    assert_equal_to_plain_torch(maps_of()[:0], regions_of()[:0])


@needs_kernel
def test_kernel_sums_gradients_of_bf16_in_float32() -> None:
    maps = torch.zeros(1, 1, 1, 1, dtype=torch.bfloat16, device=DEVICE, requires_grad=True)
    roi_pool(maps, torch.tensor([0.0, 0, 16, 16], device=DEVICE).expand(1, 270, 4), bins=1).sum().backward()
    assert maps.grad is not None
    assert maps.grad.item() == 270


def test_fake_cuda_tensors_pass_through_the_kernel_operators() -> None:
    """The cost of a step on a GPU is counted without one."""
    with FakeTensorMode(allow_non_fake_inputs=True), CountedOperators() as operators:
        maps = torch.empty(N, C, H, W, device="cuda", dtype=torch.bfloat16, requires_grad=True)
        pooled = roi_pool(maps, torch.empty(N, 6, 4, device="cuda"), even=True)
    assert pooled.shape == (N * 6, C, 7, 7)
    assert pooled.dtype == torch.bfloat16
    assert pooled.is_contiguous(memory_format=torch.channels_last)
    assert operators.work.kernels["roi_pool"] == 1


@needs_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bins", [14, 7])
def test_kernel_at_full_size(bins: int, dtype: torch.dtype) -> None:
    assert_equal_to_plain_torch(maps_of(dtype, 1024), regions_of(60), bins)
    assert_equal_to_plain_torch(maps_of(dtype, 1024), regions_of(60), bins, even=True)


@needs_gpu
def test_bins_on_a_gpu_are_those_on_a_cpu() -> None:
    maps, regions = torch.randn(N, 3, H, W), regions_of(3000).cpu()
    assert torch.equal(roi_pool(maps.cuda(), regions.cuda()).cpu(), roi_pool(maps, regions))


@needs_gpu
def test_kernel_equals_torchvision() -> None:
    regions = regions_of(300)
    for bins in (14, 7):
        ours, theirs = (torch.randn(N, 64, H, W, device="cuda").requires_grad_() for _ in range(2))
        theirs.data.copy_(ours.data)
        inside = regions.nan_to_num(nan=0.0)
        pooled, expected = roi_pool(ours, inside, bins), torchvision_pool(theirs, list(inside), bins, 1 / 16)
        assert torch.equal(pooled, expected)
        grad = torch.randn_like(expected)
        pooled.backward(grad)
        expected.backward(grad)
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-4)
