"""The networks of Section 3: published sizes and costs, shortcuts, dilation, initialisation."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from helpers.resnets import meta_net, noise, small_net
from resdet.errors import UserError
from resdet.nets.blocks import BasicBlock, Bottleneck, fold_for_inference
from resdet.nets.cifar_resnet import CifarResNet
from resdet.nets.complexity import complexity
from resdet.nets.holes import make_holes
from resdet.nets.resnet import ResNet
from resdet.nets.vgg import VGG

PARAMETERS = {
    (18, "A"): 11_515_688, (18, "B"): 11_689_512, (18, "C"): 12_043_816, (18, None): 11_515_688,
    (34, "A"): 21_623_848, (34, "B"): 21_797_672, (34, "C"): 22_716_840,
    (50, "B"): 25_557_032, (101, "B"): 44_549_160, (152, "B"): 60_192_808,
}  # fmt: skip
CIFAR_PARAMETERS = {20: 269_722, 32: 464_154, 44: 658_586, 56: 853_018, 110: 1_727_962, 1202: 19_421_274}
GMAC = {  # the paper prints 1.8 3.6 3.8 7.6 11.3 for its stride on the 1x1
    (18, "1x1"): 1.814,
    (34, "1x1"): 3.664,
    (50, "1x1"): 3.858,
    (101, "1x1"): 7.570,
    (152, "1x1"): 11.282,
    (50, "3x3"): 4.089,
    (101, "3x3"): 7.801,
}


# Table 1 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("depth", "shortcut"), PARAMETERS)
@pytest.mark.parametrize("stride_on", ["1x1", "3x3"])
def test_parameters_of_options_a_b_and_c_and_of_plain_nets(depth: int, shortcut: str | None, stride_on: str) -> None:
    cost = complexity(meta_net(depth, stride_on=stride_on, shortcut=shortcut))
    assert cost.parameters == PARAMETERS[depth, shortcut]


@pytest.mark.parametrize(("depth", "stride_on"), GMAC)
def test_multiply_adds_at_224(depth: int, stride_on: str) -> None:
    assert complexity(meta_net(depth, stride_on=stride_on)).macs / 1e9 == pytest.approx(
        GMAC[depth, stride_on], abs=5e-4
    )


@pytest.mark.parametrize("depth", [18, 50])
def test_output_sizes_are_those_of_table_1(depth: int) -> None:
    sizes = complexity(meta_net(depth)).sizes
    assert sizes == {f"conv{i}": (side, side) for i, side in enumerate((112, 56, 28, 14, 7), 1)}


@pytest.mark.parametrize("shortcut", ["A", None])
@pytest.mark.parametrize("depth", CIFAR_PARAMETERS)
def test_cifars_plain_and_residual_nets_have_the_same_parameters(depth: int, shortcut: str | None) -> None:
    with torch.device("meta"):
        cost = complexity(CifarResNet(depth, shortcut=shortcut), 32)  # type: ignore[arg-type]
    assert cost.parameters == CIFAR_PARAMETERS[depth]
    assert cost.sizes == {"conv1": (32, 32), "conv2": (32, 32), "conv3": (16, 16), "conv4": (8, 8)}


@pytest.mark.parametrize(("depth", "parameters", "gmac"), [(16, 138_357_544, 15.470), (19, 143_667_240, 19.632)])
def test_vgg_costs_what_the_paper_compares_with(depth: int, parameters: int, gmac: float) -> None:
    with torch.device("meta"):
        cost = complexity(VGG(depth))
    assert cost.parameters == parameters
    assert cost.macs / 1e9 == pytest.approx(gmac, abs=5e-4)  # the paper prints 15.3 and 19.6


def test_invalid_depths_are_refused() -> None:
    for make, depth in ((ResNet, 20), (CifarResNet, 21), (CifarResNet, 2), (VGG, 11)):
        with pytest.raises(UserError, match=str(depth)):
            make(depth)
    with pytest.raises(UserError, match="shortcut is 'D'"):
        ResNet(18, shortcut="D")  # type: ignore[arg-type]


# Shortcuts ------------------------------------------------------------------------------------------------------------


def test_option_a_takes_every_other_cell_and_pads_with_zero_channels() -> None:
    block = BasicBlock(2, 3, stride=2, shortcut="A").eval()
    for conv in (block.a.conv, block.b.conv):
        torch.nn.init.zeros_(conv.weight)
    x = torch.arange(1.0, 33).view(1, 2, 4, 4)
    expected = torch.cat([x[:, :, ::2, ::2], torch.zeros(1, 1, 2, 2)], 1)
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_a_plain_block_has_no_shortcut(block: type[BasicBlock] | type[Bottleneck]) -> None:
    torch.manual_seed(0)
    plain, residual = block(8, 8 // block.expansion, shortcut=None).eval(), block(8, 8 // block.expansion).eval()
    residual.load_state_dict(plain.state_dict())
    x = torch.randn(2, 8, 6, 6).relu()
    layers = plain.last(plain.a(x).relu() if block is BasicBlock else plain.b(plain.a(x).relu()).relu())
    torch.testing.assert_close(plain(x), layers.relu())
    torch.testing.assert_close(residual(x), (layers + x).relu())


# Dilation -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("depth", "options"),
    [(18, {}), (34, {"shortcut": "A"}), (18, {"shortcut": None}), (50, {}), (50, {"stride_on": "3x3"})],
)
@pytest.mark.parametrize("stage", ["conv4", "conv5"])
@pytest.mark.parametrize("size", [(96, 96), (75, 130)])
def test_every_other_cell_of_a_dilated_stage_equals_the_strided_stage(
    depth: int, options: dict[str, object], stage: str, size: tuple[int, int]
) -> None:
    net = small_net(depth, **options)
    with torch.no_grad():
        x = net.preprocess(noise(2, 3, *size))
        before = net.trunk(x) if stage == "conv4" else net.conv5(net.trunk(x))
        make_holes(getattr(net, stage))
        after = net.trunk(x) if stage == "conv4" else net.conv5(net.trunk(x))
        assert after.shape[-2:] == tuple(-(-side // (8 if stage == "conv4" else 16)) for side in size)
        torch.testing.assert_close(after[:, :, ::2, ::2], before, rtol=1e-4, atol=1e-4 * before.abs().max().item())
        folded = fold_for_inference(copy.deepcopy(net)).trunk(x)
        torch.testing.assert_close(folded, net.trunk(x), rtol=1e-4, atol=1e-4 * folded.abs().max().item())


# Sizes and initialisation ---------------------------------------------------------------------------------------------


def test_half_the_width_costs_a_quarter_except_in_the_first_and_last_layer() -> None:
    whole, half = meta_net(18), meta_net(18, width=0.5)
    assert (half.trunk_channels, half.channels) == (128, 256)
    ends = 112 * 112 * 64 * 3 * 49 + 512 * 1000  # conv1 and fc have one side that does not shrink
    assert complexity(half).macs == (complexity(whole).macs - ends) / 4 + ends / 2


@pytest.mark.parametrize(
    ("pool1", "size", "cells"),
    [
        ("pad", (224, 224), (14, 14)),
        ("pad", (600, 1000), (38, 63)),
        ("pad", (602, 1001), (38, 63)),
        ("ceil", (600, 1000), (38, 63)),
        ("ceil", (33, 130), (2, 8)),  # 17 and 65 after conv1: Caffe's pooling gives 8 and 32, torchvision's 9 and 33
        ("pad", (33, 130), (3, 9)),
    ],
)
def test_trunk_has_stride_16(pool1: str, size: tuple[int, int], cells: tuple[int, int]) -> None:
    net = meta_net(50, pool1=pool1, num_classes=None)
    assert net.trunk(torch.empty(1, 3, *size, device="meta")).shape == (1, 1024, *cells)
    assert tuple(net.trunk_cells(torch.tensor(size)).tolist()) == cells


def test_head_reads_14x14_regions_and_gives_one_vector_each() -> None:
    net = meta_net(50, num_classes=None)
    assert net.head(torch.empty(6, 1024, 14, 14, device="meta")).shape == (6, 2048)


def test_forward_is_head_of_trunk_and_fc() -> None:
    net = small_net(50)
    x = net.preprocess(noise(2, 3, 64, 64))
    assert net.fc is not None
    torch.testing.assert_close(net(x), net.fc(net.head(net.trunk(x))))
    without_fc = ResNet(18, num_classes=None, width=1 / 8).eval()
    assert without_fc(x).shape == (2, without_fc.channels)


def test_convolutions_are_initialised_as_he_et_al_describe() -> None:
    net = ResNet(18, width=0.5)
    conv = net.conv4[0].b.conv.weight  # type: ignore[union-attr, index]
    assert conv.std().item() == pytest.approx((2 / (conv.shape[0] * 9)) ** 0.5, rel=0.02)  # fan-out
    assert all(bn.weight.eq(1).all() for bn in net.modules() if isinstance(bn, nn.BatchNorm2d))


@pytest.mark.parametrize("depth", [18, 50])
def test_with_zero_last_gammas_a_block_starts_as_its_shortcut(depth: int) -> None:
    net = ResNet(depth, None, width=1 / 8, zero_last_gamma=True).eval()
    first = net.conv2[0](torch.rand(1, net.conv1.conv.out_channels, 9, 9))
    assert torch.equal(net.conv2[1](first), first)


@pytest.mark.parametrize("depth", [0, 20, 56, 110])
def test_depths_outside_of_table_1_are_refused(depth: int) -> None:
    with pytest.raises(UserError, match=f"ResNet-{depth} .*18, 34, 50, 101, 152"):
        ResNet(depth)


def test_the_cost_of_a_net_that_reads_its_bns_attributes() -> None:
    class Folded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.bn = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            scale = self.bn.weight / (self.bn.running_var + self.bn.eps).sqrt()
            return self.bn(nn.functional.conv2d(x, self.conv.weight * scale[:, None, None, None]))

    net = Folded()
    assert complexity(net, 10).macs == 8 * 8 * 4 * 3 * 9
    assert net(torch.randn(2, 3, 10, 10)).mean().abs() < 0.1  # the net itself still normalizes
