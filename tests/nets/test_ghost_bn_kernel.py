"""Ghost batch normalization's Triton kernels against plain torch: on a GPU, and in Triton's interpreter."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode

from helpers.triton_kernels import DEVICE, INTERPRETED, needs_gpu, needs_kernel, run_in_interpreter
from resdet.nets import ghost_bn
from resdet.nets.ghost_bn import GhostBatchNorm

BF16_ROUNDING = 2**-7 if INTERPRETED else 2**-8  # the interpreter truncates
KERNEL, PLAIN = "GhostBatchNormFunction", "Cat"


class Results(NamedTuple):
    y: Tensor
    x_grad: Tensor
    weight_grad: Tensor
    bias_grad: Tensor
    running_mean: Tensor
    running_var: Tensor


def layer(channels: int, images: int) -> GhostBatchNorm:
    generator = torch.Generator().manual_seed(0)
    bn = GhostBatchNorm(channels, images).train()
    for values in (bn.weight, bn.bias, bn.running_mean, bn.running_var):
        assert values is not None
        values.data.copy_(torch.rand(channels, generator=generator) + 0.5)
    return bn.to(DEVICE)


def noise(*shape: int, mean: float = 0) -> Tensor:
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(1)) + mean
    return x.to(DEVICE, memory_format=torch.channels_last)


def results(bn: nn.Module, x: Tensor, node: str) -> Results:
    x = x.detach().clone().requires_grad_()
    y = bn(x)
    assert node in str(y.grad_fn)
    y.backward(noise(*y.shape).flip(0).bfloat16().to(y.dtype))  # bf16: equal values in all dtypes
    assert isinstance(bn, GhostBatchNorm)
    assert bn.num_batches_tracked == 1
    for tensor in (x.grad, bn.weight.grad, bn.bias.grad, bn.running_mean, bn.running_var):
        assert tensor is not None
    return Results(y.detach(), x.grad, bn.weight.grad, bn.bias.grad, bn.running_mean, bn.running_var)  # type: ignore[arg-type]


def both(x: Tensor, images: int, monkeypatch: pytest.MonkeyPatch) -> tuple[Results, Results]:
    """The kernels' results, and plain torch's in float64."""
    ours = results(layer(x.shape[1], images), x, KERNEL)
    with monkeypatch.context() as patch:
        patch.setattr(ghost_bn, "KERNEL_DTYPES", ())
        exact = results(layer(x.shape[1], images).double(), x.double(), PLAIN)
    return ours, exact


def assert_equal(ours: Results, exact: Results, rounding: float) -> None:
    for name, value, expected in zip(Results._fields, ours, exact, strict=True):
        scale = float(expected.abs().max())
        torch.testing.assert_close(
            value.double(), expected, rtol=0, atol=rounding * max(1, scale), msg=lambda text, n=name: f"{n}: {text}"
        )


def test_all_in_the_interpreter() -> None:
    run_in_interpreter(__file__)


@needs_kernel
@pytest.mark.parametrize(
    "shape",
    [
        (8, 3, 5, 5),
        (4, 64, 13, 7),
        (4, 70, 3, 3),  # more than a block of channels, and not a multiple of it
        (6, 130, 1, 1),
        (4, 1, 65, 70),  # several slices per part
        (4, 16, 40, 31),
    ],
)
def test_kernels_equal_plain_torch(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    ours, exact = both(noise(*shape), 2, monkeypatch)
    assert_equal(ours, exact, 2e-6 if shape[2] > 1 else 1e-4)  # of two values the variance can be nearly 0
    assert ours.y.is_contiguous(memory_format=torch.channels_last)


@needs_kernel
def test_a_large_mean_cancels_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """float32 resolves 1000 to 6e-5, which is what y, with a standard deviation of 1, can be off by."""
    ours, exact = both(noise(4, 16, 24, 24, mean=1000), 2, monkeypatch)
    assert_equal(ours, exact, 1e-4)
    torch.testing.assert_close(ours.running_var.double(), exact.running_var, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(ours.running_mean.double(), exact.running_mean, rtol=1e-6, atol=0)


@needs_kernel
@pytest.mark.parametrize(("dtype", "rounding"), [(torch.bfloat16, BF16_ROUNDING), (torch.float16, 2**-11)])
def test_half_precision_is_rounded_once(dtype: torch.dtype, rounding: float, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, exact = both(noise(4, 16, 9, 9).to(dtype), 2, monkeypatch)
    assert ours.y.dtype == ours.x_grad.dtype == dtype
    assert ours.weight_grad.dtype == torch.float32
    assert_equal(ours, exact, rounding)
    assert_equal(ours._replace(y=exact.y, x_grad=exact.x_grad), exact, 2e-6)


@needs_kernel
def test_any_layout_and_equal_bits_again() -> None:
    x = noise(4, 6, 9, 9)
    first = results(layer(6, 2), x, KERNEL)
    for again in (x, x.contiguous(), noise(4, 12, 9, 9)[:, ::2].copy_(x)):
        for one, two in zip(first, results(layer(6, 2), again, KERNEL), strict=True):
            assert torch.equal(one, two)


@needs_kernel
def test_parts_of_unequal_sizes_and_float64_take_plain_torch() -> None:
    results(layer(3, 2), noise(5, 3, 4, 4), PLAIN)
    results(layer(3, 2).double(), noise(4, 3, 4, 4).double(), PLAIN)


@needs_kernel
def test_kernels_within_a_compiled_graph() -> None:
    x, bn = noise(4, 6, 9, 9), layer(6, 2)
    compiled = torch.compile(lambda v: bn(v) * 2, backend="aot_eager", fullgraph=True)
    leaf = x.clone().requires_grad_()
    y = compiled(leaf)
    y.backward(noise(9, 9, 6, 4).permute(3, 2, 0, 1))
    ours = layer(6, 2)
    expected = x.clone().requires_grad_()
    (ours(expected) * 2).backward(noise(9, 9, 6, 4).permute(3, 2, 0, 1))
    assert torch.equal(y.detach(), 2 * layer(6, 2)(x).detach())
    assert leaf.grad is not None
    assert expected.grad is not None
    assert torch.equal(leaf.grad, expected.grad)
    for name, value in ours.state_dict().items():
        assert torch.equal(value, bn.state_dict()[name])


def test_fake_cuda_tensors_pass_through_the_kernel_operators() -> None:
    """The cost of a step on a GPU is counted without one."""
    with FakeTensorMode(allow_non_fake_inputs=True), torch.device("cuda"):
        bn = GhostBatchNorm(6, 2).train()
        x = torch.empty(4, 6, 9, 9, dtype=torch.bfloat16, requires_grad=True)
        y = bn(x)
    assert KERNEL in str(y.grad_fn)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    assert y.is_contiguous(memory_format=torch.channels_last)


@needs_gpu
@pytest.mark.parametrize("shape", [(64, 64, 56, 56), (64, 256, 28, 28), (64, 2048, 7, 7)])
def test_kernels_at_full_size(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    ours, exact = both(noise(*shape), 32, monkeypatch)
    assert_equal(ours, exact, 1e-5)
