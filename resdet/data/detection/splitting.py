"""Parts of a data set: chosen images, or one side of a split that divides every class in proportion.

    first, second = stratified_split(dataset.table, fraction=0.8, seed=0)       # indices of images
    few = subset(dataset, first[:10])

In a config, both parts of one set have the same arguments:

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
    """One part of a data set. For equal arguments every image is in exactly one of the parts "train" and "test".

    Other attributes of the data set (a COCODataset's category_ids, image_numbers, files) are attributes of the part.

    Args:
        dataset: the whole set.
        part: "train" or "test".
        fraction: fraction of the images in "train".
        seed: of the split, independent of the run's.

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
                f"of {len(dataset)} images none is left for {part!r}; choose a fraction other than {fraction}"
            )
        vars(self).update(vars(subset(dataset, chosen)))


def stratified_split(table: AnnotationTable, fraction: float = 0.8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Divide images into two parts with the same proportion of each class.

    Iterative stratification (Sechidis, Tsoumakas, Vlahavas, 2011, Algorithm 1): images of the class with the fewest
    undivided images are assigned first, each to the part that needs most images of this class, then most images of any
    class; images without objects are assigned last. The image of a class that has only one goes to the larger part.

    Objects marked difficult are ignored, so that a data set's `keep_difficult` does not change the split.

    Args:
        table: annotations of N images.
        fraction: fraction of the images in the first part.
        seed: the same seed gives the same split.

    Returns:
        Indices of the images of both parts, int64, ascending.

    Raises:
        UserError: `fraction` is not between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise UserError(f"the fraction of a split must be between 0 and 1, not {fraction}")
    random = np.random.default_rng(seed)
    present = _classes_present(table)
    wanted_images = np.array([fraction, 1 - fraction]) * len(table)  # [2], still to be assigned to each part
    wanted = np.array([[fraction], [1 - fraction]]) * present.sum(0)  # [2, K], the same per class
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
    """The data set of the images `indices`, int [n], in this order; repeated indices give repeated images and ids."""
    part = copy.copy(dataset)
    part.table = take_images(dataset.table, indices)
    if hasattr(dataset, "image_numbers"):  # a COCODataset's, one per image
        part.image_numbers = dataset.image_numbers[indices]  # type: ignore[attr-defined]
    if getattr(dataset, "excluded", None) is not None:  # an ImageNetDETDataset's (image, label) pairs
        pairs = dataset.excluded  # type: ignore[attr-defined]
        now, row = np.nonzero(indices[:, None] == pairs[None, :, 0])
        part.excluded = np.stack([now, pairs[row, 1]], 1)  # type: ignore[attr-defined]
    return part


def take_images(table: AnnotationTable, indices: np.ndarray) -> AnnotationTable:
    """The annotations of the images `indices`, int [n], in this order."""
    taken = copy.copy(table)
    counts = np.diff(table.offsets)[indices]
    taken.offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    objects = np.repeat(table.offsets[indices] - taken.offsets[:-1], counts) + np.arange(taken.offsets[-1])
    taken.paths, taken.ids, taken.sizes = table.paths[indices], table.ids[indices], table.sizes[indices]
    taken.boxes, taken.labels = table.boxes[objects], table.labels[objects]
    taken.difficult, taken.crowd = table.difficult[objects], table.crowd[objects]
    return taken


def _classes_present(table: AnnotationTable) -> np.ndarray:
    """Whether image n has an object of class k that is not difficult, bool [N, K]."""
    counts = ~table.difficult
    present = np.zeros((len(table), int(table.labels.max(initial=-1)) + 1), bool)
    present[table.image_of_object()[counts], table.labels[counts]] = True
    return present


def _neediest(wanted: np.ndarray, wanted_images: np.ndarray, random: np.random.Generator) -> int:
    """The part, 0 or 1, that needs more of the class; if equal, more images; if equal, a random one."""
    for wants in (wanted, wanted_images):
        if abs(wants[0] - wants[1]) > 1e-6:  # else equal up to rounding
            return int(wants.argmax())
    return int(random.integers(2))
