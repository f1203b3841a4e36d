"""Paired bootstrap: a confidence interval for the difference of two detectors' mAP.

difference = paired_bootstrap([ours], [theirs], truth, num_images=4952, num_classes=20)
difference.mean, difference.low, difference.high        # mAP of ours minus theirs; significant if 0 is outside

In each draw both detectors are scored on the same test images, sampled with replacement (Efron and Tibshirani 1993,
ch. 13, percentile interval): images that are easy or hard for both do not widen the interval. With several trainings
(seeds) of each detector, their mean AP is averaged in every draw. The interval covers the choice of test images only,
unless the trainings are sampled too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from resdet.metrics.flat import Array, FlatDetections, FlatTruth
from resdet.metrics.precision_recall import Method
from resdet.metrics.voc_ap import evaluate_voc, mean_ap_range


@dataclass
class Difference:
    """The first detector's mean AP minus the second's, each in 0..1."""

    mean: float  # on the test set itself
    low: float  # lower end of the interval
    high: float  # upper end


@dataclass(frozen=True)
class BootstrapSettings:
    """How the test set is resampled.

    Args:
        resamples: number of draws.
        level: confidence level of the interval, in 0..1.
        seed: of the draws; equal seeds draw the same images.
        over_trainings: sample the trainings too, with replacement, `ours[i]` together with `theirs[i]` (of the same
            seed). The interval then covers other images and other seeds.
    """

    resamples: int = 1000
    level: float = 0.95
    seed: int = 0
    over_trainings: bool = False


def paired_bootstrap(
    ours: Sequence[FlatDetections],
    theirs: Sequence[FlatDetections],
    truth: FlatTruth,
    num_images: int,
    num_classes: int,
    method: Method = "area",
    over_thresholds: bool = False,
    settings: BootstrapSettings | None = None,
) -> Difference:
    """A confidence interval for the difference of mean AP by VOC's rules.

    Args:
        ours: detections in the test set, one entry per training of the first detector.
        theirs: detections of the second detector, one entry per training.
        truth: ground truth of the test set.
        num_images: images are 0..num_images-1.
        num_classes: K, labels are 0..K-1.
        method: of AP, as in `evaluate_voc`.
        over_thresholds: mean AP over the IoUs 0.5:0.05:0.95 instead of at 0.5; about ten times slower.
        settings: None for the defaults.

    Raises:
        ValueError: a detector without any training; with `over_trainings`, different numbers of trainings.
    """
    s = settings or BootstrapSettings()
    if not ours or not theirs:
        raise ValueError("both detectors need the detections of at least one training")
    if s.over_trainings and len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} trainings are not paired with {len(theirs)}")

    def difference(images: Array, trainings: Sequence[int] | None = None) -> float:
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

    draws = [difference(images, trainings) for images, trainings in _draw(s, num_images, len(ours))]
    low, high = np.nanquantile(draws, [(1 - s.level) / 2, (1 + s.level) / 2])
    return Difference(difference(np.arange(num_images)), float(low), float(high))


def _draw(settings: BootstrapSettings, images: int, trainings: int) -> Iterator[tuple[Array, list[int] | None]]:
    """Images int64 [images] and trainings of each draw; None: every training once."""
    random = np.random.default_rng(settings.seed)
    for _ in range(settings.resamples):
        chosen = random.integers(images, size=images)
        yield chosen, random.integers(trainings, size=trainings).tolist() if settings.over_trainings else None


def _take(detections: FlatDetections, images: Array) -> FlatDetections:
    rows, image = _rows(detections.image, images)
    return FlatDetections(image, detections.label[rows], detections.score[rows], detections.box[rows])


def _take_truth(truth: FlatTruth, images: Array) -> FlatTruth:
    rows, image = _rows(truth.image, images)
    return FlatTruth(image, truth.label[rows], truth.box[rows], truth.difficult[rows])


def _rows(image: Array, drawn: Array) -> tuple[Array, Array]:
    """The rows [T] of the drawn images, one image after the other, and the index [T] of the draw each belongs to."""
    order = np.argsort(image, kind="stable")
    first = np.searchsorted(image[order], drawn, "left")
    count = np.searchsorted(image[order], drawn, "right") - first
    start = np.cumsum(count) - count
    position = np.arange(count.sum()) + np.repeat(first - start, count)
    return order[position], np.repeat(np.arange(len(drawn)), count)
