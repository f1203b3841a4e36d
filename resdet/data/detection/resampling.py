"""Repeat factor sampling (LVIS): images with rare classes are used more often in training.

    data.update(train=dict(type=Repeated, dataset=dict(type=VOCDataset, ...), threshold=0.1))

A class that occurs in a smaller fraction of the images than `threshold` is seen sqrt(threshold / fraction) times as
often. For training only. Schedules count steps, so a run does not get longer: other images are seen less often.
"""

from __future__ import annotations

import numpy as np

from resdet.data.detection.annotations import AnnotationTable, DetectionDataset
from resdet.data.detection.splitting import subset
from resdet.errors import UserError


class Repeated(DetectionDataset):
    """A data set in which an image of repeat factor r occurs floor(r) times, once more with probability r - floor(r).

    That draw is made once, from `seed`: every epoch and every process sees the same copies. To the sampler copies are
    different images, with different augmentation. The second copy of "a" has the id "a#2", so that ids stay unique.
    Other attributes of the data set are attributes of the result.

    Args:
        dataset: the training set; split it before, so that no image has copies in both parts.
        threshold: see `repeat_factors`.
        seed: of the draw.

    Raises:
        UserError: `threshold` is not in 0..1.
    """

    def __init__(self, dataset: DetectionDataset, threshold: float, seed: int = 0) -> None:
        factors = repeat_factors(dataset.table, threshold)
        whole = np.floor(factors)
        times = (whole + (np.random.default_rng(seed).random(len(factors)) < factors - whole)).astype(np.int64)
        vars(self).update(vars(subset(dataset, np.repeat(np.arange(len(times)), times))))
        copies = np.concatenate([np.zeros(0, np.int64), *(np.arange(1, count + 1) for count in times)])
        ids = zip(self.table.ids.tolist(), copies.tolist(), strict=True)
        self.table.ids = np.array([i if number == 1 else f"{i}#{number}" for i, number in ids], dtype=np.str_)


def repeat_factors(table: AnnotationTable, threshold: float) -> np.ndarray:
    """Repeat factor of each image (Gupta, Dollar, Girshick, LVIS, 2019, Sect. 4.2).

    With f_c the fraction of images that have class c, r_c = max(1, sqrt(threshold / f_c)); an image's factor is the
    largest r_c of its classes, and 1 without objects.

    Args:
        table: annotations of N images.
        threshold: fraction of the images below which a class is repeated, 0..1; LVIS uses 0.001.

    Returns:
        float64 [N], at least 1.

    Raises:
        UserError: `threshold` is not in 0..1.
    """
    if not 0 <= threshold <= 1:
        raise UserError(f"the threshold of rare classes is a fraction of the images, 0..1, not {threshold}")
    image, label = np.unique(np.stack([table.image_of_object(), table.labels]), axis=1)
    frequency = np.bincount(label)[label] / len(table)  # of the class of each pair
    factors = np.ones(len(table))
    np.maximum.at(factors, image, np.sqrt(threshold / frequency))
    return factors
