"""fp32 is IEEE float32 on GPUs too: TF32 only where it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from resdet.engine.precision import DTYPES, Precision, precision_context
from resdet.errors import UserError

CPU = torch.device("cpu")


USERS = """
import sys, torch
from resdet.engine.precision import float32_products
torch.backends.cudnn.allow_tf32
exec(sys.argv[1])
def state():
    found = []
    for name in ("torch.get_float32_matmul_precision()", "torch.backends.cuda.matmul.fp32_precision",
                 "torch.backends.cudnn.conv.fp32_precision"):
        try:
            found.append(eval(name))
        except RuntimeError:  # torch's names of two generations do not mix
            found.append("mixed")
    return found
before = state()
for precision in ("fp32", "tf32", "bf16"):
    with float32_products(precision):
        for products in (torch.backends.cuda.matmul, torch.backends.cudnn.conv):
            assert (products.fp32_precision == "tf32") == (precision == "tf32"), (precision, state())
    assert state()[0] == before[0] and (state()[1] == "tf32") == (before[1] == "tf32"), (before, state())
    assert state()[2] == before[2], (before, state())
"""


@pytest.mark.skipif(not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="looks at names of torch 2.9")
@pytest.mark.parametrize(
    "setting",
    [
        "",
        "torch.backends.cuda.matmul.allow_tf32 = True",
        "torch.backends.cudnn.allow_tf32 = False",
        "torch.set_float32_matmul_precision('high')",
        "torch.set_float32_matmul_precision('medium')",
        "torch.backends.cuda.matmul.fp32_precision = 'tf32'",
        "torch.backends.cudnn.conv.fp32_precision = 'ieee'",
    ],
)
def test_only_tf32_uses_tf32_and_the_users_setting_comes_back(setting: str) -> None:
    """In a process of its own: torch cannot forget by which of its names a setting was made."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", USERS, setting], check=True, timeout=120)


def test_the_forward_pass_in_fp32_uses_no_tf32() -> None:
    with precision_context("fp32", CPU):
        assert not torch.backends.cudnn.allow_tf32  # torch's default is True


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
