"""Localization error of ILSVRC's CLS-LOC task by the rules of its development kit.

    guesses = Guesses(labels, boxes)                         # at most five per image, each a class and a box
    truth = LocalizationTruth(labels, boxes, image)          # the class of each image, the boxes of its objects
    result = localization_error(guesses, truth, excluded)
    result.localization, result.top5, result.top1            # in percent
    paired_difference(other.wrong[result.counted], result.wrong[result.counted])     # metrics/pairs.py

The rules, from eval_localization_flat.m and eval_clsloc.m: a guess is correct if its class is the image's and its box
has an IoU of at least 0.5 with any ground-truth box of the image. An image is correct if any of its guesses is. Images
without a ground-truth box are always wrong.

Boxes are continuous, x2 - x1 is the width. The kit measures inclusive pixels, x2 - x1 + 1; the readers convert them
exactly by adding 1 to xmax and ymax, so that no "+ 1" appears here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from resdet.metrics.flat import Array, paired_iou

NO_GUESS = -1  # the label of an empty slot
MOST_GUESSES = 5
HIT_IOU = 0.5
# Bounds of the groups in `error_by_share`: the part of the image's area that its largest object covers. Above the last
# one, a box around the whole image is correct.
SHARES = (1 / 16, 1 / 4, 1 / 2)


@dataclass
class Guesses:
    """At most T <= 5 guesses for each of N images, the most confident first, empty slots last.

    Raises:
        ValueError: arrays of other shapes, an empty slot before a guess, or a box that is not finite.
    """

    labels: Array  # int64 [N, T], 0..K-1; NO_GUESS in empty slots
    boxes: Array  # float [N, T, 4], continuous x1, y1, x2, y2; ignored in empty slots

    def __post_init__(self) -> None:
        self.labels, self.boxes = np.asarray(self.labels, np.int64), np.asarray(self.boxes)
        if self.labels.ndim != 2 or not 1 <= self.labels.shape[1] <= MOST_GUESSES:
            raise ValueError(f"labels of guesses are [N, 1..{MOST_GUESSES}], not {list(self.labels.shape)}")
        if self.boxes.shape != (*self.labels.shape, 4):
            raise ValueError(
                f"labels {list(self.labels.shape)} need boxes of the same shape and 4, not {list(self.boxes.shape)}"
            )
        made = self.labels >= 0
        if (made[:, 1:] & ~made[:, :-1]).any():
            raise ValueError("a guess follows one that was not made: the surest come first, without gaps")
        _check_finite(self.boxes[made])

    def __len__(self) -> int:
        return len(self.labels)


@dataclass
class LocalizationTruth:
    """The class of each of N images, and the M boxes of all objects of these classes.

    Raises:
        ValueError: numbers of boxes and images that differ, an image out of range, or a box that is not finite.
    """

    labels: Array  # int64 [N], 0..K-1
    boxes: Array  # float [M, 4], continuous x1, y1, x2, y2
    image: Array  # int64 [M], index of the image that each box belongs to, in any order

    def __post_init__(self) -> None:
        self.labels = np.asarray(self.labels, np.int64).reshape(-1)
        self.boxes = np.asarray(self.boxes).reshape(-1, 4)
        self.image = np.asarray(self.image, np.int64).reshape(-1)
        if len(self.boxes) != len(self.image):
            raise ValueError(f"{len(self.boxes)} boxes but the images of {len(self.image)}")
        if len(self.image) and not 0 <= self.image.min() <= self.image.max() < len(self.labels):
            raise ValueError(f"a box is of an image outside 0..{len(self.labels) - 1}")
        _check_finite(self.boxes)

    def __len__(self) -> int:
        return len(self.labels)


@dataclass
class LocalizationResult:
    """Errors in percent, and which images are wrong, for paired comparisons."""

    localization: float  # over the counted images
    localization_top1: float  # the same with the first guess only
    top5: float  # classification error of all guesses, over all images
    top1: float  # classification error of the first guess, over all images
    wrong: Array  # bool [N], localization is wrong; excluded images too have a value
    class_wrong: Array  # bool [N], no guess has the image's class
    counted: Array  # bool [N], False for images excluded from localization


def localization_error(guesses: Guesses, truth: LocalizationTruth, excluded: Array | None = None) -> LocalizationResult:
    """Localization error, and the classification error of the same guesses.

    Args:
        guesses: of N images.
        truth: of the same images, matched by index.
        excluded: bool [N], images that do not count for localization but do for classification: ILSVRC's list of
            1,762 ambiguous validation images (data/localization/files.read_excluded).

    Raises:
        ValueError: different numbers of images, or all are excluded.
    """
    if len(guesses) != len(truth):
        raise ValueError(f"guesses for {len(guesses)} images, but the truth of {len(truth)}")
    counted = np.ones(len(truth), bool) if excluded is None else ~np.asarray(excluded, bool)
    if counted.shape != (len(truth),):
        raise ValueError(f"excluded is {list(counted.shape)}, not one flag for each of {len(truth)} images")
    if not counted.any():
        raise ValueError("no images: there is no error to compute")
    guess_wrong, label_wrong = ~correct_guesses(guesses, truth), ~_same_class(guesses, truth)  # [N, T]
    wrong, class_wrong = np.asarray(guess_wrong.all(1)), np.asarray(label_wrong.all(1))
    return LocalizationResult(
        localization=_percent(wrong[counted]),
        localization_top1=_percent(guess_wrong[counted, 0]),
        top5=_percent(class_wrong),
        top1=_percent(label_wrong[:, 0]),
        wrong=wrong,
        class_wrong=class_wrong,
        counted=counted,
    )


def object_shares(truth: LocalizationTruth, sizes: Array) -> Array:
    """Fraction of each image's area that its largest ground-truth box covers.

    Args:
        truth: of N images.
        sizes: [N, 2], (height, width) of the images in pixels.

    Returns:
        float64 [N] in 0..1; NaN for images without a box.
    """
    sides = truth.boxes[:, 2:] - truth.boxes[:, :2]
    shares = np.full(len(truth), -np.inf)
    np.maximum.at(shares, truth.image, sides.prod(1) / sizes[truth.image].prod(1))
    return np.where(np.isfinite(shares), shares, np.nan)


def error_by_share(wrong: Array, shares: Array) -> Array:
    """Error of the images grouped by the size of their largest object.

    Args:
        wrong: bool [N].
        shares: float [N], from `object_shares`; images with NaN are in no group.

    Returns:
        Percent, float64 [len(SHARES) + 1]: shares below SHARES[0], between SHARES[0] and SHARES[1], ... from SHARES[-1]
        on; NaN for a group without images.
    """
    group = np.searchsorted(SHARES, shares, side="right")  # NaN gets an extra group, dropped below
    group = np.where(np.isnan(shares), len(SHARES) + 1, group)
    images = np.bincount(group, minlength=len(SHARES) + 2)[:-1]
    errors = np.bincount(group, wrong, minlength=len(SHARES) + 2)[:-1]
    percent: Array = np.divide(100 * errors, images, out=np.full(len(images), np.nan), where=images > 0)
    return percent


def correct_guesses(guesses: Guesses, truth: LocalizationTruth) -> Array:
    """Whether each guess is correct, bool [N, T]: the image's class, and an IoU >= HIT_IOU with one of its boxes."""
    found = guesses.boxes[truth.image].astype(np.float64)  # [M, T, 4]: a row per ground-truth box
    hits = paired_iou(found, truth.boxes[:, None].astype(np.float64)) >= HIT_IOU
    box, guess = np.nonzero(hits)
    overlaps = np.zeros(guesses.labels.shape, bool)
    overlaps[truth.image[box], guess] = True
    right: Array = overlaps & _same_class(guesses, truth)
    return right


def best_overlaps(guesses: Guesses, truth: LocalizationTruth) -> Array:
    """The highest IoU of each guess with a ground-truth box of its image, whatever its class: float64 [N, T].

    0 for images without a box and for empty slots.
    """
    found = paired_iou(guesses.boxes[truth.image].astype(np.float64), truth.boxes[:, None].astype(np.float64))  # [M, T]
    best = np.zeros(guesses.labels.shape)
    np.maximum.at(best, truth.image, found)
    return np.where(guesses.labels >= 0, best, 0.0)


def _same_class(guesses: Guesses, truth: LocalizationTruth) -> Array:
    """Whether each guess has the class of its image, bool [N, T]."""
    same: Array = (guesses.labels == truth.labels[:, None]) & (guesses.labels >= 0)
    return same


def _percent(wrong: Array) -> float:
    return float(100 * wrong.mean())


def _check_finite(boxes: Array) -> None:
    if not np.isfinite(boxes).all():
        raise ValueError("a box is not finite: it cannot be compared")
