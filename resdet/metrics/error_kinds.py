"""Errors of a detector by kind and their cost in mAP, by TIDE's definitions (Bolya et al., ECCV 2020).

    errors = find_errors(detections, truth, num_classes=20)
    errors.costs()["localization"]         # mAP@.5 gained if these errors were repaired
    errors.kind                            # [D], of each detection: HIT, IGNORED or a row of KINDS

The kind of a false positive is the first that applies:
  localization: IoU of 0.1 to 0.5 with an object of its class;
  classification: IoU of at least 0.5 with an object of another class;
  duplicate: IoU of at least 0.5 with an object that a detection with a higher score has found;
  background: IoU of at most 0.1 with every object;
  both: all others: badly placed and of a wrong class.
An object that no detection finds is missed, unless a localization or classification error lies on it.

The cost of a kind is the gain in mAP if its errors are repaired and all else stays: the best-scored localization or
classification error on an object becomes a hit, others of the kind are removed, missed objects are no longer counted.
mAP here is TIDE's: precision at 101 recalls as in COCO; a class with detections but without objects counts as 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from resdet.metrics.flat import Array, FlatDetections, FlatTruth, box_areas, pair_greedily, paired_iou

KINDS = ("classification", "localization", "both", "duplicate", "background")
CLASSIFICATION, LOCALIZATION, BOTH, DUPLICATE, BACKGROUND = range(5)
HIT, IGNORED = -1, -2
MISSED = "missed"
RECALLS = np.arange(101) / 100  # k / 100, not linspace: a recall of 29 / 100 has to reach its level


@dataclass(frozen=True)
class ErrorRules:
    """Args:
    hit_iou: a detection with at least this IoU to an object of its class finds it; 0.5 in TIDE.
    background_iou: a detection with at most this IoU to every object is a background error; 0.1 in TIDE.
    max_detections: detections per image that count, those with the highest scores; 100 in TIDE and COCO.
    """

    hit_iou: float = 0.5
    background_iou: float = 0.1
    max_detections: int = 100


@dataclass
class DetectionErrors:
    """The kind of every detection and of every object.

    Attributes:
        image: int64 [D], the detections' images.
        label: int64 [D], their classes.
        score: [D], their scores.
        kind: int64 [D]: HIT; IGNORED (on a difficult object, or beyond `max_detections`); or a row of KINDS.
        repaired: int64 [D], class of the object that a localization or classification error would hit if it were
            repaired, or -1: it would be removed.
        counts_in_ap: bool [D], False for detections that AP leaves out: on difficult objects, beyond the maximum.
        found: bool [G], objects that a detection hits.
        missed: bool [G], objects that are neither found nor repairable.
        truth_image: int64 [G].
        truth_label: int64 [G].
        counted: bool [G], False for difficult objects.
        num_classes: K.
    """

    image: Array
    label: Array
    score: Array
    kind: Array
    repaired: Array
    counts_in_ap: Array
    found: Array
    missed: Array
    truth_image: Array
    truth_label: Array
    counted: Array
    num_classes: int

    def mean_ap(self) -> float:
        """mAP at `hit_iou` by TIDE's rules, in 0..1; 1 without any detection or object."""
        return self._mean_ap(*self._points(), self._totals())

    def counts(self) -> dict[str, int]:
        """Number of errors by kind, MISSED last."""
        numbers = {name: int((self.kind == k).sum()) for k, name in enumerate(KINDS)}
        return numbers | {MISSED: int(self.missed.sum())}

    def costs(self) -> dict[str, float]:
        """mAP gained if the errors of one kind alone were repaired, in 0..1, by kind, MISSED last."""
        before = self.mean_ap()
        gains = {name: self._mean_ap(*self._points(k), self._totals()) - before for k, name in enumerate(KINDS)}
        gains[MISSED] = self._mean_ap(*self._points(), self._totals(self.missed)) - before
        return {name: max(gain, 0.0) for name, gain in gains.items()}

    def cost_of_false_positives(self) -> float:
        """mAP gained if all false positives were scored below all hits, in 0..1."""
        label, _, hit = self._points()
        return self._mean_ap(label, hit.astype(float), hit, self._totals()) - self.mean_ap()

    def cost_of_false_negatives(self) -> float:
        """mAP gained if objects without a hit were not counted, in 0..1."""
        unfound = self.counted & ~self.found
        return self._mean_ap(*self._points(), self._totals(unfound)) - self.mean_ap()

    def costs_of_images(self, num_images: int) -> Array:
        """mAP gained if one image's false positives and unfound objects were gone, in 0..1: float [num_images]."""
        costs = np.zeros(num_images)
        label, score, hit, image = (values[self.counts_in_ap] for values in self._columns())
        totals, classes = self._totals(), np.unique(np.concatenate([label, self.truth_label[self.counted]]))
        unfound = self.counted & ~self.found
        for k in classes:
            own, lost = label == k, unfound & (self.truth_label == k)
            order = np.flatnonzero(own)[np.argsort(-score[own], kind="stable")]
            before = _ap(hit[order], totals[k])
            for i in np.union1d(image[order][~hit[order]], self.truth_image[lost]):
                kept = order[hit[order] | (image[order] != i)]
                costs[i] += _ap(hit[kept], totals[k] - int((self.truth_image[lost] == i).sum())) - before
        return costs / max(1, len(classes))

    def _columns(self) -> tuple[Array, Array, Array, Array]:
        return self.label, self.score, self.kind == HIT, self.image

    def _points(self, repair: int | None = None) -> tuple[Array, Array, Array]:
        """Class, score and whether it is a hit, for all detections that count, after one kind was repaired.

        False positives come first: TIDE sorts them before hits of equal score.
        """
        hit, false = self.kind == HIT, self.counts_in_ap & (self.kind >= 0) & (self.kind != repair)
        mended = (self.kind == repair) & (self.repaired >= 0)
        rows = np.concatenate([np.flatnonzero(part) for part in (false, mended, hit)])
        label = np.where(mended, self.repaired, self.label)[rows]
        return label, self.score[rows], (hit | mended)[rows]

    def _totals(self, without: Array | None = None) -> Array:
        counted = self.counted if without is None else self.counted & ~without
        return np.bincount(self.truth_label[counted], minlength=self.num_classes)

    def _mean_ap(self, label: Array, score: Array, hit: Array, totals: Array) -> float:
        present = (totals > 0) | (np.bincount(label, minlength=self.num_classes) > 0)
        if not present.any():
            return 1.0
        order = np.lexsort((-score, label))
        bounds = np.searchsorted(label[order], np.arange(self.num_classes + 1))
        hit = hit[order]
        return float(np.mean([_ap(hit[bounds[k] : bounds[k + 1]], totals[k]) for k in np.flatnonzero(present)]))


