"""The networks of Section 3: sizes and costs as printed, padding that changes nothing, BN as a constant."""

from __future__ import annotations

import copy
import itertools
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from resdet.errors import UserError
from resdet.nets.blocks import BasicBlock, Bottleneck, fold_for_inference
from resdet.nets.cifar_resnet import CifarResNet
from resdet.nets.complexity import complexity
from resdet.nets.frozen_bn import FrozenBatchNorm, freeze_batch_norm
from resdet.nets.ghost_bn import use_ghost_batches
from resdet.nets.holes import make_holes
from resdet.nets.precise_bn import compute_statistics, compute_statistics_by_layer
from resdet.nets.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
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


def meta_net(depth: int, **options: object) -> ResNet:
    """A net of shapes alone: nothing is computed or initialised."""
    with torch.device("meta"):
        return ResNet(depth, **options).eval()  # type: ignore[arg-type]


def randomised(net: ResNet, seed: int = 0) -> ResNet:
    """Statistics and affine of every BN such as training leaves them: none is zero or one."""
    random = torch.Generator().manual_seed(seed)
    for bn in net.modules():
        if isinstance(bn, nn.BatchNorm2d):
            shape = bn.weight.shape
            bn.weight.data = 0.5 + torch.rand(shape, generator=random)
            bn.bias.data = torch.randn(shape, generator=random) / 4
            bn.running_mean = torch.randn(shape, generator=random) / 4
            bn.running_var = 0.5 + torch.rand(shape, generator=random)
    return net


def small_net(depth: int = 18, **options: object) -> ResNet:
    torch.manual_seed(depth)
    return randomised(ResNet(depth, num_classes=5, width=1 / 8, **options)).eval()  # type: ignore[arg-type]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(256, shape, generator=torch.Generator().manual_seed(seed)).to(torch.uint8)


# Table 1 -------------------------------------------------------------------------------------------------------------


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
def test_output_sizes_are_table_1s(depth: int) -> None:
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


def test_depths_that_are_none() -> None:
    for make, depth in ((ResNet, 20), (CifarResNet, 21), (CifarResNet, 2), (VGG, 11)):
        with pytest.raises(UserError, match=str(depth)):
            make(depth)
    with pytest.raises(UserError, match="shortcut is 'D'"):
        ResNet(18, shortcut="D")  # type: ignore[arg-type]


# Shortcuts -----------------------------------------------------------------------------------------------------------


def test_option_a_takes_every_other_cell_and_pads_with_zero_channels() -> None:
    block = BasicBlock(2, 3, stride=2, option="A").eval()
    for conv in (block.a.conv, block.b.conv):
        torch.nn.init.zeros_(conv.weight)
    x = torch.arange(1.0, 33).view(1, 2, 4, 4)
    expected = torch.cat([x[:, :, ::2, ::2], torch.zeros(1, 1, 2, 2)], 1)
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_a_plain_block_is_its_layers_alone(block: type[BasicBlock] | type[Bottleneck]) -> None:
    torch.manual_seed(0)
    plain, residual = block(8, 8 // block.expansion, option=None).eval(), block(8, 8 // block.expansion).eval()
    residual.load_state_dict(plain.state_dict())
    x = torch.randn(2, 8, 6, 6).relu()
    layers = plain.last(plain.a(x).relu() if block is BasicBlock else plain.b(plain.a(x).relu()).relu())
    torch.testing.assert_close(plain(x), layers.relu())
    torch.testing.assert_close(residual(x), (layers + x).relu())


# Holes ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("depth", "options"),
    [(18, {}), (34, {"shortcut": "A"}), (18, {"shortcut": None}), (50, {}), (50, {"stride_on": "3x3"})],
)
@pytest.mark.parametrize("stage", ["conv4", "conv5"])
@pytest.mark.parametrize("size", [(96, 96), (75, 130)])
def test_every_other_cell_of_a_stage_with_holes_is_the_stages_without(
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


# Sizes ---------------------------------------------------------------------------------------------------------------


def test_half_the_width_is_a_quarter_of_the_cost_but_for_the_first_and_last_layer() -> None:
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


def test_convolutions_start_as_he_et_al_say() -> None:
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


# Padding -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("depth", "stride_on", "pool1"), list(itertools.product((18, 50), ("1x1", "3x3"), ("pad", "ceil")))
)
@pytest.mark.parametrize("frozen", [True, False])
def test_an_image_in_a_padded_batch_is_the_image_alone(depth: int, stride_on: str, pool1: str, frozen: bool) -> None:
    net = small_net(depth, stride_on=stride_on, pool1=pool1)
    if frozen:
        freeze_batch_norm(net)
    net.double()  # so that a wrong border cannot hide in rounding
    sizes = torch.tensor([[64, 96], [50, 81], [61, 33], [33, 96]])
    images = noise(4, 3, 64, 96)  # the padding is noise too: nothing outside may be read
    with torch.no_grad():
        together = net.trunk(net.preprocess(images, sizes).double(), sizes)
        cells = net.trunk_cells(sizes)
        for i, (height, width) in enumerate(sizes.tolist()):
            alone = net.trunk(net.preprocess(images[i : i + 1, :, :height, :width]).double())
            h, w = cells[i].tolist()
            assert alone.shape[2:] == (h, w)
            torch.testing.assert_close(together[i : i + 1, :, :h, :w], alone, rtol=1e-9, atol=1e-9)
            assert not together[i, :, h:].any()
            assert not together[i, :, :, w:].any()


