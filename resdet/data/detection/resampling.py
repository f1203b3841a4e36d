"""Rare classes more often: images repeated by the frequency of their rarest class, as for LVIS.

    data.update(train=dict(type=Repeated, dataset=dict(type=VOCDataset, ...), threshold=0.1))

A class in a smaller fraction of the images than `threshold` is seen sqrt(threshold / fraction) times as often. For
training only. A schedule counts steps, so that a run takes no longer: the other images are seen less.
"""

from __future__ import annotations

import numpy as np

from resdet.data.detection.annotations import AnnotationTable, DetectionDataset
from resdet.data.detection.splitting import subset
from resdet.errors import UserError


class Repeated(DetectionDataset):
    """A data set in which an image of repeat factor r occurs floor(r) times, once more with probability r - floor(r).

    The draw for the fraction is made here, once, from `seed`: every epoch and every process sees the same copies. Each
    copy is an image of its own to the sampler, with its own augmentation. The second copy of "a" has the id "a#2":
    ids stay unique. What else the data set knows is known here too.

    Args:
        dataset: the whole training set, after a split if there is one: copies must not fall into both parts.
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
    """How often each image should be seen, float64 [N], at least 1 (Gupta, Dollar, Girshick, LVIS, 2019, Sect. 4.2).

    f_c is the fraction of images with class c, r_c = max(1, sqrt(threshold / f_c)), and an image has the largest r_c of
    its classes; without objects 1. LVIS takes a threshold of .001.

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