def find_errors(
    detections: FlatDetections, truth: FlatTruth, num_classes: int, rules: ErrorRules | None = None
) -> DetectionErrors:
    """Match detections to objects image by image, and name the kind of every error.

    In an image the detections are taken by descending score. Each hits the object of its class with the highest IoU
    among those not hit yet, if that IoU is at least `hit_iou`. A detection without a hit is ignored if more than
    `hit_iou` of its area lies in a difficult box of its class.

    Args:
        detections: of all images.
        truth: of the same images, matched by index.
        num_classes: K, labels are 0..K-1.
        rules: thresholds; None: TIDE's.

    Raises:
        ValueError: a label outside 0..K-1.
    """
    for labels in (detections.label, truth.label):
        if len(labels) and not 0 <= labels.min() <= labels.max() < num_classes:
            raise ValueError(f"labels must be 0..{num_classes - 1}, found {labels.min()}..{labels.max()}")
    rules, counted = rules or ErrorRules(), ~truth.difficult
    D, G = len(detections), len(truth)
    errors = DetectionErrors(
        detections.image, detections.label, detections.score, np.full(D, IGNORED), np.full(D, -1), np.zeros(D, bool),
        np.zeros(G, bool), counted.copy(), truth.image, truth.label, counted, num_classes,
    )  # fmt: skip
    rows = np.lexsort((-detections.score, detections.image))
    images = np.unique(detections.image)
    starts = np.searchsorted(detections.image[rows], images)
    for image, found in zip(images, np.split(rows, starts)[1:], strict=True):
        objects = np.flatnonzero(truth.image == image)
        _judge_image(errors, detections, truth, found[: rules.max_detections], objects, rules)
    errors.missed &= ~errors.found
    return errors


