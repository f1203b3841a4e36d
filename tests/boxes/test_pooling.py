from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torchvision.ops import roi_align as torchvision_align
from torchvision.ops import roi_pool as torchvision_pool

from resdet.boxes import roi_align as roi_align_module
from resdet.boxes import roi_pool as roi_pool_module
from resdet.boxes.roi_align import roi_align
from resdet.boxes.roi_pool import roi_pool

N, C, H, W, R = 2, 16, 19, 31, 40
PATHS = ["sparse", "dense"]


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both implementations of RoIAlign, for CPU and GPU, run on the CPU."""
    if request.param == "dense":
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    return str(request.param)


def features_of(dtype: torch.dtype = torch.float64, seed: int = 0, height: int = H, width: int = W) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(N, C, height, width, generator=generator, dtype=torch.float64)
    return values.to(dtype).contiguous(memory_format=torch.channels_last)


def regions_of(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Regions of all kinds: inside, across the border, far outside, empty, inverted, the whole map and larger."""
    generator = torch.Generator().manual_seed(1)
    centre = torch.rand(N, R, 2, generator=generator, dtype=torch.float64) * torch.tensor([W, H]) * 16
    size = torch.exp(torch.rand(N, R, 2, generator=generator, dtype=torch.float64) * 6)
    regions = torch.cat([centre - size / 2, centre + size / 2], dim=-1)
    special = [
        [0, 0, W * 16, H * 16],
        [-40, -40, W * 16 + 40, H * 16 + 40],
        [-300, -200, 400, 400],
        [5000, 5000, 5100, 5100],
        [-900, 10, -700, 100],
        [50, 50, 50, 50],
        [80, 30, 80, 200],
        [100, 100, 60, 50],
        [24, 40, 56, 72],  # halves after the division by 16
        [-24, -8, 8, 24],
        [-16, -16, 0, 0],
        [W * 16, H * 16, W * 16 + 16, H * 16 + 16],
    ]
    regions[:, : len(special)] = torch.tensor(special, dtype=torch.float64)
    return regions.to(dtype)


def listed(regions: torch.Tensor) -> list[torch.Tensor]:
    return list(regions.unbind(0))


@pytest.mark.parametrize("sampling", [0, 1, 2, 3])
@pytest.mark.parametrize("bins", [14, 7])
def test_align_equals_torchvision_in_float64(path: str, bins: int, sampling: int) -> None:
    features, regions = features_of(), regions_of()
    expected = torchvision_align(features, listed(regions), bins, 1 / 16, sampling or -1, True)
    got = roi_align(features, regions, bins, sampling=sampling)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("sampling", [0, 2])
@pytest.mark.parametrize("bins", [14, 7])
def test_unaligned_align_equals_torchvision_in_float64(path: str, bins: int, sampling: int) -> None:
    """The original RoIAlign, which takes a region shorter than a cell as one cell long."""
    features, regions = features_of(), regions_of()
    sides = regions[..., 2:] - regions[..., :2]
    assert ((sides > 0) & (sides < 16)).any()
    expected = torchvision_align(features, listed(regions), bins, 1 / 16, sampling or -1, False)
    got = roi_align(features, regions, bins, sampling=sampling, aligned=False)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


def test_align_gradient_equals_torchvision_in_float64(path: str) -> None:
    regions = regions_of()
    ours, theirs = features_of().requires_grad_(), features_of().requires_grad_()
    weights = torch.randn(N * R, C, 14, 14, dtype=torch.float64)
    (roi_align(ours, regions) * weights).sum().backward()
    (torchvision_align(theirs, listed(regions), 14, 1 / 16, 0, True) * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-11)


