"""fp32 is IEEE float32 on GPUs too: TF32 only where it is asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from resdet.engine.precision import DTYPES, Precision, float32_products, precision_context
from resdet.errors import UserError

CPU = torch.device("cpu")


def flags() -> tuple[bool, bool]:
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


@pytest.fixture(autouse=True)
def _flags_as_they_were() -> Iterator[None]:
    before = flags()
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.parametrize("precision", ["fp32", "bf16", "tf32"])
def test_only_tf32_uses_tf32_and_the_users_setting_comes_back(precision: Precision) -> None:
    for users in (True, False):
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = users
        with float32_products(precision):
            assert flags() == (precision == "tf32",) * 2
        assert flags() == (users, users)


def test_the_forward_pass_in_fp32_uses_no_tf32() -> None:
    torch.backends.cudnn.allow_tf32 = True  # torch's default
    with precision_context("fp32", CPU):
        assert flags() == (False, False)


@pytest.mark.parametrize(("precision", "instead"), [("fp16", "bf16"), ("tf32", "fp32")])
def test_a_cpu_has_no_fp16_and_no_tf32(precision: Precision, instead: str) -> None:
    with pytest.raises(UserError, match=f"on a CPU use {instead}"), precision_context(precision, CPU):
        pass


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_fp32_has_24_bits_and_tf32_has_11() -> None:
    torch.manual_seed(0)
    x, w = torch.randn(2, 64, 32, 32), torch.randn(64, 64, 3, 3) / 24
    exact = torch.nn.functional.conv2d(x.double(), w.double())
    errors = {}
    for precision in ("fp32", "tf32"):
        with precision_context(precision, torch.device("cuda")):
            y = torch.nn.functional.conv2d(x.cuda(), w.cuda())
        assert y.dtype == DTYPES[precision]
        errors[precision] = (y.cpu().double() - exact).abs().max().item()
    assert errors["fp32"] < 1e-5 < errors["tf32"]
