from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torchvision.ops import batched_nms, box_iou

from helpers.paths import SHARED
from resdet.boxes.anchors import anchor_shapes, grid_anchors
from resdet.boxes.coding import decode
from resdet.boxes.geometry import clip_boxes
from resdet.boxes.nms import multiclass_nms, nms
from resdet.boxes.proposals import select_proposals

GOLDEN = SHARED / "golden" / "detectron2_r50c4.npz"


def boxes_of(R: int, K: int, origin: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(R + K)
    corner = torch.rand(R, K, 2, generator=generator) * 300 + origin
    boxes = torch.cat([corner, corner + 20 + torch.rand(R, K, 2, generator=generator) * 150], dim=-1)
    return boxes, torch.rand(R, K, generator=generator)


def test_nms_keeps_an_overlap_of_exactly_the_threshold() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 10]])
    scores = torch.tensor([0.5, 0.4, 0.9])
    assert box_iou(boxes[:1], boxes[1:2]).item() == 0.5
    assert nms(boxes, scores, 0.5).tolist() == [2, 1]
    assert nms(boxes, scores, 0.49).tolist() == [2]


@pytest.mark.parametrize("count", [0, 1, 10, 300, 5000])
def test_limiting_nms_keeps_the_first_boxes_of_the_full_result(count: int) -> None:
    boxes, scores = (values[:, 0] for values in boxes_of(2000, 1))
    scores = (scores * 50).round() / 50  # forty boxes share a score
    assert torch.equal(nms(boxes, scores, 0.3, count), nms(boxes, scores, 0.3)[:count])


@pytest.mark.parametrize("K", [1, 20])
def test_multiclass_nms_is_nms_in_each_class(K: int) -> None:
    boxes, scores = boxes_of(60, K)
    got_boxes, got_scores, got_labels = multiclass_nms(boxes, scores, 0.3, 0.5, max_detections=10_000)
    labels = torch.arange(K).expand(60, K)
    use = scores > 0.3
    keep = batched_nms(boxes[use].double(), scores[use].double(), labels[use], 0.5)
    assert torch.equal(got_boxes, boxes[use][keep])
    assert torch.equal(got_scores, scores[use][keep])
    assert torch.equal(got_labels, labels[use][keep])


def test_multiclass_nms_is_exact_for_large_coordinates() -> None:
    boxes, scores = boxes_of(60, 20)
    boxes = (boxes * 4).round() / 4  # quarters of a pixel are exact near 2**20
    _, near, near_labels = multiclass_nms(boxes, scores)
    _, far, far_labels = multiclass_nms(boxes + 2.0**20, scores)
    assert torch.equal(near, far)
    assert torch.equal(near_labels, far_labels)


def test_the_score_floor_is_exclusive_and_the_best_over_all_classes_are_kept() -> None:
    boxes = torch.arange(8.0).mul(100)[:, None, None] + torch.tensor([0.0, 0, 10, 10]).expand(8, 2, 4)
    scores = torch.linspace(0, 0.75, 16).view(8, 2)
    _, kept, labels = multiclass_nms(boxes, scores, score_floor=0.5, max_detections=3)
    assert kept.tolist() == pytest.approx([0.75, 0.7, 0.65])
    assert labels.tolist() == [1, 0, 1]
    assert len(multiclass_nms(boxes, scores, score_floor=0.5)[0]) == 5  # 0.5 itself is not above the floor


def test_no_candidates_and_bad_regions() -> None:
    boxes, scores = boxes_of(3, 4)
    assert [len(t) for t in multiclass_nms(boxes, scores, score_floor=2.0)] == [0, 0, 0]
    assert [len(t) for t in multiclass_nms(boxes[:0], scores[:0])] == [0, 0, 0]
    boxes[0, 0, 0] = math.nan
    scores[1, 0] = math.inf
    kept, _, _ = multiclass_nms(boxes, scores, score_floor=-1.0, iou=1.0)
    assert len(kept) == 4
    assert kept.isfinite().all()


