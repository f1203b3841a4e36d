"""Localization error of ILSVRC's CLS-LOC task, counted as its development kit does: arrays in, numbers out.

    guesses = Guesses(labels, boxes)                         # at most five an image: a class and a box each
    truth = LocalizationTruth(labels, boxes, image)          # of each image its class, of each box its image
    result = localization_error(guesses, truth, excluded)
    result.localization, result.top5, result.top1            # in percent
    paired_difference(other.wrong[result.counted], result.wrong[result.counted])     # metrics/pairs.py

The rule (eval_localization_flat.m, eval_clsloc.m): a guess is right if its class is the image's and its box has an IoU
of at least .5, exactly .5 included, with any of the image's true boxes; an image is right if any of its guesses is.
An image without a true box is wrong whatever is guessed.

Boxes are continuous, x2 - x1 is the width. The kit measures inclusive pixels, x2 - x1 + 1; readers that add 1 to xmax
and ymax turn one into the other exactly, so no "+ 1" appears here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NO_GUESS = -1  # the label of a guess that was not made
MOST_GUESSES = 5
HIT_IOU = 0.5
SHARES = (1 / 16, 1 / 4, 1 / 2)  # of the image; above the last one the whole image is a right box


@dataclass
class Guesses:
    """At most T <= 5 guesses for each of N images, the surest first; those not made come last."""

    labels: np.ndarray  # int64 [N, T], 0..K-1; NO_GUESS where there is none
    boxes: np.ndarray  # float [N, T, 4], continuous x1, y1, x2, y2; of no meaning where there is no guess

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
    """The class of each of N images, and M boxes of objects of that class."""

    labels: np.ndarray  # int64 [N], 0..K-1
    boxes: np.ndarray  # float [M, 4], continuous x1, y1, x2, y2
    image: np.ndarray  # int64 [M], the image of each box, in any order

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
    """What `localization_error` answers: errors in percent, and each image's answer for paired tests."""

    localization: float  # of the images that count
    localization_top1: float  # the same of the first guess alone
    top5: float  # classification error of all guesses, of all images
    top1: float  # classification error of the first guess, of all images
    wrong: np.ndarray  # bool [N], localization; of excluded images too
    class_wrong: np.ndarray  # bool [N], no guess has the image's class
    counted: np.ndarray  # bool [N], False for images that are excluded from localization


def localization_error(
    guesses: Guesses, truth: LocalizationTruth, excluded: np.ndarray | None = None
) -> LocalizationResult:
    """Error of localization and, of the same guesses, of classification.

    Args:
        guesses, truth: see their classes; images are matched by index.
        excluded: bool [N], images that do not count for localization, but do for classification: ILSVRC's list of
            1,762 ambiguous validation images (data/localization/files.read_excluded).

    Raises:
        ValueError: other numbers of images, or none that counts.
    """
    if len(guesses) != len(truth):
        raise ValueError(f"guesses for {len(guesses)} images, but the truth of {len(truth)}")
    counted = np.ones(len(truth), bool) if excluded is None else ~np.asarray(excluded, bool)
    if counted.shape != (len(truth),):
        raise ValueError(f"excluded is {list(counted.shape)}, not one flag for each of {len(truth)} images")
    if not counted.any():
        raise ValueError("no images: there is no error to compute")
    place_wrong, kind_wrong = ~right_guesses(guesses, truth), ~_same_class(guesses, truth)  # [N, T]
    wrong, class_wrong = np.asarray(place_wrong.all(1)), np.asarray(kind_wrong.all(1))
    return LocalizationResult(
        localization=_percent(wrong[counted]),
        localization_top1=_percent(place_wrong[counted, 0]),
        top5=_percent(class_wrong),
        top1=_percent(kind_wrong[:, 0]),
        wrong=wrong,
        class_wrong=class_wrong,
        counted=counted,
    )


def object_shares(truth: LocalizationTruth, sizes: np.ndarray) -> np.ndarray:
    """How much of each image its largest true box covers, float64 [N] in 0..1; NaN without one.

    sizes: [N, 2], the (height, width) of each image.
    """
    sides = truth.boxes[:, 2:] - truth.boxes[:, :2]
    shares = np.full(len(truth), -np.inf)
    np.maximum.at(shares, truth.image, sides.prod(1) / sizes[truth.image].prod(1))
    return np.where(np.isfinite(shares), shares, np.nan)


def error_by_share(wrong: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Errors in percent of the images whose largest object's share is below each of SHARES and of the others.

    wrong: bool [N]; shares: `object_shares`. float64 [len(SHARES) + 1], NaN where there is no image.
    """
    group = np.searchsorted(SHARES, shares, side="right")  # NaN comes last: no group has it
    group = np.where(np.isnan(shares), len(SHARES) + 1, group)
    images = np.bincount(group, minlength=len(SHARES) + 2)[:-1]
    errors = np.bincount(group, wrong, minlength=len(SHARES) + 2)[:-1]
    return np.divide(100 * errors, images, out=np.full(len(images), np.nan), where=images > 0)


def right_guesses(guesses: Guesses, truth: LocalizationTruth) -> np.ndarray:
    """Whether each guess has its image's class and overlaps one of its boxes enough, bool [N, T]."""
    found = guesses.boxes[truth.image].astype(np.float64)  # [M, T, 4]: a row for each true box
    near = _iou(found, truth.boxes[:, None].astype(np.float64)) >= HIT_IOU
    box, guess = np.nonzero(near)
    overlaps = np.zeros(guesses.labels.shape, bool)
    overlaps[truth.image[box], guess] = True
    return overlaps & _same_class(guesses, truth)


def best_overlaps(guesses: Guesses, truth: LocalizationTruth) -> np.ndarray:
    """The IoU of each guess with the true box that it meets best, float64 [N, T], whatever its class; 0 without one."""
    found = _iou(guesses.boxes[truth.image].astype(np.float64), truth.boxes[:, None].astype(np.float64))  # [M, T]
    best = np.zeros(guesses.labels.shape)
    np.maximum.at(best, truth.image, found)
    return np.where(guesses.labels >= 0, best, 0.0)


def _same_class(guesses: Guesses, truth: LocalizationTruth) -> np.ndarray:
    return (guesses.labels == truth.labels[:, None]) & (guesses.labels >= 0)


def _iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU of boxes with boxes, [..., 4] and [..., 4] -> [...]; 0 where they do not meet or are inverted."""
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = sides.clip(min=0).prod(-1)
    union = _area(a) + _area(b) - shared
    # The quotient, as the kit has it, and not 2 * shared >= union: both are exact for whole pixels.
    return np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0)


def _area(boxes: np.ndarray) -> np.ndarray:
    return (boxes[..., 2:] - boxes[..., :2]).clip(min=0).prod(-1)


def _percent(wrong: np.ndarray) -> float:
    return float(100 * wrong.mean())


def _check_finite(boxes: np.ndarray) -> None:
    if not np.isfinite(boxes).all():
        raise ValueError("a box is not finite: it cannot be compared")
