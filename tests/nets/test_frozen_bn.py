"""Frozen batch normalization, and folding it into the convolutions."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import cast

import pytest
import torch
from torch import nn

from helpers.resnets import meta_net, noise, small_net
from resdet.nets.blocks import fold_for_inference
from resdet.nets.frozen_bn import FrozenBatchNorm, freeze_batch_norm
from resdet.nets.resnet import ResNet


@pytest.mark.parametrize("depth", [18, 50])
def test_frozen_bn_is_batch_norm_at_test_time_in_output_and_gradient(depth: int) -> None:
    net = small_net(depth)
    frozen = cast(ResNet, freeze_batch_norm(copy.deepcopy(net)).train().double())  # train() must not matter
    net.double()
    x = net.preprocess(noise(2, 3, 64, 64)).double()
    outputs = [n.trunk(x) for n in (net, frozen)]
    torch.testing.assert_close(outputs[1], outputs[0])
    for output in outputs:
        output.square().sum().backward()
    theirs, ours = dict(net.named_parameters()), dict(frozen.named_parameters())
    assert ours.keys() == {n for n in theirs if ".bn." not in n}
    for name, parameter in ours.items():
        torch.testing.assert_close(parameter.grad, theirs[name].grad)


def test_a_frozen_bn_computes_what_the_bn_did() -> None:
    bn = nn.Sequential(nn.BatchNorm2d(3)).eval()
    bn[0].running_mean, bn[0].running_var = torch.tensor([1.0, 2, 3]), torch.tensor([4.0, 1, 0.25])
    x = torch.randn(2, 3, 5, 5)
    expected = bn(x)
    freeze_batch_norm(bn)
    assert isinstance(bn[0], FrozenBatchNorm)
    torch.testing.assert_close(bn(x), expected)
    assert list(bn.parameters()) == []


def test_changed_statistics_change_the_output() -> None:
    """Scale and shift are kept between calls, but not beyond a change, a load, a move or a copy of the layer."""
    bn = FrozenBatchNorm(3)
    x = torch.ones(1, 3, 2, 2)
    with torch.inference_mode():
        first = bn(x)
    assert bn(x.requires_grad_()).requires_grad  # what was computed in inference mode can be trained through
    twin = copy.deepcopy(bn)
    bn.running_mean.add_(1)
    assert torch.equal(bn(x), first - 1 / (1 + bn.eps) ** 0.5)
    assert torch.equal(twin(x), first)
    bn.load_state_dict(twin.state_dict())
    assert torch.equal(bn(x), first)
    bn.bias = torch.full((3,), 2.0)
    assert torch.equal(bn(x), first + 2)
    assert bn.double()(x.double()).dtype == torch.float64


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_a_copy_has_the_statistics_of_the_moment(copied: Callable[[FrozenBatchNorm], FrozenBatchNorm]) -> None:
    """A copy's tensors count their changes anew: what the layer kept could pass for fresh in it."""
    bn, other = FrozenBatchNorm(3), FrozenBatchNorm(3)
    other.running_mean.add_(1)
    x = torch.ones(1, 3, 2, 2)
    for _ in range(4):  # whatever the copies' counts are, one of these is the count that was kept
        first = bn(x)
        bn.load_state_dict(other.state_dict())
        other.running_mean.add_(1)
        twin = copied(bn)
        assert torch.equal(twin(x), bn(x))
        assert not torch.equal(twin(x), first)


@pytest.mark.parametrize("frozen", [True, False])
def test_folding_changes_no_output(frozen: bool) -> None:
    net = small_net(50)
    if frozen:
        freeze_batch_norm(net)
    folded = cast(ResNet, fold_for_inference(copy.deepcopy(net)))
    x = net.preprocess(noise(2, 3, 64, 64))
    with torch.no_grad():
        expected = net.trunk(x)
        torch.testing.assert_close(folded.trunk(x), expected, rtol=1e-3, atol=1e-5 * expected.abs().max().item())
    assert not any(isinstance(m, nn.BatchNorm2d | FrozenBatchNorm) for m in folded.modules())


def test_folding_casts_the_convolutions() -> None:
    folded = fold_for_inference(small_net(), torch.bfloat16)
    assert {m.weight.dtype for m in folded.modules() if isinstance(m, nn.Conv2d)} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("depth", "stride_on", "even"), [(18, "1x1", False), (50, "1x1", True), (50, "3x3", False), (101, "1x1", True)]
)
def test_only_bottlenecks_with_the_stride_on_the_1x1_read_only_even_cells(
    depth: int, stride_on: str, even: bool
) -> None:
    assert meta_net(depth, stride_on=stride_on).reads_even_cells is even


def test_conv5_reads_only_even_cells() -> None:
    net = small_net(50)
    regions = torch.randn(3, net.trunk_channels, 14, 14)
    with torch.no_grad():
        torch.testing.assert_close(net.head(regions[..., ::2, ::2], subsampled=True), net.head(regions))