def proposals_one_by_one(
    logits: torch.Tensor, deltas: torch.Tensor, anchors: torch.Tensor, size: torch.Tensor, pre: int, post: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Proposals of one image in textbook order: decode all boxes, sort, clip, drop small ones, NMS."""
    boxes = clip_boxes(decode(deltas, anchors), size)
    order = logits.argsort(descending=True)[:pre]
    order = order[((boxes[order, 2:] - boxes[order, :2]) > 0).all(dim=1)]
    keep = order[nms(boxes[order], logits[order], 0.7)][:post]
    return boxes[keep], logits[keep]


def test_proposals_equal_those_of_one_image_at_a_time() -> None:
    torch.manual_seed(0)
    anchors = grid_anchors(anchor_shapes(), 10, 14)[None]
    sizes = torch.tensor([[150, 220], [90, 130]])
    logits, deltas = torch.randn(2, anchors.shape[1]), torch.randn(2, anchors.shape[1], 4) * 0.3
    got = select_proposals(logits, deltas, anchors, sizes, pre_nms=600, post_nms=50)
    for n in range(2):
        boxes, scores = proposals_one_by_one(logits[n], deltas[n], anchors[0], sizes[n], 600, 50)
        count = len(boxes)
        assert got.valid[n].sum() == count
        assert torch.equal(got.boxes[n, :count], boxes)
        assert torch.equal(got.scores[n, :count], scores)
        assert (got.boxes[n, count:] == 0).all()
        assert (got.scores[n, count:] == -math.inf).all()


def test_invalid_small_and_outside_proposals_become_padding() -> None:
    anchors = torch.tensor([[0.0, 0, 50, 50], [60, 60, 90, 90], [500, 500, 600, 600], [0, 60, 4, 64], [0, 0, 9, 9]])[
        None
    ]
    logits = torch.tensor([[5.0, 4, 3, 2, math.nan]])
    deltas = torch.zeros(1, 5, 4)
    deltas[0, 0] = math.nan
    got = select_proposals(logits, deltas, anchors, torch.tensor([[100, 100]]), post_nms=6, min_size=4)
    assert got.valid.tolist() == [[True] + [False] * 5]
    assert got.boxes[0, 0].tolist() == [60, 60, 90, 90]
    assert (got.boxes[0, 1:] == 0).all()
    assert (got.scores[0, 1:] == -math.inf).all()


def test_proposals_carry_no_gradient_and_stay_float32_under_autocast() -> None:
    anchors = grid_anchors(anchor_shapes(), 4, 4)[None]
    logits = torch.randn(1, anchors.shape[1], requires_grad=True)
    deltas = torch.randn(1, anchors.shape[1], 4, requires_grad=True)
    sizes = torch.tensor([[64, 64]])
    expected = select_proposals(logits.bfloat16(), deltas.bfloat16(), anchors, sizes)
    with torch.autocast("cpu", torch.bfloat16):
        got = select_proposals(logits.bfloat16(), deltas.bfloat16(), anchors, sizes)
    assert got.boxes.dtype == got.scores.dtype == torch.float32
    assert not got.boxes.requires_grad
    assert torch.equal(got.boxes, expected.boxes)


@pytest.mark.shared
@pytest.mark.skipif(not GOLDEN.exists(), reason="shared/golden/detectron2_r50c4.npz is not there")
def test_proposals_and_detections_equal_detectron2s() -> None:
    with np.load(GOLDEN) as archive:
        golden = {name: torch.from_numpy(archive[name]) for name in archive.files if name != "image_bgr"}
    logits, deltas = golden["rpn_logits"], golden["rpn_deltas"]
    height, width = logits.shape[2:]
    anchors = grid_anchors(anchor_shapes((32, 64, 128, 256, 512)), height, width)[None]
    logits = logits.permute(0, 2, 3, 1).reshape(1, -1)
    deltas = deltas.view(1, 15, 4, height, width).permute(0, 3, 4, 1, 2).reshape(1, -1, 4)
    size = torch.tensor([320, 480])
    proposals = select_proposals(logits, deltas, anchors, size[None], 6000, 100)
    torch.testing.assert_close(proposals.scores[0], golden["proposal_logits"])
    torch.testing.assert_close(proposals.boxes[0], golden["proposals"], rtol=0, atol=1e-3)

    regions = golden["proposals"][:, None]
    boxes = clip_boxes(decode(golden["box_deltas"].view(100, 5, 4), regions, (10, 10, 5, 5)), size)
    got_boxes, got_scores, got_labels = multiclass_nms(boxes, golden["cls_logits"].softmax(dim=1)[:, :-1])
    assert torch.equal(got_labels, golden["classes"])
    torch.testing.assert_close(got_scores, golden["scores"])
    torch.testing.assert_close(got_boxes, golden["boxes"], rtol=0, atol=1e-3)