def test_preprocess_normalises_and_then_pads_with_zeros() -> None:
    images = noise(2, 3, 4, 6)
    out = Preprocess()(images, torch.tensor([[4, 6], [3, 2]]))
    expected = (images[1, :, :3, :2].float() - torch.tensor(IMAGENET_MEAN)[:, None, None]) / torch.tensor(IMAGENET_STD)[
        :, None, None
    ]
    torch.testing.assert_close(out[1, :, :3, :2], expected)
    assert not out[1, :, 3:].any()
    assert not out[1, :, :, 2:].any()
    torch.testing.assert_close(out[:1], Preprocess()(images[:1]))
    assert out.is_contiguous(memory_format=torch.channels_last)


def test_mean_and_std_travel_with_the_weights() -> None:
    caffe = Preprocess((1.0, 2.0, 3.0), (1.0, 1.0, 1.0))
    other = Preprocess()
    other.load_state_dict(caffe.state_dict())
    assert other(torch.full((1, 3, 1, 1), 5, dtype=torch.uint8)).flatten().tolist() == [4, 3, 2]


# Frozen BN -----------------------------------------------------------------------------------------------------------


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


def test_a_frozen_bn_alone_computes_what_it_froze() -> None:
    bn = nn.Sequential(nn.BatchNorm2d(3)).eval()
    bn[0].running_mean, bn[0].running_var = torch.tensor([1.0, 2, 3]), torch.tensor([4.0, 1, 0.25])
    x = torch.randn(2, 3, 5, 5)
    expected = bn(x)
    freeze_batch_norm(bn)
    assert isinstance(bn[0], FrozenBatchNorm)
    torch.testing.assert_close(bn(x), expected)
    assert list(bn.parameters()) == []


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
def test_only_bottlenecks_with_the_stride_on_the_1x1_read_even_cells_alone(
    depth: int, stride_on: str, even: bool
) -> None:
    assert meta_net(depth, stride_on=stride_on).reads_even_cells is even


def test_even_cells_are_all_that_conv5_reads() -> None:
    net = small_net(50)
    regions = torch.randn(3, net.trunk_channels, 14, 14)
    with torch.no_grad():
        torch.testing.assert_close(net.head(regions[..., ::2, ::2], subsampled=True), net.head(regions))


# BN statistics (App. A) ----------------------------------------------------------------------------------------------


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


def test_statistics_stop_at_the_number_of_images_asked_for_and_need_one() -> None:
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


# Ghost batches -------------------------------------------------------------------------------------------------------


def test_ghost_batches_are_the_batches_of_several_devices() -> None:
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


def test_at_test_ghost_batches_change_nothing_and_the_names_stay() -> None:
    net = small_net()
    ghost = use_ghost_batches(copy.deepcopy(net), 2).eval()
    x = net.preprocess(noise(4, 3, 64, 64))
    with torch.no_grad():
        torch.testing.assert_close(ghost(x), net(x))
    assert ghost.state_dict().keys() == net.state_dict().keys()
    assert not torch.allclose(ghost.train()(x), net.train()(x))
    with pytest.raises(UserError, match="ghost_batch is 1"):
        use_ghost_batches(net, 1)
