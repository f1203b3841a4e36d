"""ImageNet localization: images with one class each and the boxes of that class's objects, in the CLS-LOC layout.

    train = LocalizationDataset("data/imagenet", "train", with_boxes=True)
    image, label, boxes, size = train[0]              # uint8 [H, W, 3] RGB, int, float32 [G, 4], the file's (H, W)
    val = LocalizationDataset("data/imagenet", "val")
    localization_error(guesses, val.truth())          # no image is opened

Lists, labels and pixels are those of ImageNetDataset (data/classification/imagenet.py). Only some training images have
boxes: those in ImageSets/CLS-LOC/train_loc.txt, or without this list those that have an xml file. The files' boxes are
0-based and inclusive, and are made continuous: (xmin, ymin, xmax + 1, ymax + 1).
"""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from resdet.data.classification.cls_loc import UNKNOWN
from resdet.data.classification.imagenet import ImageNetDataset
from resdet.data.images import image_size, is_turned, wrong_size
from resdet.data.localization.boxes import NO_BOXES, image_name, mend_boxes, read_boxes, thickness
from resdet.data.text_files import is_folder
from resdet.errors import UserError
from resdet.metrics.localization_error import LocalizationTruth

_FROM_VOC = 1.0  # `read_annotation` subtracts 1 from xmin and ymin, which are 1-based in VOC and 0-based here

_SAME = "the two must be of one release"

logger = logging.getLogger("resdet")


class LocalizedImage(NamedTuple):
    """One decoded image, its class, and the boxes of that class's objects in pixels of `image`."""

    image: np.ndarray  # uint8 [H, W, 3], RGB
    label: int
    boxes: np.ndarray  # float32 [G, 4], clipped to the image
    size: tuple[int, int]  # (height, width) of the file; `image` is smaller if `decode_to` reduced it


