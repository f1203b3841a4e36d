"""The per-class RPN: gathered outputs equal the full maps, which parameters train, overfitting."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from helpers.host_sync import HostSyncs
from helpers.localizers import SCALES, best_boxes, make_class_rpn, make_localization_batch, total_loss
from resdet.boxes.coding import decode, encode
from resdet.boxes.geometry import pairwise_iou
from resdet.boxes.losses import rpn_losses
from resdet.errors import UserError
from resdet.localization.class_rpn import ClassRPN, ClassRPNSettings
from resdet.localization.crops import MappedCrops
from resdet.nets.frozen_bn import FrozenBatchNorm
from resdet.nets.resnet import ResNet
from resdet.structures import LocalizationBatch

STEPS = 100  # of the overfitted crops


# Gathered anchors -----------------------------------------------------------------------------------------------------


def full_maps(model: ClassRPN, map: Tensor) -> tuple[Tensor, Tensor]:
    """The output layers as 1x1 convolutions over the full map: [N, h, w, K, A] and [N, h, w, K, A, 4]."""
    K, A = model.num_classes, model.anchors.num_anchors
    logits, deltas = (
        F.conv2d(map, weight.flatten(0, 1)[:, :, None, None], bias.flatten()).permute(0, 2, 3, 1)
        for weight, bias in (layer.of(torch.arange(K * A)) for layer in (model.objectness, model.deltas))
    )
    return logits.unflatten(-1, (K, A)), deltas.unflatten(-1, (K, A, 4))


def full_map_losses(model: ClassRPN, batch: LocalizationBatch) -> dict[str, Tensor]:
    """Losses computed from the outputs of all classes and cells, of which the sampled ones are selected."""
    map = model.map(model.net.preprocess(batch.images))
    logits, deltas = full_maps(model, map)
    chosen, targets = model._sample(map.shape[-2:], batch)
    image = torch.arange(len(batch))
    of_class, boxes_of_class = logits[image, :, :, batch.labels], deltas[image, :, :, batch.labels]
    rows = chosen.index[..., None].expand(-1, -1, 4)
    objectness, box = rpn_losses(
        of_class.flatten(1).gather(1, chosen.index), boxes_of_class.flatten(1, 3).gather(1, rows), targets,
        chosen.positive, chosen.valid, model.settings.beta, normalizer=8 * len(batch),
    )  # fmt: skip
    return {"loss_rpn_objectness": objectness, "loss_rpn_box": box}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@pytest.mark.parametrize(
    ("stage", "hidden", "holes"),
    [("conv5", None, False), ("conv4", None, False), ("conv5", 16, False), ("conv5", None, True), ("conv4", 16, True)],
)
def test_gathering_before_the_output_layers_gives_losses_and_gradients_of_the_full_maps(
    dtype: torch.dtype, tolerance: float, stage: str, hidden: int | None, holes: bool
) -> None:
    batch, answers = make_localization_batch(), []
    for losses_of in (lambda model, batch: model(batch), full_map_losses):
        model = make_class_rpn(stage=stage, hidden=hidden, holes=holes, frozen_bn=True).to(dtype)
        losses = losses_of(model, batch)
        total_loss(losses).backward()
        answers.append((losses, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}))
    (losses, gradients), (full_losses, full_gradients) = answers
    assert losses["loss_rpn_box"] > 0
    assert gradients.keys() == full_gradients.keys() >= {"objectness.weight", "deltas.bias", "net.conv1.conv.weight"}
    for got, expected in ((losses, full_losses), (gradients, full_gradients)):
        for name, value in expected.items():
            assert value.dtype == dtype
            torch.testing.assert_close(got[name], value, atol=tolerance * value.abs().max().item(), rtol=tolerance)


class Largest(TorchDispatchMode):
    """Records the largest number of elements of an operator's result."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        if isinstance(answer, Tensor):
            self.numbers = max(self.numbers, answer.numel())
        return answer


def test_no_map_of_all_classes_exists_in_training() -> None:
    model, batch = make_class_rpn(classes=1000, width=1 / 16), make_localization_batch(64, size=64)
    with Largest() as largest:
        total_loss(model(batch)).backward()
    assert model.deltas.weight.numel() <= largest.numbers < 64 * (2 * 2) * 9 * 1000


def test_a_step_never_synchronises() -> None:
    model, batch = make_class_rpn(), make_localization_batch()
    model(batch)
    with HostSyncs() as waits:
        total_loss(model(batch)).backward()
    assert not waits.count


# Training -------------------------------------------------------------------------------------------------------------