@pytest.mark.parametrize(("height", "width"), [(19, 31), (31, 19), (1, 1), (3, 40)])
def test_align_on_maps_of_any_shape(path: str, height: int, width: int) -> None:
    features, regions = features_of(height=height, width=width), regions_of()
    expected = torchvision_align(features, listed(regions), 14, 1 / 16, 0, True)
    torch.testing.assert_close(roi_align(features, regions), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("bins", [14, 7])
@pytest.mark.parametrize("pool", [roi_align, roi_pool])
def test_even_bins_are_every_other_bin_of_the_full_grid(pool: Callable[..., torch.Tensor], bins: int) -> None:
    features, regions = features_of(torch.float32), regions_of(torch.float32)
    full, even = pool(features, regions, bins), pool(features, regions, bins, even=True)
    torch.testing.assert_close(even, full[..., ::2, ::2], rtol=0, atol=1e-6)
    assert even.shape[2:] == ((bins + 1) // 2,) * 2


def test_even_align_on_the_dense_path(path: str) -> None:
    features, regions = features_of(), regions_of()
    full, even = roi_align(features, regions), roi_align(features, regions, even=True)
    torch.testing.assert_close(even, full[..., ::2, ::2], rtol=0, atol=1e-12)


def test_chunks_do_not_change_align(monkeypatch: pytest.MonkeyPatch) -> None:
    features, regions = features_of(), regions_of()
    whole = roi_align(features, regions)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    monkeypatch.setattr(roi_align_module, "CHUNK_BYTES", 7 * 14 * H * C * 8)
    torch.testing.assert_close(roi_align(features, regions), whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize("chunk", [1, roi_pool_module.CPU_CHUNK_BYTES])
@pytest.mark.parametrize("bins", [14, 7])
def test_pool_equals_torchvision_bit_for_bit(monkeypatch: pytest.MonkeyPatch, bins: int, chunk: int) -> None:
    monkeypatch.setattr(roi_pool_module, "CPU_CHUNK_BYTES", chunk)
    features, regions = features_of(torch.float32), regions_of(torch.float32)
    assert torch.equal(roi_pool(features, regions, bins), torchvision_pool(features, listed(regions), bins, 1 / 16))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (3, 40), (38, 63)])
def test_pool_on_maps_of_any_shape(height: int, width: int) -> None:
    features, regions = features_of(torch.float32, height=height, width=width), regions_of(torch.float32)
    assert torch.equal(roi_pool(features, regions), torchvision_pool(features, listed(regions), 14, 1 / 16))


def test_pool_gradient_equals_torchvision_where_maxima_are_unique() -> None:
    regions = regions_of()
    ours, theirs = features_of().requires_grad_(), features_of().requires_grad_()
    weights = torch.randn(N * R, C, 14, 14, dtype=torch.float64)
    (roi_pool(ours, regions) * weights).sum().backward()
    (torchvision_pool(theirs, listed(regions), 14, 1 / 16) * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-11)


def test_pool_gives_its_gradient_to_one_of_equal_cells() -> None:
    features = torch.zeros(1, 4, 8, 8, requires_grad=True)
    roi_pool(features, torch.tensor([[[0.0, 0, 127, 127]]]), bins=2).sum().backward()
    assert features.grad is not None
    assert features.grad.sum() == 4 * 4
    assert set(features.grad.unique().tolist()) == {0.0, 1.0}


def test_pool_rounds_halves_away_from_zero() -> None:
    values = torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5, 0.49999997, 3.0])
    assert roi_pool_module._round(values).tolist() == [1, 2, 3, -1, -2, 0, 3]


@pytest.mark.parametrize("pool", [roi_align, roi_pool])
@pytest.mark.parametrize("autocast", [False, True])
def test_dtype_and_layout_are_those_of_the_features(
    path: str, pool: Callable[..., torch.Tensor], autocast: bool
) -> None:
    regions = regions_of(torch.float32)
    for dtype in (torch.float32, torch.bfloat16):
        features = features_of(dtype).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            pooled = pool(features, regions)
        assert pooled.dtype == dtype
        assert pooled.is_contiguous(memory_format=torch.channels_last)
        exact = pool(features.detach().float(), regions)
        torch.testing.assert_close(pooled.float(), exact, rtol=0, atol=0.05 if pool is roi_align else 0)
        pooled.sum().backward()
        assert features.grad is not None
        assert features.grad.dtype == dtype


@pytest.mark.parametrize("pool", [roi_align, roi_pool])
def test_gradient_of_bf16_is_summed_in_float32(pool: Callable[..., torch.Tensor]) -> None:
    """600 equal regions: in bf16 a running sum of ones would stop at 256."""
    features = torch.zeros(1, 1, 1, 1, dtype=torch.bfloat16, requires_grad=True)
    pool(features, torch.tensor([0.0, 0, 16, 16]).expand(1, 600, 4), bins=1).sum().backward()
    assert features.grad is not None
    assert features.grad.item() == 600


@pytest.mark.parametrize("pool", [roi_align, roi_pool])
def test_bad_regions_and_empty_batches_give_finite_results(path: str, pool: Callable[..., torch.Tensor]) -> None:
    inf, nan = float("inf"), float("nan")
    bad = [[nan] * 4, [0, 0, inf, inf], [-inf, -inf, inf, inf], [0, nan, 50, 50], [3e38, 3e38, -3e38, -3e38]]
    features = features_of(torch.float32).requires_grad_()
    pooled = pool(features, torch.tensor([bad, bad]))
    assert pooled.isfinite().all()
    pooled.sum().backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()
    assert pool(features, torch.zeros(N, 0, 4)).shape == (0, C, 14, 14)
    nothing = pool(features, torch.full((N, 3, 4), 1e5))
    assert (nothing == 0).all()
    nothing.sum().backward()


@pytest.mark.parametrize("pool", [roi_align, roi_pool])
def test_the_result_does_not_depend_on_the_memory_layout(path: str, pool: Callable[..., torch.Tensor]) -> None:
    features, regions = features_of(torch.float32), regions_of(torch.float32)
    assert torch.equal(pool(features.contiguous(), regions), pool(features, regions))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("bins", [7, 14])
def test_spans_of_whole_cells_have_no_sample_more_on_a_gpu(bins: int) -> None:
    cells = torch.arange(1, 60) * bins  # the side of a region is a multiple of its bins
    corner = torch.full((59,), 8.0)
    side = cells * 16.0
    regions = torch.stack([corner, corner, corner + side, corner + side], dim=1)[None]
    features = torch.randn(1, 2, 60 * bins, 60 * bins, generator=torch.Generator().manual_seed(0))
    on_gpu = roi_align(features.cuda(), regions.cuda(), bins).cpu()
    torch.testing.assert_close(on_gpu, roi_align(features, regions, bins), rtol=1e-4, atol=1e-4)
