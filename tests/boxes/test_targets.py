from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from resdet.boxes.geometry import pairwise_iou, row_parts
from resdet.boxes.targets import SampledBoxes, ignore_crowds, match, match_boxes, repeat_positives, sample
from resdet.draws import random_keys


def labels_of(ious: list[list[float]], low_quality: bool = False, valid: list[bool] | None = None) -> list[int]:
    mask = torch.tensor([valid if valid is not None else [True] * len(ious)])
    return match(torch.tensor([ious]), mask, 0.7, 0.3, low_quality).labels[0].tolist()


def test_thresholds_include_high_and_exclude_low() -> None:
    assert labels_of([[0.7, 0.69, 0.3, 0.29]]) == [1, -1, -1, 0]


def test_the_best_anchor_of_an_object_is_positive_only_with_low_quality_matches() -> None:
    ious = [[0.1, 0.2, 0.2, 0.0], [0.9, 0.5, 0.0, 0.0]]
    assert labels_of(ious) == [1, -1, 0, 0]
    # Both anchors that tie for the first object's best.
    assert labels_of(ious, low_quality=True) == [1, 1, 1, 0]


def test_a_low_quality_match_is_to_the_anchors_own_best_object() -> None:
    ious = torch.tensor([[[0.0, 0.4], [0.8, 0.5]]])
    matches = match(ious, torch.ones(1, 2, dtype=torch.bool), 0.7, 0.3, True)
    assert matches.labels.tolist() == [[1, 1]]
    assert matches.gt_index.tolist() == [[1, 1]]  # object 0's best anchor is 1, whose own best is object 1


def test_an_object_that_no_anchor_overlaps_gives_no_positive() -> None:
    assert labels_of([[0.0, 0.0, 0.0]], low_quality=True) == [0, 0, 0]


def test_padding_slots_match_nothing() -> None:
    ious = [[0.9, 0.1], [0.2, 0.95]]
    assert labels_of(ious, True, [True, False]) == [1, 0]
    assert labels_of(ious, True, [False, False]) == [0, 0]
    matches = match(torch.tensor([ious]), torch.tensor([[True, False]]), 0.7, 0.3, False)
    assert matches.gt_index.tolist() == [[0, 0]]


def test_an_image_without_box_slots_is_all_negative() -> None:
    matches = match(torch.zeros(2, 0, 5), torch.zeros(2, 0, dtype=torch.bool), 0.7, 0.3, True)
    assert matches.labels.tolist() == [[0] * 5] * 2
    assert matches.labels.dtype == torch.int8
    assert matches.gt_index.shape == (2, 5)


def test_equal_thresholds_ignore_no_anchor() -> None:
    mask = torch.ones(1, 1, dtype=torch.bool)
    assert match(torch.tensor([[[0.5, 0.49]]]), mask, 0.5, 0.5, False).labels.tolist() == [[1, 0]]


def random_boxes(n: int, count: int, generator: torch.Generator) -> torch.Tensor:
    """Boxes with whole-numbered corners in a small image, so that many IoUs tie."""
    corners = torch.randint(0, 40, (n, count, 2), generator=generator).float()
    return torch.cat([corners, corners + torch.randint(0, 30, (n, count, 2), generator=generator)], 2)