def test_only_the_rows_of_the_true_classes_get_a_gradient() -> None:
    model, batch = make_class_rpn(), replace(make_localization_batch(), labels=torch.tensor([1, 1, 3, 3]))
    total_loss(model(batch)).backward()
    for layer in (model.objectness, model.deltas):
        assert layer.weight.grad is not None
        own = layer.weight.grad.unflatten(0, (5, 9))
        assert (own.abs().sum((1, 2, 3)) > 0).tolist() == [False, True, False, True, False]
        torch.testing.assert_close(
            layer.common_weight.grad, own.sum(0)
        )  # what all classes have in common learns from all


def test_all_classes_are_equal_before_training() -> None:
    torch.manual_seed(0)
    model = ClassRPN(ResNet(18, None, width=0.125), 5, ClassRPNSettings(scales=SCALES)).eval()
    logits, boxes = model.candidates(make_localization_batch(2).images, torch.arange(5).expand(2, -1))
    assert logits.unique().numel() > 2  # of different anchors
    assert torch.equal(logits, logits[:, :1].expand_as(logits))
    assert torch.equal(boxes, boxes[:, :1].expand_as(boxes))


def test_a_crop_samples_eight_anchors_at_most_half_of_them_positive() -> None:
    model, batch = make_class_rpn(stage="conv4"), make_localization_batch(16, size=112)
    chosen, targets = model._sample(torch.Size([7, 7]), batch)
    assert chosen.index.shape == (16, 8)
    assert chosen.valid.all()
    assert 1 <= chosen.positive.sum(1).min() <= chosen.positive.sum(1).max() <= 4
    anchors = model.anchors(7, 7)
    ious = pairwise_iou(batch.boxes, anchors) * batch.mask[..., None]  # [N, G, A]
    crossing = (anchors[:, :2] < 0).any(1) | (anchors[:, 2:] > 112).any(1)
    for n in range(16):
        taken = chosen.index[n, chosen.positive[n]]
        best_of_object = ious[n].amax(1, keepdim=True)
        assert ((ious[n, :, taken] >= 0.7) | (ious[n, :, taken] == best_of_object)).any(0).all()
        assert (ious[n, :, chosen.index[n, ~chosen.positive[n]]] < 0.3).all()
        learned = ious[n, :, taken].argmax(0)
        torch.testing.assert_close(targets[n, chosen.positive[n]], encode(batch.boxes[n, learned], anchors[taken]))
    assert crossing[chosen.index[chosen.positive]].any()  # they are kept


def test_repeated_positives_give_every_object_half_of_the_loss() -> None:
    batch = make_localization_batch(16, size=112)
    alone, again = (make_class_rpn(stage="conv4", repeat_positives=repeat) for repeat in (False, True))
    few = alone._sample(torch.Size([7, 7]), batch)[0].positive.sum(1)
    assert few.min() < 4
    chosen, targets = again._sample(torch.Size([7, 7]), batch)
    assert (chosen.positive.sum(1) == 4).all()
    anchors = again.anchors(7, 7)
    for n in range(16):  # a repeated anchor learns its object again
        learned = pairwise_iou(batch.boxes[n : n + 1], anchors)[0, :, chosen.index[n]] * batch.mask[n][:, None]
        expected = encode(batch.boxes[n, learned.argmax(0)], anchors[chosen.index[n]])
        torch.testing.assert_close(targets[n, chosen.positive[n]], expected[chosen.positive[n]])


def test_samples_follow_the_seeds() -> None:
    model, batch = make_class_rpn(), make_localization_batch()
    first = model._sample(torch.Size([3, 3]), batch)[0].index
    assert torch.equal(model._sample(torch.Size([3, 3]), batch)[0].index, first)
    other = replace(batch, seeds=batch.seeds + 100)
    assert not torch.equal(model._sample(torch.Size([3, 3]), other)[0].index, first)


@pytest.mark.parametrize("kind", ["masked", "empty", "none"])
def test_crops_without_boxes_add_no_loss(kind: str) -> None:
    model, batch = make_class_rpn(), make_localization_batch()
    without = {
        "masked": replace(batch, mask=torch.zeros_like(batch.mask)),
        "empty": replace(batch, boxes=torch.cat([batch.boxes[..., :2]] * 2, -1)),  # nothing left after clipping
        "none": replace(batch, boxes=batch.boxes[:, :0], mask=batch.mask[:, :0]),
    }[kind]
    losses = model(without)
    total_loss(losses).backward()
    assert [value.item() for value in losses.values()] == [0, 0]
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


def test_a_step_in_two_passes_equals_the_step_in_one() -> None:
    model, batch = make_class_rpn(frozen_bn=True), make_localization_batch()
    batch.mask[0] = False  # the denominator counts this crop too
    whole = model(batch)
    halves = []
    for part in (slice(2), slice(2, 4)):
        tensors = {name: getattr(batch, name)[part] for name in ("images", "labels", "boxes", "mask", "seeds")}
        halves.append(model(replace(batch, **tensors)))
    for name in whole:
        torch.testing.assert_close(whole[name], (halves[0][name] + halves[1][name]) / 2)


