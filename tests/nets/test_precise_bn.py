"""BN statistics over many images (App. A)."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from torch import nn

from helpers.resnets import noise, small_net
from resdet.nets.precise_bn import compute_statistics, compute_statistics_by_layer


def test_statistics_of_the_first_layer_are_the_mean_and_variance_over_all_images() -> None:
    net = small_net()
    x = net.preprocess(noise(12, 3, 32, 32))
    with torch.no_grad():
        y = net.conv1.conv(x).double()
    seen = compute_statistics(net, x.split(5), images=12)
    assert seen == 12
    bn = net.conv1.bn
    assert isinstance(bn, nn.BatchNorm2d)
    torch.testing.assert_close(bn.running_mean, y.mean((0, 2, 3)).float())
    torch.testing.assert_close(bn.running_var, y.var((0, 2, 3), correction=0).float())


def test_statistics_of_the_first_layer_do_not_move_with_the_batch_size() -> None:
    x = noise(12, 3, 32, 32)
    found = []
    for size in (2, 5, 12):
        net = small_net()
        compute_statistics(net, net.preprocess(x).split(size), images=12)
        found.append((net.conv1.bn.running_mean, net.conv1.bn.running_var))
    torch.testing.assert_close(found[1], found[0])
    torch.testing.assert_close(found[2], found[0])


def test_statistics_normalise_what_training_normalised() -> None:
    net = small_net().train()
    x = net.preprocess(noise(16, 3, 64, 64))
    compute_statistics(net, [x], images=16)
    assert net.training
    assert net.conv1.bn.momentum == 0.1
    with torch.no_grad():
        in_training = net(x)
        torch.testing.assert_close(net.eval()(x), in_training, rtol=1e-3, atol=1e-3)


def test_statistics_use_the_requested_number_of_images_and_at_least_one() -> None:
    net = small_net()
    batches = net.preprocess(noise(12, 3, 32, 32)).split(4)
    assert compute_statistics(net, batches, images=5) == 8
    with pytest.raises(ValueError, match="no images"):
        compute_statistics(net, [], images=5)


@pytest.mark.parametrize("depth", [18, 50])
def test_by_layer_every_input_is_normalised_over_all_images_whatever_the_batches(depth: int) -> None:
    net = small_net(depth)
    x = net.preprocess(noise(12, 3, 64, 64))
    assert compute_statistics_by_layer(net, lambda: x.split(2), images=12) == 12
    outputs = {}
    for name, bn in net.named_modules():
        if isinstance(bn, nn.BatchNorm2d):
            bn.register_forward_hook(lambda _, __, y, name=name: outputs.update({name: y.double().clone()}))
    with torch.no_grad():
        net(x)
    assert len(outputs) == {18: 20, 50: 53}[depth]
    for name, y in outputs.items():
        bn = cast(nn.BatchNorm2d, net.get_submodule(name))
        torch.testing.assert_close(y.mean((0, 2, 3)).float(), bn.bias.data, atol=2e-4, rtol=0)
        spread = y.var((0, 2, 3), correction=0).sqrt().float()
        expected = bn.weight.data.abs() * (bn.running_var / (bn.running_var + bn.eps)).sqrt()  # type: ignore[operator]
        torch.testing.assert_close(spread, expected, atol=0, rtol=2e-3)