def _judge_image(
    errors: DetectionErrors, detections: FlatDetections, truth: FlatTruth, found: Array, objects: Array,
    rules: ErrorRules,
) -> None:  # fmt: skip
    """Fill in the rows `found` of the detections, by descending score, and `objects` of the truth, of one image."""
    box, label = detections.box[found].astype(np.float64), detections.label[found]
    difficult, objects = objects[truth.difficult[objects]], objects[~truth.difficult[objects]]
    iou = paired_iou(box[:, None], truth.box[objects].astype(np.float64)[None])  # [D, G]
    same = label[:, None] == truth.label[objects]
    partner = pair_greedily(iou * same, rules.hit_iou)
    hit = partner >= 0
    errors.found[objects[partner[hit]]] = True
    ignored = ~hit & _inside(box, label, truth, difficult, rules.hit_iou)
    errors.counts_in_ap[found] = ~ignored
    errors.kind[found] = np.where(hit, HIT, _kinds(iou, same, errors.found[objects], rules))
    if len(objects):
        _choose_repairs(errors, found, objects, iou, same)


def _kinds(iou: Array, same: Array, found: Array, rules: ErrorRules) -> Array:
    """Row of KINDS for each detection, as if none of them were a hit: [D]."""
    own, other, taken, any_object = (
        part.max(1, initial=0) for part in (iou * same, iou * ~same, iou * same * found, iou)
    )
    badly_placed = (rules.background_iou <= own) & (own <= rules.hit_iou)
    tests = (badly_placed, other >= rules.hit_iou, taken >= rules.hit_iou, any_object <= rules.background_iou)
    return np.select(tests, (LOCALIZATION, CLASSIFICATION, DUPLICATE, BACKGROUND), BOTH)


def _choose_repairs(errors: DetectionErrors, found: Array, objects: Array, iou: Array, same: Array) -> None:
    """The first localization or classification error on each object without a hit would hit it."""
    kind = errors.kind[found]
    target = np.where(kind == LOCALIZATION, (iou * same).argmax(1), (iou * ~same).argmax(1))
    rows = np.flatnonzero(np.isin(kind, (LOCALIZATION, CLASSIFICATION)) & ~errors.found[objects[target]])
    columns, first = np.unique(target[rows], return_index=True)
    errors.repaired[found[rows[first]]] = errors.truth_label[objects[columns]]
    errors.missed[objects[columns]] = False


def _inside(box: Array, label: Array, truth: FlatTruth, difficult: Array, threshold: float) -> Array:
    """Whether more than `threshold` of each box's area lies in one difficult box of its class: bool [D]."""
    regions = truth.box[difficult].astype(np.float64)[None]
    low, high = np.maximum(box[:, None, :2], regions[..., :2]), np.minimum(box[:, None, 2:], regions[..., 2:])
    covered = (high - low).clip(min=0).prod(-1)
    own = np.maximum(box_areas(box), np.finfo(np.float64).tiny)[:, None]
    inside: Array = ((covered / own > threshold) & (label[:, None] == truth.label[difficult])).any(1)
    return inside


def _ap(hit: Array, total: int) -> float:
    """Mean over RECALLS of the highest precision at this recall or a higher one; 0 without objects."""
    if not total or not len(hit):
        return 0.0
    hits = np.cumsum(hit)
    precision = np.maximum.accumulate((hits / np.arange(1, len(hits) + 1))[::-1])[::-1]
    first = np.searchsorted(hits / total, RECALLS)
    return float(np.append(precision, 0.0)[first].mean())
