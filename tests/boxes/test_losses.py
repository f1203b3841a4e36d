from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from resdet.boxes.losses import head_losses, rpn_losses, smooth_l1


@pytest.mark.parametrize("beta", [1 / 9, 1.0])
def test_smooth_l1_equals_torch(beta: float) -> None:
    a, b = torch.randn(100), torch.randn(100)
    torch.testing.assert_close(smooth_l1(a, b, beta), F.smooth_l1_loss(a, b, beta=beta, reduction="none"))


def test_beta_zero_is_l1_with_finite_gradient_at_zero() -> None:
    a = torch.tensor([0.0, 1e-30, -3.0], requires_grad=True)
    loss = smooth_l1(a, torch.zeros(3), 0)
    assert torch.equal(loss, a.abs())
    loss.sum().backward()
    assert a.grad is not None
    assert a.grad.tolist() == [0, 1, -1]


def test_rpn_losses_are_sums_over_the_mask_divided_by_the_normalizer() -> None:
    logits, deltas, targets = torch.randn(2, 6), torch.randn(2, 6, 4), torch.randn(2, 6, 4)
    valid = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0]]).bool()
    positive = torch.tensor([[1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]]).bool()
    objectness, box = rpn_losses(logits, deltas, targets, positive, valid, normalizer=512)
    bce = F.binary_cross_entropy_with_logits(logits[valid], positive[valid].float(), reduction="sum") / 512
    l1 = F.smooth_l1_loss(deltas[positive], targets[positive], beta=1 / 9, reduction="sum") / 512
    torch.testing.assert_close(objectness, bce)
    torch.testing.assert_close(box, l1)


def test_head_losses_divide_by_all_valid_regions() -> None:
    K = 3
    logits, deltas, targets = torch.randn(5, K + 1), torch.randn(5, K, 4), torch.randn(5, 4)
    labels = torch.tensor([0, 2, K, K, 1])
    valid = torch.tensor([1, 1, 1, 1, 0]).bool()
    classification, box = head_losses(logits, deltas, labels, targets, valid)
    torch.testing.assert_close(classification, F.cross_entropy(logits[:4], labels[:4]))
    chosen = torch.stack([deltas[0, 0], deltas[1, 2]])
    torch.testing.assert_close(box, F.smooth_l1_loss(chosen, targets[:2], reduction="sum") / 4)


def test_only_the_deltas_of_the_true_class_get_a_gradient() -> None:
    deltas = torch.randn(2, 3, 4, requires_grad=True)
    head_losses(torch.randn(2, 4), deltas, torch.tensor([1, 3]), torch.zeros(2, 4), torch.ones(2).bool())[1].backward()
    assert deltas.grad is not None
    assert deltas.grad.abs().sum(dim=2).nonzero().tolist() == [[0, 1]]


def test_without_valid_regions_the_losses_are_zero_and_have_a_gradient() -> None:
    logits, deltas = torch.randn(2, 4, requires_grad=True), torch.randn(2, 4, 4, requires_grad=True)
    none = torch.zeros(2, 4).bool()
    sum(rpn_losses(logits, deltas, torch.zeros(2, 4, 4), none, none, normalizer=1.0)).backward()  # type: ignore[union-attr]
    head = head_losses(logits, deltas[:, :3], torch.zeros(2).long(), torch.zeros(2, 4), none[:, 0])
    assert head[0] == head[1] == 0
    sum(head).backward()  # type: ignore[union-attr]
    assert logits.grad is not None
    assert deltas.grad is not None
    assert not logits.grad.any()
    assert not deltas.grad.any()


def test_values_in_padding_do_not_matter() -> None:
    logits = torch.tensor([[1.0, math.nan]], requires_grad=True)
    deltas = torch.full((1, 2, 4), math.inf)
    deltas[0, 0] = 1
    deltas.requires_grad_()
    valid, targets = torch.tensor([[True, False]]), torch.full((1, 2, 4), math.nan)
    targets[0, 0] = 0
    objectness, box = rpn_losses(logits, deltas, targets, torch.ones(1, 2).bool(), valid, normalizer=1.0)
    (objectness + box).backward()
    assert (objectness + box).isfinite()
    assert logits.grad is not None
    assert deltas.grad is not None
    assert logits.grad.isfinite().all()
    assert deltas.grad.isfinite().all()

    logits2 = torch.tensor([[1.0, 2.0], [math.nan, math.inf]], requires_grad=True)
    deltas2 = torch.tensor([[[1.0] * 4], [[math.nan] * 4]], requires_grad=True)
    labels = torch.tensor([0, -100])
    loss = sum(head_losses(logits2, deltas2, labels, targets[0], valid[0]))
    assert loss.isfinite()  # type: ignore[union-attr]
    loss.backward()  # type: ignore[union-attr]
    assert logits2.grad is not None
    assert deltas2.grad is not None
    assert logits2.grad.isfinite().all()
    assert deltas2.grad.isfinite().all()


def test_losses_are_float32_for_bf16_input_and_under_autocast() -> None:
    logits, deltas = torch.randn(5, 4), torch.randn(5, 3, 4)
    labels, targets, valid = torch.tensor([0, 1, 2, 3, 3]), torch.randn(5, 4), torch.ones(5).bool()
    expected = head_losses(logits.bfloat16().float(), deltas.bfloat16().float(), labels, targets, valid)
    with torch.autocast("cpu", torch.bfloat16):
        got = head_losses(logits.bfloat16(), deltas.bfloat16(), labels, targets, valid)
    for a, b in zip(got, expected, strict=True):
        assert a.dtype == torch.float32
        assert torch.equal(a, b)
