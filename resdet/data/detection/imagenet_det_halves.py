"""Divide ImageNet DET's val in two halves, val1 and val2, as R-CNN does (Girshick et al. 2014, Sect. 4.1).

val = ImageNetDETDataset("data/imagenet", ["val"])
split = balanced_split(class_counts(val), seed=0)
write_split("data/imagenet/ILSVRC/ImageSets/DET", val, split)                    # val1.txt, val2.txt
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resdet.data.detection.annotations import DetectionDataset
from resdet.data.detection.imagenet_det import ImageNetDETDataset
from resdet.errors import UserError

CANDIDATES = 4  # splits that are searched; the best one is taken
ROUNDS = 4000  # most exchanges per split; the search converges earlier
TRIALS = 64  # random pairs compared for one exchange


@dataclass
class Split:
    """N images in two halves, the first one larger by one where N is odd."""

    first: np.ndarray  # int64, indices of images, ascending
    second: np.ndarray  # int64, indices of images, ascending
    max_imbalance: float  # |a - b| / (a + b) of the class whose objects are divided worst; 0 without objects
    median_imbalance: float  # the same for the median class


def class_counts(dataset: DetectionDataset) -> np.ndarray:
    """Objects of each class in each image, int64 [N, K]."""
    counts = np.zeros((len(dataset), len(dataset.classes)), np.int64)
    np.add.at(counts, (dataset.table.image_of_object(), dataset.table.labels), 1)
    return counts


def balanced_split(counts: np.ndarray, seed: int) -> Split:
    """Divide images in two halves with about equally many objects of each class.

    After R-CNN: several splits are made from images with similar objects and improved by a random local search; the
    split with the smallest maximum imbalance is taken. R-CNN's own split (maximum 11%, median 4%) was not published in
    the paper. 20,000 images of 200 classes take seconds.

    Args:
        counts: objects of each class in each image, int [N, K], from `class_counts`.
        seed: the same seed gives the same split.
    """
    counts = np.asarray(counts, np.int64)
    random = np.random.default_rng(seed)
    total = counts.sum(0)
    shares = counts[:, total > 0] / total[total > 0]  # [N, classes that occur]: each column sums to 1
    splits = [_describe(counts, *_exchange(shares, *_deal(shares, random), random)) for _ in range(CANDIDATES)]
    return min(splits, key=lambda split: (split.max_imbalance, split.median_imbalance))


def write_split(folder: str | Path, dataset: ImageNetDETDataset, split: Split) -> tuple[Path, Path]:
    """Write the halves of val as val1.txt and val2.txt, in the form of val.txt and with its image numbers.

    `ImageNetDETDataset` finds them by the names val1 and val2 in ROOT/ILSVRC/ImageSets/DET, elsewhere by their paths.

    Returns:
        The two files.

    Raises:
        UserError: the data set unites train and val: one list can only name images of one folder.
    """
    if len(dataset.parts) != 1:
        raise UserError(
            f"{folder}: a list names images of one folder, not of {' and '.join(dataset.parts)}; split val alone"
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    first, second = (folder / f"{dataset.parts[0]}{half}.txt" for half in (1, 2))
    for path, indices in ((first, split.first), (second, split.second)):
        pairs = zip(dataset.table.ids[indices], dataset.image_numbers[indices], strict=True)
        path.write_text("".join(f"{image_id} {number}\n" for image_id, number in pairs), encoding="utf-8")
    return first, second


def _deal(shares: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sort images by their rarest class and give the two of each successive pair to different halves, at random."""
    if shares.shape[1]:
        order = np.lexsort((random.random(len(shares)), shares.max(1), shares.argmax(1)))
    else:
        order = random.permutation(len(shares))
    pairs = random.permuted(order[: len(order) // 2 * 2].reshape(-1, 2), axis=1)
    return np.append(pairs[:, 0], order[2 * len(pairs) :]), pairs[:, 1].copy()


def _exchange(
    shares: np.ndarray, first: np.ndarray, second: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Local search: of `TRIALS` random pairs exchange the one that reduces the sum of squared imbalances most."""
    if not len(second):
        return first, second
    imbalance = shares[first].sum(0) - shares[second].sum(0)
    for _ in range(ROUNDS):
        a, b = random.integers(len(first), size=TRIALS), random.integers(len(second), size=TRIALS)
        after = imbalance - 2 * (shares[first[a]] - shares[second[b]])
        squares = np.einsum("tk,tk->t", after, after)
        best = squares.argmin()
        if squares[best] < imbalance @ imbalance:
            imbalance = after[best]
            first[a[best]], second[b[best]] = second[b[best]], first[a[best]]
    return first, second


def _describe(counts: np.ndarray, first: np.ndarray, second: np.ndarray) -> Split:
    a, b = counts[first].sum(0), counts[second].sum(0)
    present = a + b > 0
    imbalance = np.abs(a - b)[present] / (a + b)[present] if present.any() else np.zeros(1)
    return Split(np.sort(first), np.sort(second), float(imbalance.max()), float(np.median(imbalance)))