def match_at_once(
    boxes: torch.Tensor, anchors: torch.Tensor, valid: torch.Tensor, usable: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Faster R-CNN's rule on the whole matrix [N, G, A]."""
    ious = pairwise_iou(boxes, anchors)
    ious = torch.where(valid[:, :, None] & usable[:, None], ious, -1.0)
    best, index = ious.max(1)
    labels = (best >= 0.7).int() - ((best >= 0.3) & (best < 0.7)).int()
    of_object = ((ious == ious.amax(2, keepdim=True)) & (ious > 0)).any(1)
    return torch.where(of_object, 1, labels), index, best


def test_matching_in_parts_has_the_bits_of_matching_at_once() -> None:
    generator = torch.Generator().manual_seed(0)
    boxes, anchors = random_boxes(2, 60, generator), random_boxes(2, 20_000, generator)
    boxes[:, 40:] = boxes[:, :20]  # ties between objects of different parts
    valid = torch.rand(2, 60, generator=generator) > 0.3
    usable = torch.rand(2, 20_000, generator=generator) > 0.3
    assert len(list(row_parts(60, 2 * 20_000, boxes.device))) > 2
    labels, index, best = match_at_once(boxes, anchors, valid, usable)
    found = match_boxes(boxes, anchors, valid, 0.7, 0.3, True, usable)
    assert torch.equal(found.labels[usable].int(), labels[usable])
    assert torch.equal(found.gt_index, index)
    assert torch.equal(found.iou, best)


def test_the_memory_of_matching_does_not_grow_with_the_objects() -> None:
    """2,000 boxes and 9,000 anchors: the matrix of their IoUs alone would take 72 MB."""
    script = """
import resource, torch
from resdet.boxes.targets import ignore_crowds, match_boxes
torch.set_num_threads(1)
anchors, boxes = torch.rand(1, 9_000, 4) * 500, torch.rand(1, 2_000, 4) * 500
anchors[..., 2:] += anchors[..., :2]
boxes[..., 2:] = boxes[..., :2] + 12
flags = torch.ones(1, 2_000, dtype=torch.bool)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
match_boxes(boxes[:, :8], anchors, flags[:, :8], 0.7, 0.3, True)
before = peak()
labels = match_boxes(boxes, anchors, flags, 0.7, 0.3, True).labels
ignore_crowds(labels, anchors, boxes, flags)
print(peak() - before)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 50  # MB


def test_crowds_ignore_only_negatives() -> None:
    anchors = torch.tensor([[[0.0, 0, 10, 10], [0, 0, 10, 10], [50, 50, 60, 60]]])
    crowds = torch.tensor([[[0.0, 0, 100, 8], [0, 0, 100, 100]]])
    labels = torch.tensor([[0, 1, 0]], dtype=torch.int8)
    ignored = ignore_crowds(labels, anchors, crowds, torch.tensor([[True, False]]))
    assert ignored.tolist() == [[-1, 1, 0]]
    assert ignored.dtype == torch.int8


def test_crowd_boxes_may_be_empty() -> None:
    labels = torch.tensor([[0, 1]], dtype=torch.int8)
    assert torch.equal(
        ignore_crowds(labels, torch.zeros(1, 2, 4), torch.zeros(1, 0, 4), torch.zeros(1, 0, dtype=torch.bool)), labels
    )


def random_labels(n: int = 4, anchors: int = 2000) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(-1, 2, (n, anchors), generator=generator).to(torch.int8)


def check(labels: torch.Tensor, chosen: SampledBoxes) -> None:
    """Check that no anchor is sampled twice or although ignored, and that `positive` is right."""
    for n in range(len(labels)):
        index = chosen.index[n][chosen.valid[n]]
        assert len(index.unique()) == len(index)
        assert torch.equal(labels[n, index] == 1, chosen.positive[n][chosen.valid[n]])
        assert (labels[n, index] >= 0).all()
    assert not (chosen.positive & ~chosen.valid).any()


def test_sample_fills_half_with_positives_when_there_are_enough() -> None:
    labels = random_labels()
    chosen = sample(labels, random_keys(torch.arange(4), 2000, 0), 256, 0.5)
    check(labels, chosen)
    assert chosen.positive.sum(dim=1).tolist() == [128] * 4
    assert chosen.valid.all()


def test_negatives_fill_the_slots_that_positives_leave() -> None:
    labels = torch.zeros(1, 500, dtype=torch.int8)
    labels[0, [3, 99, 400]] = 1
    chosen = sample(labels, random_keys(torch.tensor([1]), 500, 0), 256, 0.5)
    check(labels, chosen)
    assert chosen.positive.sum() == 3
    assert chosen.valid.sum() == 256


def test_few_negatives_leave_padding() -> None:
    labels = torch.ones(1, 500, dtype=torch.int8)
    labels[0, :10] = 0
    labels[0, 10:20] = -1
    chosen = sample(labels, random_keys(torch.tensor([1]), 500, 0), 256, 0.25)
    check(labels, chosen)
    assert chosen.positive.sum() == 64
    assert chosen.valid.sum() == 74
    assert chosen.index.shape == (1, 256)


@pytest.mark.parametrize(("positives", "times"), [(1, [10]), (3, [4, 3, 3]), (10, [1] * 10), (40, [1] * 10), (0, [])])
def test_repeated_positives_fill_their_share_in_turn(positives: int, times: list[int]) -> None:
    labels = torch.zeros(1, 200, dtype=torch.int8)
    labels[0, :positives] = 1
    chosen = sample(labels, random_keys(torch.tensor([1]), 200, 0), 20, 0.5)
    again = repeat_positives(chosen, 10)
    taken = again.index[again.positive]
    assert again.positive[0].tolist() == [slot < 10 and positives > 0 for slot in range(20)]
    assert sorted(taken.bincount()[taken.unique()].tolist(), reverse=True) == times
    assert taken.unique().tolist() == chosen.index[chosen.positive].sort().values.tolist()
    assert again.valid.all()
    assert torch.equal(again.index[0, 10:], chosen.index[0, 10:])  # negatives, each once


def test_repeated_positives_take_the_place_of_padding_and_never_more_than_there_are_slots() -> None:
    labels = torch.tensor([[1, -1, -1, -1], [0, 1, 1, 1]], dtype=torch.int8)
    again = repeat_positives(sample(labels, random_keys(torch.arange(2), 4, 0), 64, 0.5), 32)
    assert again.index.shape == (2, 4)
    assert again.index[0].tolist() == [0, 0, 0, 0]
    assert again.positive[0].all()
    assert again.valid[0].all()


def test_all_candidates_can_be_sampled() -> None:
    labels = random_labels(anchors=300)
    chosen = sample(labels, random_keys(torch.arange(4), 300, 0), 1_000_000, 1.0)
    check(labels, chosen)
    assert chosen.index.shape == (4, 300)
    assert torch.equal(chosen.valid.sum(dim=1), (labels >= 0).sum(dim=1))


@pytest.mark.parametrize("value", [-1, 0, 1])
def test_images_of_one_label_only(value: int) -> None:
    labels = torch.full((2, 50), value, dtype=torch.int8)
    chosen = sample(labels, random_keys(torch.arange(2), 50, 0), 20, 0.5)
    check(labels, chosen)
    assert chosen.valid.sum(dim=1).tolist() == [{-1: 0, 0: 20, 1: 10}[value]] * 2


def test_no_positive_allowed_and_no_anchor_at_all() -> None:
    labels = random_labels()
    assert not sample(labels, random_keys(torch.arange(4), 2000, 0), 16, 0.0).positive.any()
    none = torch.zeros(2, 0, dtype=torch.int8)
    assert sample(none, random_keys(torch.arange(2), 0, 0), 16, 0.5).index.shape == (2, 0)


def test_every_positive_is_chosen_equally_often() -> None:
    labels = torch.ones(4000, 8, dtype=torch.int8)
    chosen = sample(labels, random_keys(torch.arange(4000), 8, 0), 4, 0.5)
    counts = chosen.index[chosen.valid].bincount(minlength=8)
    assert counts.sum() == 8000
    assert (counts - 1000).abs().max() < 4.5 * 1000**0.5


def test_samples_do_not_depend_on_the_rest_of_the_batch() -> None:
    labels, seeds = random_labels(), torch.arange(4) + 10
    together = sample(labels, random_keys(seeds, 2000, 0), 64, 0.25)
    alone = sample(labels[2:3], random_keys(seeds[2:3], 2000, 0), 64, 0.25)
    assert torch.equal(together.index[2], alone.index[0])
