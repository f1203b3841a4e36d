"""Ghost batches: BN over parts of a batch."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from helpers.resnets import noise, small_net
from resdet.errors import UserError
from resdet.nets.ghost_bn import use_ghost_batches


def test_ghost_batches_equal_the_batches_of_several_devices() -> None:
    """Each part alone in a BatchNorm2d gives the same output and gradient; the averages are the mean of theirs."""
    torch.manual_seed(0)
    x = torch.randn(8, 3, 5, 5, requires_grad=True)
    ghost = use_ghost_batches(nn.Sequential(nn.BatchNorm2d(3)), 4).train()
    y = ghost(x)
    y.square().mul(torch.arange(8.0)[:, None, None, None]).sum().backward()
    literal = x.detach().clone().requires_grad_()
    devices = [nn.BatchNorm2d(3) for _ in range(2)]
    parts = torch.cat([bn(part) for bn, part in zip(devices, literal.split(4), strict=True)])
    parts.square().mul(torch.arange(8.0)[:, None, None, None]).sum().backward()
    torch.testing.assert_close(y, parts)
    torch.testing.assert_close(x.grad, literal.grad)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(getattr(ghost[0], name), (getattr(devices[0], name) + getattr(devices[1], name)) / 2)  # type: ignore[index]


def test_ghost_batches_change_neither_inference_nor_names() -> None:
    net = small_net()
    ghost = use_ghost_batches(copy.deepcopy(net), 2).eval()
    x = net.preprocess(noise(4, 3, 64, 64))
    with torch.no_grad():
        torch.testing.assert_close(ghost(x), net(x))
    assert ghost.state_dict().keys() == net.state_dict().keys()
    assert not torch.allclose(ghost.train()(x), net.train()(x))
    with pytest.raises(UserError, match="ghost_batch is 1"):
        use_ghost_batches(net, 1)