def test_unused_parts_of_the_net_are_not_trained() -> None:
    model = ClassRPN(ResNet(18, 10, width=0.125), 2, ClassRPNSettings(stage="conv4", frozen_bn=True))
    fixed = {name.split(".")[0] for name, p in model.net.named_parameters() if not p.requires_grad}
    assert fixed == {"conv5", "fc"}
    assert any(isinstance(layer, FrozenBatchNorm) for layer in model.modules())
    total_loss(model(make_localization_batch(2, classes=2))).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    with pytest.raises(UserError, match="stage is 'conv3'"):
        ClassRPN(ResNet(18, None, width=0.125), 2, ClassRPNSettings(stage="conv3"))  # type: ignore[arg-type]


def test_frozen_stages_are_constants() -> None:
    model, batch = make_class_rpn(frozen_stages=2), make_localization_batch()
    before = {name: value.clone() for name, value in model.net.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1)
    total_loss(model(batch)).backward()
    optimizer.step()
    moved = {
        name.split(".")[0] for name, value in model.net.state_dict().items() if not torch.equal(value, before[name])
    }
    assert moved == {"conv3", "conv4", "conv5"}  # statistics of BN too
    with pytest.raises(UserError, match="frozen_stages is 6"):
        make_class_rpn(frozen_stages=6)


def test_under_bf16_the_output_layers_and_losses_stay_in_fp32() -> None:
    model, batch = make_class_rpn(hidden=16), make_localization_batch()
    with torch.autocast("cpu", torch.bfloat16):
        losses = model(batch)
        map = model.map(model.net.preprocess(batch.images))
        logits, boxes = model.scores_and_boxes(map, batch.labels[:, None])
    assert map.dtype == torch.bfloat16
    assert {value.dtype for value in (*losses.values(), logits, boxes)} == {torch.float32}
    total_loss(losses).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


# Inference ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(80, 80), (70, 101)])
def test_scores_and_boxes_equal_the_full_maps_of_the_given_classes(size: tuple[int, int]) -> None:
    model = make_class_rpn().eval()
    images, labels = torch.randint(256, (2, 3, *size), dtype=torch.uint8), torch.tensor([[4, 0, 2], [1, 3, 1]])
    logits, boxes = model.candidates(images, labels)
    with torch.no_grad():
        map = model.map(model.net.preprocess(images))
        full_logits, full_deltas = full_maps(model, map)
    anchors = model.anchors(*map.shape[-2:])
    assert logits.shape == (2, 3, len(anchors))
    for n in range(2):
        for k in range(3):
            torch.testing.assert_close(logits[n, k], full_logits[n, :, :, labels[n, k]].flatten())
            expected = decode(full_deltas[n, :, :, labels[n, k]].reshape(-1, 4), anchors)
            expected[:, 0::2].clamp_(0, size[1])
            expected[:, 1::2].clamp_(0, size[0])
            torch.testing.assert_close(boxes[n, k], expected, atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize(("stage", "stride"), [("conv5", 16), ("conv4", 8)])
def test_holes_halve_the_stride_of_the_anchors_and_keep_the_old_ones(stage: str, stride: int) -> None:
    images, labels = make_localization_batch(2, size=96).images, torch.tensor([[0], [3]])
    found = []
    for holes in (False, True):
        model = make_class_rpn(stage=stage, holes=holes).eval()
        logits, boxes = model.candidates(images, labels)
        cells = 96 // (stride if holes else 2 * stride)
        found.append((logits.view(2, cells, cells, 9), boxes.view(2, cells, cells, 9, 4)))
        assert model.anchors.stride * cells == 96
    for coarse, fine in zip(*found, strict=True):
        torch.testing.assert_close(fine[:, ::2, ::2], coarse, rtol=1e-4, atol=1e-3)


def test_a_small_model_overfits_crops_of_two_classes() -> None:
    torch.manual_seed(0)
    batch = make_localization_batch(6, size=64, classes=2)
    batch.mask[:, 1] = False
    # Anchors between the two thresholds are never learnt from: one of them may have the best score.
    settings = ClassRPNSettings(scales=(16, 32, 64), stage="conv4", negative_iou=0.7)
    model = ClassRPN(ResNet(18, None, width=0.25), 2, settings)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    for step in range(STEPS):
        batch.seeds[:] = torch.arange(6) + 6 * step
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / STEPS)
        optimizer.zero_grad()
        total_loss(model(batch)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5)
        optimizer.step()
    crops = MappedCrops.of(batch.images, torch.tensor([[64, 64]]).expand(6, -1))
    boxes, scores = best_boxes(model.eval(), [crops], batch.labels[:, None])
    ious = pairwise_iou(boxes, batch.boxes[:, :1])[:, 0, 0]
    assert ious.min() > 0.7
    assert scores.min() > 0.5
