"""A part of a data set: chosen images, or one side of a split that shares out rare classes evenly.

    first, second = stratified_split(dataset.table, fraction=0.8, seed=0)       # indices of images
    few = subset(dataset, first[:10])

In a config, both parts of one set, by the same arguments:

    photos = dict(type=YOLODataset, root="data/photos", image_sets=".")
    data.update(
        train=dict(type=SplitPart, dataset=photos, part="train"),
        test=dict(type=SplitPart, dataset=photos, part="test"),
    )
"""

from __future__ import annotations

import copy
from typing import Literal, TypeVar

import numpy as np

from resdet.data.detection.annotations import AnnotationTable, DetectionDataset
from resdet.errors import UserError

D = TypeVar("D", bound=DetectionDataset)


class SplitPart(DetectionDataset):
    """One part of a data set. The parts "train" and "test" of the same arguments have no image in common and no image
    is in neither.

    Args:
        dataset: the whole set; for both parts with the same images and classes.
        part: "train", the first part, or "test", the rest.
        fraction: of the images in "train".
        seed: of the split, not the run's.

    What else the data set knows (a COCODataset's category_ids, image_numbers, files) is known here too.

    Raises:
        UserError: an unknown part, a fraction outside of 0..1, a part without images.
    """

    def __init__(
        self, dataset: DetectionDataset, part: Literal["train", "test"], fraction: float = 0.8, seed: int = 0
    ) -> None:
        if part not in ("train", "test"):
            raise UserError(f"the part of a split is 'train' or 'test', not {part!r}")
        first, second = stratified_split(dataset.table, fraction, seed)
        chosen = first if part == "train" else second
        if not len(chosen):
            raise UserError(
                f"of {len(dataset)} images none is left for {part!r}; choose another fraction than {fraction}"
            )
        vars(self).update(vars(subset(dataset, chosen)))


def stratified_split(table: AnnotationTable, fraction: float = 0.8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Share out images so that each class has its part in both: int64 [about fraction * N] and the rest, rising.

    Iterative stratification (Sechidis, Tsoumakas, Vlahavas, 2011, Algorithm 1): the images of the class that has the
    fewest of them left are given away first, each to the part that still wants most of this class, then most images;
    images without objects come last. A class with a single image has it in the larger part.

    Objects marked difficult are not looked at, so that a data set's `keep_difficult` does not change the split.

    Raises:
        UserError: `fraction` is not between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise UserError(f"the fraction of a split lies between 0 and 1, not at {fraction}")
    random = np.random.default_rng(seed)
    present = _classes_present(table)
    wanted_images = np.array([fraction, 1 - fraction]) * len(table)  # [2], still to be given to each part
    wanted = np.array([[fraction], [1 - fraction]]) * present.sum(0)  # [2, K], of each class
    part = np.full(len(table), -1)
    order = random.permutation(len(table))
    while (left := present[part < 0].sum(0)).any():
        rarest = np.where(left > 0, left, len(table) + 1).argmin()
        for image in order[present[order, rarest] & (part[order] < 0)]:
            part[image] = _neediest(wanted[:, rarest], wanted_images, random)
            wanted[part[image]] -= present[image]
            wanted_images[part[image]] -= 1
    for image in order[part[order] < 0]:
        part[image] = _neediest(wanted_images, wanted_images, random)
        wanted_images[part[image]] -= 1
    return np.flatnonzero(part == 0), np.flatnonzero(part == 1)


def subset(dataset: D, indices: np.ndarray) -> D:
    """The data set of these images, int [n], in this order; an index may come several times, and so do its ids."""
    part = copy.copy(dataset)
    part.table = take_images(dataset.table, indices)
    if hasattr(dataset, "image_numbers"):  # a COCODataset's, one an image
        part.image_numbers = dataset.image_numbers[indices]  # type: ignore[attr-defined]
    if getattr(dataset, "excluded", None) is not None:  # an ImageNetDETDataset's (image, label) pairs
        pairs = dataset.excluded  # type: ignore[attr-defined]
        now, row = np.nonzero(indices[:, None] == pairs[None, :, 0])
        part.excluded = np.stack([now, pairs[row, 1]], 1)  # type: ignore[attr-defined]
    return part


def take_images(table: AnnotationTable, indices: np.ndarray) -> AnnotationTable:
    """The rows of these images and their objects, in this order."""
    taken = copy.copy(table)
    counts = np.diff(table.offsets)[indices]
    taken.offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    objects = np.repeat(table.offsets[indices] - taken.offsets[:-1], counts) + np.arange(taken.offsets[-1])
    taken.paths, taken.ids, taken.sizes = table.paths[indices], table.ids[indices], table.sizes[indices]
    taken.boxes, taken.labels = table.boxes[objects], table.labels[objects]
    taken.difficult, taken.crowd = table.difficult[objects], table.crowd[objects]
    return taken


def _classes_present(table: AnnotationTable) -> np.ndarray:
    """bool [N, K]: does image n have an object of class k that is not difficult?"""
    counts = ~table.difficult
    present = np.zeros((len(table), int(table.labels.max(initial=-1)) + 1), bool)
    present[table.image_of_object()[counts], table.labels[counts]] = True
    return present


def _neediest(wanted: np.ndarray, wanted_images: np.ndarray, random: np.random.Generator) -> int:
    """The part that wants most; if both want the same, the one that wants more images; else either."""
    for wants in (wanted, wanted_images):
        if abs(wants[0] - wants[1]) > 1e-6:  # sums of fractions that are equal but for their rounding
            return int(wants.argmax())
    return int(random.integers(2))
