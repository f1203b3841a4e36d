"""Operators on boxes, random draws and the Triton kernels on the device, beside plain torch on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from resdet.boxes.anchors import AnchorGenerator
from resdet.boxes.coding import decode, encode
from resdet.boxes.nms import multiclass_nms, nms
from resdet.boxes.roi_align import roi_align
from resdet.boxes.roi_pool import KERNELS as ROI_POOL
from resdet.boxes.roi_pool import roi_pool
from resdet.boxes.soft_nms import SoftNMS, multiclass_soft_nms
from resdet.boxes.targets import match_boxes, sample
from resdet.boxes.voting import vote
from resdet.classification.augment import ColourNoise, ShiftAndFlip
from resdet.detection.inference import Inference, InferenceSettings
from resdet.detection.refinement import Refinement
from resdet.device_check.agreement import difference
from resdet.device_check.check import Found, Setting
from resdet.device_check.families import WIDTH, detection, detector, pyramid
from resdet.draws import draw_seeds, random_keys
from resdet.engine.precision import precision_context
from resdet.kernels import kernel_runs
from resdet.nets.ghost_bn import KERNELS as GHOST_BN
from resdet.nets.ghost_bn import GhostBatchNorm
from resdet.nets.resnet import ResNet

KERNELS = {"RoIPool": ROI_POOL, "ghost BN": GHOST_BN}
CLOSE = 1e-5  # relative, by the norm
SUMMED = 1e-4  # where many values are summed in another order


def check_kernels(setting: Setting, found: Found) -> None:
    """Which Triton kernels run."""
    try:
        import triton

        found.figures["triton"] = triton.__version__
    except ModuleNotFoundError:
        found.figures["triton"] = "not installed: plain torch is used"
        return
    for name, module in KERNELS.items():
        runs = kernel_runs(module, setting.device.type)
        found.figures[name] = "the kernel runs" if runs else "plain torch"
        found.expect(runs or not setting.on_gpu, f"the kernel of {name} does not run; the warning above says why")


def check_boxes(setting: Setting, found: Found) -> None:
    """Anchors, matching, sampling, coding, NMS, Soft-NMS and voting."""
    boxes, scores = random_boxes(400), _random(400, seed=3)
    by_class, class_scores = random_boxes(200, 5, seed=4), _random(200, 5, seed=5)
    labels, present = (_random(2, 300, seed=6) * 3 - 1).to(torch.int8), torch.ones(1, 20, dtype=torch.bool)
    _equal(found, setting, "anchors", lambda t: AnchorGenerator((64, 128))(9, 13, t.device), boxes)
    _equal(found, setting, "NMS", lambda b, s: nms(b, s, 0.5), boxes, scores)
    _equal(found, setting, "NMS, the best 50", lambda b, s: nms(b, s, 0.5, 50), boxes, scores)
    _equal(found, setting, "NMS of classes", multiclass_nms, by_class, class_scores)
    for decay in ("linear", "gaussian"):
        soft = SoftNMS(decay)
        _close(found, setting, f"Soft-NMS, {decay}", lambda b, s, x=soft: multiclass_soft_nms(b, s, x), by_class,
               class_scores)  # fmt: skip
    kept, _, classes = multiclass_nms(by_class, class_scores)
    _close(found, setting, "voting", vote, kept, classes, by_class, class_scores)
    _close(found, setting, "encode", encode, boxes[:200], boxes[200:])
    _close(found, setting, "decode", lambda d, b: decode(d / 10, b), _random(400, 4), boxes)
    _equal(found, setting, "matching", lambda g, b, m: match_boxes(g, b, m, 0.5, 0.3, low_quality=True)[:2],
           boxes[None, :20], boxes[None], present)  # fmt: skip
    keys = random_keys(torch.arange(2), 300, 0)
    _equal(found, setting, "sampling", _sampled, labels, keys)


def check_draws(setting: Setting, found: Found) -> None:
    """Random draws have equal bits on every device, and augmentation by them equal values."""
    seeds, x, std = torch.arange(64) * 7919, _random(8, 3, 32, 32), torch.tensor([50.0, 55, 60])
    _equal(found, setting, "random_keys", lambda s: random_keys(s, 1000, 2), seeds)
    _equal(found, setting, "draw_seeds", lambda s: draw_seeds(3, 5, s), seeds)
    shift, noise = ShiftAndFlip(4), ColourNoise(0.1)
    _equal(found, setting, "shift and flip", lambda a, b, c: deepcopy(shift).to(a.device)(a, b, c), x, seeds[:8], std)
    _close(found, setting, "colour noise", lambda a, b, c: deepcopy(noise).to(a.device)(a, b, c), x, seeds[:8], std)


def check_pooling(setting: Setting, found: Found) -> None:
    """RoIPool and RoIAlign, forward and backward, with the kernel and without."""
    maps, cells = _random(2, 40, 19, 31) - 0.5, torch.tensor([[19, 25], [14, 31]])
    boxes = random_boxes(30, 2, seed=8).transpose(0, 1).contiguous() * torch.tensor([1.2, 0.8, 1.2, 0.8])
    for even in (False, True):
        how = ", every second bin" if even else ""
        _pool(found, setting, f"RoIPool{how}", roi_pool, maps, boxes, cells, even)
        _pool(found, setting, f"RoIAlign{how}", roi_align, maps, boxes, cells, even)
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        _pool(found, setting, "RoIPool, deterministic", roi_pool, maps, boxes, cells, False)
    finally:
        torch.use_deterministic_algorithms(before)


def _pool(
    found: Found, setting: Setting, name: str, pool: Callable[..., Tensor], maps: Tensor, boxes: Tensor, cells: Tensor,
    even: bool,
) -> None:  # fmt: skip
    values, gradients = [], []
    for device in (torch.device("cpu"), setting.device):
        x = maps.to(device).contiguous(memory_format=torch.channels_last).requires_grad_()
        pooled = pool(x, boxes.to(device), even=even, cells=cells.to(device))
        weights = _random(*pooled.shape, seed=9).to(device)
        torch.autograd.backward((pooled * weights).sum())
        assert x.grad is not None
        values.append(pooled.detach().cpu())
        gradients.append(x.grad.cpu())
    if pool is roi_pool:
        found.expect(torch.equal(*values), f"{name}: the values are not those of the CPU")
    found.at_most(name, difference(values[1], values[0]), SUMMED)
    found.at_most(f"{name}, gradient", difference(gradients[1], gradients[0]), SUMMED)
    half = maps.to(setting.device, torch.bfloat16).requires_grad_()
    pooled = pool(half, boxes.to(setting.device), even=even, cells=cells.to(setting.device))
    torch.autograd.backward(pooled.float().sum())
    found.at_most(f"{name}, bf16", difference(pooled.detach().float().cpu(), values[0]), 1e-2)


def check_ghost_bn(setting: Setting, found: Found) -> None:
    """Ghost BN, forward and backward, with its running statistics."""
    torch.manual_seed(0)
    layer = GhostBatchNorm(24, 4)
    nn.init.uniform_(layer.weight, 0.5, 1.5)
    x, weights = _random(12, 24, 9, 7) * 3 - 1, _random(12, 24, 9, 7, seed=9)
    answers = []
    for device in (torch.device("cpu"), setting.device):
        own = deepcopy(layer).to(device)
        images = x.to(device).contiguous(memory_format=torch.channels_last).requires_grad_()
        y = own(images)
        torch.autograd.backward((y * weights.to(device)).sum())
        assert images.grad is not None
        assert own.weight.grad is not None
        assert own.bias.grad is not None
        parts = {"values": y, "gradient": images.grad, "gamma": own.weight.grad, "beta": own.bias.grad}
        parts |= {"running mean": own.running_mean, "running variance": own.running_var}
        answers.append({name: value.detach().cpu() for name, value in parts.items()})
    for name, value in answers[0].items():
        found.at_most(name, difference(answers[1][name], value), SUMMED)


def check_inference(setting: Setting, found: Found) -> None:
    """Whole inference, from images to detections, plain and with Appendix B's improvements."""
    torch.manual_seed(0)
    model = detector(ResNet(50, None, WIDTH)).eval()
    tests: dict[str, tuple[InferenceSettings, Any]] = {
        "plain": (InferenceSettings(), detection()),
        "Soft-NMS": (InferenceSettings(soft_nms=SoftNMS()), detection()),
        "refinement, multi-scale, flip": (
            InferenceSettings(Refinement(), scales=(72, 144), region_side=64, flip=True), pyramid()
        ),
    }  # fmt: skip
    for name, (testing, batch) in tests.items():
        counts = []
        for device in (torch.device("cpu"), setting.device):
            own = deepcopy(model).to(device)
            with precision_context("fp32", device):
                detections = Inference([own], testing, short=96).detect(batch.to(device))
            counts.append([len(one) for one in detections])
            sound = all(bool(one.boxes.isfinite().all() and one.scores.isfinite().all()) for one in detections)
            found.expect(sound, f"{name}: a box or score on {device.type} is not finite")
        found.figures[f"{name}: detections of two images"] = f"{counts[1]}, on the CPU {counts[0]}"
        near = all(abs(a - b) <= max(2, b // 10) for a, b in zip(*counts, strict=True))
        found.expect(near, f"{name}: {counts[1]} detections, on the CPU {counts[0]}")


def random_boxes(*shape: int, seed: int = 0) -> Tensor:
    """Random boxes [*shape, 4] within 400 x 250 pixels, at least 10 long."""
    corner, size = _random(*shape, 2, seed=seed), _random(*shape, 2, seed=seed + 100)
    corner, size = corner * torch.tensor([300.0, 150]), 10 + size * 90
    return torch.cat([corner, corner + size], -1)


def _sampled(labels: Tensor, keys: Tensor) -> tuple[Tensor, ...]:
    chosen = sample(labels, keys, 64, 0.5)
    return chosen.index, chosen.positive, chosen.valid


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def _both(setting: Setting, function: Callable[..., Any], tensors: tuple[Tensor, ...]) -> list[tuple[Tensor, ...]]:
    """The results of a function on the CPU and on the device, all on the CPU."""
    results = []
    for device in (torch.device("cpu"), setting.device):
        result = function(*(tensor.to(device) for tensor in tensors))
        parts = (result,) if isinstance(result, Tensor) else tuple(result)
        results.append(tuple(part.cpu() for part in parts))
    return results


def _equal(found: Found, setting: Setting, name: str, function: Callable[..., Any], *tensors: Tensor) -> None:
    expected, actual = _both(setting, function, tensors)
    same = all(torch.equal(a, b) for a, b in zip(actual, expected, strict=True))
    found.figures[name] = "equal" if same else "different"
    found.expect(same, f"{name}: another result than on the CPU")


def _close(found: Found, setting: Setting, name: str, function: Callable[..., Any], *tensors: Tensor) -> None:
    expected, actual = _both(setting, function, tensors)
    for a, b in zip(actual, expected, strict=True):
        if a.shape != b.shape:
            found.problems.append(f"{name}: shape {tuple(a.shape)}, on the CPU {tuple(b.shape)}")
            return
    found.at_most(name, max(difference(a.float(), b.float()) for a, b in zip(actual, expected, strict=True)), CLOSE)
