"""Dividing ImageNet DET's val in two balanced halves, as R-CNN does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.commands import split_det
from helpers.imagenet_det import VAL
from resdet.data.detection.imagenet_det import ImageNetDETDataset
from resdet.data.detection.imagenet_det_halves import Split, balanced_split, write_split
from resdet.errors import UserError


def _zipf_counts(images: int, classes: int) -> np.ndarray:
    """Object counts with one to three classes per image and class frequencies as unequal as DET's."""
    random = np.random.default_rng(0)
    counts = np.zeros((images, classes), np.int64)
    chance = 1 / np.arange(1, classes + 1)
    for row in counts:
        chosen = random.choice(classes, random.integers(0, 4), replace=False, p=chance / chance.sum())
        row[chosen] = random.geometric(0.4, len(chosen))
    return counts


def test_halves_are_balanced_disjoint_and_complete() -> None:
    counts = _zipf_counts(2001, 50)
    split = balanced_split(counts, seed=0)
    assert len(split.first) == 1001
    assert sorted([*split.first, *split.second]) == list(range(2001))
    a, b = counts[split.first].sum(0), counts[split.second].sum(0)
    imbalance = abs(a - b) / (a + b)
    assert counts.sum(0).min() > 25  # some as few as in val, whose rarest class has 31 objects
    assert (split.max_imbalance, split.median_imbalance) == (imbalance.max(), np.median(imbalance))
    assert split.max_imbalance < 0.05  # R-CNN's has some .11 at most and .04 in the median
    assert split.median_imbalance < 0.02


def test_equal_seeds_give_equal_halves() -> None:
    counts = _zipf_counts(100, 10)
    one, same, other = (balanced_split(counts, seed) for seed in (1, 1, 2))
    assert one.first.tolist() == same.first.tolist()
    assert one.first.tolist() != other.first.tolist()


@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (5, 0), (2, 1)])
def test_tiny_datasets_can_be_split(shape: tuple[int, int]) -> None:
    split = balanced_split(np.ones(shape, int), seed=0)
    assert len(split.first) - len(split.second) == shape[0] % 2
    assert sorted([*split.first, *split.second]) == list(range(shape[0]))


def test_written_halves_are_read_by_name_and_by_path(det_folder: Path) -> None:
    val = ImageNetDETDataset(det_folder, ["val"])
    split = Split(np.array([0, 3]), np.array([1, 2]), 0.0, 0.0)
    write_split(det_folder / "ILSVRC/ImageSets/DET", val, split)
    train = ImageNetDETDataset(det_folder, ["train", "val1"])
    assert train.table.ids.tolist()[2:] == [f"{VAL}1", f"{VAL}4"]
    _, second = write_split(det_folder / "halves", val, split)
    assert second.read_text() == f"{VAL}2 2\n{VAL}3 3\n"
    assert ImageNetDETDataset(det_folder, [str(second)]).image_numbers.tolist() == [2, 3]
    with pytest.raises(UserError, match="split val alone"):
        write_split(det_folder / "halves", train, split)


def test_split_det_writes_both_halves_and_prints_their_paths(
    det_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split_det([str(det_folder), "--seed", "1"])
    printed = capsys.readouterr().out
    assert "val1.txt: 2 images" in printed
    assert "imbalance of the classes:" in printed
    halves = [ImageNetDETDataset(det_folder, [name]).table.ids.tolist() for name in ("val1", "val2")]
    assert sorted(halves[0] + halves[1]) == sorted(ImageNetDETDataset(det_folder, ["val"]).table.ids.tolist())
