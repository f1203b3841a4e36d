"""Is one detector better than another, or were the test images kind to it? A paired bootstrap over the images.

difference = paired_bootstrap([ours], [theirs], truth, num_images=4952, num_classes=20)
difference.mean, difference.low, difference.high        # of mAP, ours minus theirs; it is real if 0 lies outside

Both detectors are scored on the same random draws of the test images, with replacement (Efron and Tibshirani 1993,
ch. 13, percentile interval): an image that is easy for both moves neither's lead. Several trainings of each, one a
seed, are averaged in every draw; the interval is about the images, unless the trainings are drawn as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from resdet.metrics.voc_ap import FlatDetections, FlatTruth, Method, evaluate_voc, mean_ap_range


@dataclass
class Difference:
    """Of mean AP in 0..1, the first detector's minus the second's."""

    mean: float  # on the images as they are
    low: float
    high: float


def paired_bootstrap(
    ours: Sequence[FlatDetections],
    theirs: Sequence[FlatDetections],
    truth: FlatTruth,
    num_images: int,
    num_classes: int,
    method: Method = "area",
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    over_thresholds: bool = False,
    over_trainings: bool = False,
) -> Difference:
    """An interval for the difference of mean AP at IoU .5, or over .5:.05:.95.

    Args:
        ours, theirs: detections of one test set by each training of either detector.
        truth, num_images, num_classes, method: as for `evaluate_voc`; images are 0..num_images-1.
        resamples: draws of the images.
        level: of the interval.
        seed: the same one draws the same images.
        over_trainings: draw the trainings too, with replacement, `ours[i]` and `theirs[i]` (of one seed) together; the
            interval is then about other images and other seeds.
        over_thresholds: of the mean over COCO's ten IoUs (by VOC's rules) instead, some ten times slower.

    Raises:
        ValueError: a detector without any training; with `over_trainings`, one has more than the other.
    """
    if not ours or not theirs:
        raise ValueError("both detectors need the detections of at least one training")
    if over_trainings and len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} trainings are not paired with {len(theirs)}")

    def difference(images: np.ndarray, trainings: Sequence[int] | None = None) -> float:
        drawn = _take_truth(truth, images)
        means = []
        for detectors in (ours, theirs):
            chosen = detectors if trainings is None else [detectors[i] for i in trainings]
            means.append(np.mean([mean_ap(_take(d, images), drawn) for d in chosen]))
        return float(means[0] - means[1])

    def mean_ap(found: FlatDetections, drawn: FlatTruth) -> float:
        if over_thresholds:
            return mean_ap_range(found, drawn, num_classes, method=method)
        return evaluate_voc(found, drawn, num_classes, method=method).mean_ap

    random = np.random.default_rng(seed)
    draws = []
    for _ in range(resamples):
        images = random.integers(num_images, size=num_images)
        trainings = random.integers(len(ours), size=len(ours)).tolist() if over_trainings else None
        draws.append(difference(images, trainings))
    low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Difference(difference(np.arange(num_images)), float(low), float(high))


def _take(detections: FlatDetections, images: np.ndarray) -> FlatDetections:
    rows, image = _rows(detections.image, images)
    return FlatDetections(image, detections.label[rows], detections.score[rows], detections.box[rows])


def _take_truth(truth: FlatTruth, images: np.ndarray) -> FlatTruth:
    rows, image = _rows(truth.image, images)
    return FlatTruth(image, truth.label[rows], truth.box[rows], truth.difficult[rows])


def _rows(image: np.ndarray, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the drawn images, one after the other, and the new image [rows] that each belongs to."""
    order = np.argsort(image, kind="stable")
    first = np.searchsorted(image[order], drawn, "left")
    count = np.searchsorted(image[order], drawn, "right") - first
    start = np.cumsum(count) - count
    position = np.arange(count.sum()) + np.repeat(first - start, count)
    return order[position], np.repeat(np.arange(len(drawn)), count)