class LocalizationDataset:
    """Images with boxes by index; the boxes are flat arrays, which forked workers share without copying.

    Args:
        root: the folder that holds ILSVRC/, and Kaggle's LOC_*.csv files where there are some.
        image_set: "train", "val", or the name of one's own list in the form of val; or "test", whose classes and boxes
            are not public: its labels are `UNKNOWN` and it has no `truth()`, but it can be predicted.
        decode_to: see ImageNetDataset; boxes are scaled with their image.
        with_boxes: leave out images without a usable box; otherwise they have no boxes.
        min_side: boxes with a shorter side than this, in pixels of the file, are not used in training.
        boxes_from: "csv" for LOC_<set>_solution.csv, "xml" for Annotations/CLS-LOC/<set>. None: for train the CSV if
            it exists (one file instead of half a million), for val the xml files if they exist.

    Attributes:
        images: the ImageNetDataset of the whole list.
        lines: int64 [N], position of each image in the whole list, which is longer if `with_boxes` left some out.
        labels: int64 [N].

    Defects of boxes are corrected, and counted in one warning of the logger "resdet":
        - removed: objects of another class than their image's, which the task ignores, and boxes without area;
        - removed from the images, but not from `truth()`: boxes outside their image, and thin ones;
        - clipped in the images, but not in `truth()`: boxes that extend beyond their image. The development kit
          compares with the unclipped boxes.

    Raises:
        UserError: a missing or malformed file; an unknown class; list and boxes do not have the same images; no image
            has a box; `with_boxes` for test.
    """

    def __init__(
        self,
        root: str | Path,
        image_set: str,
        decode_to: int | None = None,
        with_boxes: bool = False,
        min_side: float = 2,
        boxes_from: Literal["csv", "xml"] | None = None,
    ) -> None:
        root = Path(root)
        if not is_folder(root / "ILSVRC"):
            raise UserError(f"{root}: has no folder ILSVRC; boxes can only be read from ImageNet's CLS-LOC layout")
        if image_set == "test" and with_boxes:
            raise UserError(f"{root}: the boxes of 'test' are not public; use val, or remove with_boxes=True")
        self.images = ImageNetDataset(root, image_set, decode_to)
        self.classes, self.names, self.min_side = self.images.classes, self.images.names, min_side
        listed = self.listed
        found, usable = NO_BOXES, np.zeros(0, bool)
        if self.labelled:
            found = read_boxes(root, image_set, self.images, listed, boxes_from)
            found, usable = mend_boxes(found, self.images.labels, listed, min_side, f"{root}, {image_set}")
            if not usable.any():
                raise UserError(f"{root}: no image of '{image_set}' has a box of its class, which localization needs")
        # (width, height) of each listed image as annotated, 0 where no box says
        self._annotated = np.zeros((len(listed), 2), np.int64)
        self._annotated[found.image] = np.where(np.isfinite(found.sizes), found.sizes, 0)
        own = np.bincount(found.image[usable], minlength=len(listed)) > 0
        self.lines = np.flatnonzero(own | (not with_boxes))
        place = np.full(len(listed), -1)
        place[self.lines] = np.arange(len(self.lines))
        kept = place[found.image] >= 0
        self.labels = self.images.labels[self.lines]
        self._image, self._boxes = place[found.image[kept]], found.boxes[kept]
        self._offsets = np.searchsorted(self._image, np.arange(len(self.lines) + 1))

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, index: int) -> LocalizedImage:
        """Decode image `index`.

        Raises:
            UserError: the image is missing or unreadable, or its size is not the annotation's.
        """
        image, label = self.images[int(self.lines[index])]
        height, width = image.shape[:2]
        size = height, width
        if self.images.decode_to is not None:
            size = image_size(self.images.root / self.image_id(index))
        self._check_size(index, size)
        boxes = self.boxes_in(index, size) * np.tile([width / size[1], height / size[0]], 2)
        return LocalizedImage(image, label, boxes.astype(np.float32), size)

    def _check_size(self, index: int, size: tuple[int, int]) -> None:
        """Refuse an image that was annotated at another size, most often before its EXIF rotation."""
        path, (width, height) = self.images.root / self.image_id(index), self._annotated[self.lines[index]].tolist()
        if width and (height, width) != size:
            raise wrong_size(path, size, (height, width))
        # The CSV has no sizes, but boxes that only fit the image on its side.
        right, bottom = self.boxes_of(index)[:, 2:].max(0, initial=0).tolist()
        beyond = right > size[1] + 1 or bottom > size[0] + 1
        if not width and beyond and right <= size[0] + 1 and bottom <= size[1] + 1 and is_turned(path):
            raise UserError(
                f"{path}: its boxes extend to {right:g}, {bottom:g}, beyond the {size[1]}x{size[0]} image but not "
                "before its EXIF rotation; rotate the image as it was annotated, or correct the boxes"
            )

    def subset(self, indices: np.ndarray) -> LocalizationDataset:
        """The data set of the images `indices`, int64 [n], in this order."""
        part = copy.copy(self)
        part.lines, part.labels = self.lines[indices], self.labels[indices]
        boxes = [self.boxes_of(index) for index in indices.tolist()]
        part._boxes = np.concatenate([np.zeros((0, 4)), *boxes])
        part._image = np.repeat(np.arange(len(indices)), [len(own) for own in boxes])
        part._offsets = np.searchsorted(part._image, np.arange(len(indices) + 1))
        return part

    def image_id(self, index: int) -> str:
        """The image's path below the root."""
        return self.images.image_id(int(self.lines[index]))

    @property
    def listed(self) -> list[str]:
        """The ids of all images of the list, such as ILSVRC2012_val_00000001."""
        return [image_name(path) for path in self.images.paths.tolist()]

    @property
    def ids(self) -> list[str]:
        """The ids of the images of this data set, N: their names in ILSVRC's and Kaggle's files."""
        return [image_name(path) for path in self.images.paths[self.lines].tolist()]

    def boxes_of(self, index: int) -> np.ndarray:
        """The boxes of one image in `truth()`, float64 [G, 4]."""
        index = range(len(self))[index]
        boxes: np.ndarray = self._boxes[self._offsets[index] : self._offsets[index + 1]]
        return boxes

    def boxes_in(self, index: int, size: tuple[int, int]) -> np.ndarray:
        """The boxes of one image that training uses: clipped, and none with a side below `min_side`.

        Args:
            index: of the image.
            size: (height, width) of the file; (0, 0), unknown, gives no box.

        Returns:
            float64 [G, 4], in pixels of the file.
        """
        boxes = self.boxes_of(index).clip(0, [size[1], size[0], size[1], size[0]])
        usable: np.ndarray = boxes[(thickness(boxes) >= self.min_side) & (thickness(boxes) > 0)]
        return usable

    @property
    def labelled(self) -> bool:
        """Whether classes and boxes are known; False for test."""
        return UNKNOWN not in self.images.labels

    def truth(self) -> LocalizationTruth:
        """Classes and boxes that guesses are evaluated against, by the index of the images of this data set.

        Raises:
            UserError: the set is test.
        """
        if not self.labelled:
            raise UserError(f"{self.images.root}: classes and boxes of 'test' are not public; use val")
        return LocalizationTruth(self.labels, self._boxes, self._image)
