"""ImageNet localization: images with one class each and the boxes of that class's objects, in the CLS-LOC layout.

    train = LocalizationDataset("data/imagenet", "train", with_boxes=True)
    image, label, boxes, size = train[0]              # uint8 [H, W, 3] RGB, int, float32 [G, 4], the file's (H, W)
    val = LocalizationDataset("data/imagenet", "val")
    localization_error(guesses, val.truth())          # no image is opened

Lists, labels and pixels are those of ImageNetDataset (data/classification/imagenet.py). Only some training images have
boxes: those in ImageSets/CLS-LOC/train_loc.txt. The files' boxes are 0-based and inclusive, and are made continuous:
(xmin, ymin, xmax + 1, ymax + 1).
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from resdet.data.classification.imagenet import UNKNOWN, ImageNetDataset
from resdet.data.detection.voc_xml import read_annotation
from resdet.data.images import image_size
from resdet.data.localization.files import read_solution
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
        root: the folder that holds ILSVRC/ and the LOC_*.csv files.
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
        if not (root / "ILSVRC").is_dir():
            raise UserError(f"{root}: has no folder ILSVRC; boxes can only be read from ImageNet's CLS-LOC layout")
        if image_set == "test" and with_boxes:
            raise UserError(f"{root}: the boxes of 'test' are not public; use val, or remove with_boxes=True")
        self.images = ImageNetDataset(root, image_set, decode_to)
        self.classes, self.names, self.min_side = self.images.classes, self.images.names, min_side
        listed = self.listed
        found, usable = _NO_BOXES, np.zeros(0, bool)
        if self.labelled:
            found = _read_boxes(root, image_set, self.images, listed, boxes_from)
            found, usable = _mend(found, self.images.labels, listed, min_side, f"{root}, {image_set}")
            if not usable.any():
                raise UserError(f"{root}: no image of '{image_set}' has a box of its class, which localization needs")
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
            UserError: the image is missing or unreadable.
        """
        image, label = self.images[int(self.lines[index])]
        height, width = image.shape[:2]
        size = height, width
        if self.images.decode_to is not None:
            size = image_size(self.images.root / self.image_id(index))
        boxes = self.boxes_in(index, size) * np.tile([width / size[1], height / size[0]], 2)
        return LocalizedImage(image, label, boxes.astype(np.float32), size)

    def image_id(self, index: int) -> str:
        """The image's path below the root."""
        return self.images.image_id(int(self.lines[index]))

    @property
    def listed(self) -> list[str]:
        """The ids of all images of the list, such as ILSVRC2012_val_00000001."""
        return [_id(path) for path in self.images.paths.tolist()]

    @property
    def ids(self) -> list[str]:
        """The ids of the images of this data set, N: their names in ILSVRC's and Kaggle's files."""
        return [_id(path) for path in self.images.paths[self.lines].tolist()]

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
        usable: np.ndarray = boxes[(_thickness(boxes) >= self.min_side) & (_thickness(boxes) > 0)]
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


class _Boxes(NamedTuple):
    """M boxes as read, in the order of the list."""

    image: np.ndarray  # int64 [M], position in the list, ascending
    labels: np.ndarray  # int64 [M]
    boxes: np.ndarray  # float64 [M, 4], continuous
    sizes: np.ndarray  # float64 [M, 2], image (width, height) in the xml, 0 if missing; infinite in the CSV


_NO_BOXES = _Boxes(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros((0, 2)))


def _read_boxes(root: Path, image_set: str, images: ImageNetDataset, ids: list[str], boxes_from: str | None) -> _Boxes:
    solution, xmls = root / f"LOC_{image_set}_solution.csv", root / "ILSVRC/Annotations/CLS-LOC" / image_set
    train = image_set == "train"
    if boxes_from not in (None, "csv", "xml"):
        raise UserError(f"boxes_from is 'csv', 'xml' or None, not {boxes_from!r}")
    if boxes_from is None:
        boxes_from = "csv" if (solution.is_file() if train else not xmls.is_dir()) else "xml"
    with_boxes = root / "ILSVRC/ImageSets/CLS-LOC" / ("train_loc.txt" if train else f"{image_set}.txt")
    if boxes_from == "csv":
        return _from_solution(solution, images.classes, ids, with_boxes)
    if not train:  # val's labels were read from the CSV: check that it belongs to this list
        _from_solution(solution, images.classes, ids, with_boxes)
    if not with_boxes.is_file():
        raise UserError(f"{with_boxes}: no such list of the images with boxes; unpack ImageSets or add {solution.name}")
    below = f"ILSVRC/Data/CLS-LOC/{image_set}/"
    place = {path.removeprefix(below).removesuffix(".JPEG"): i for i, path in enumerate(images.paths.tolist())}
    return _from_xml(xmls, images.classes, place, with_boxes)


def _from_solution(path: Path, classes: tuple[str, ...], ids: list[str], with_boxes: Path) -> _Boxes:
    rows = read_solution(path, classes)
    place = {image_id: i for i, image_id in enumerate(ids)}
    if len(place) < len(ids):
        raise UserError(f"{path}: images in several folders have the same name; use the xml files")
    unlisted = next((image_id for image_id in rows.ids if image_id not in place), None)
    if unlisted is not None:
        raise UserError(
            f"{path}: has a row for image '{unlisted}', which the list in {with_boxes.parent} does not have; {_SAME}"
        )
    absent = {_id(name) for name in _names(with_boxes)} - set(rows.ids) if with_boxes.is_file() else set()
    if absent:
        raise UserError(f"{path}: has no row for image '{min(absent)}', which {with_boxes} lists; {_SAME}")
    image = np.array([place[image_id] for image_id in rows.ids], np.int64)[rows.row]
    return _sorted(_Boxes(image, rows.labels, rows.boxes, np.full((len(image), 2), np.inf)))


def _from_xml(folder: Path, classes: tuple[str, ...], place: dict[str, int], with_boxes: Path) -> _Boxes:
    image, labels, boxes, sizes = [], [], [np.zeros((0, 4))], []
    for name in _names(with_boxes):
        xml = folder / f"{name}.xml"
        if name not in place:
            raise UserError(f"{with_boxes}: image '{name}' is not in the list of all images; {_SAME}")
        if not xml.is_file():
            raise UserError(f"{xml}: no such annotation, but {with_boxes} lists its image; restore it")
        found = read_annotation(xml, classes)  # <filename> is not used: it lacks the suffix, or names another file
        image += [place[name]] * len(found)
        labels += found.labels.tolist()
        boxes.append(found.boxes + _FROM_VOC)
        sizes += [found.size[::-1]] * len(found)
    known = np.array(sizes, np.float64).reshape(-1, 2)
    return _sorted(_Boxes(np.array(image, np.int64), np.array(labels, np.int64), np.concatenate(boxes), known))


def _sorted(found: _Boxes) -> _Boxes:
    order = np.argsort(found.image, kind="stable")
    return _Boxes(*(column[order] for column in found))


def _mend(found: _Boxes, labels: np.ndarray, ids: list[str], min_side: float, where: str) -> tuple[_Boxes, np.ndarray]:
    """The boxes with area and their image's class, and which of them training uses, bool [M]; warns of defects."""
    limits = np.where(found.sizes > 0, found.sizes, np.inf)
    clipped = found.boxes.clip(0, np.tile(limits, 2))
    other = found.labels != labels[found.image]
    empty = ~other & (_thickness(found.boxes) <= 0)
    kept = ~(other | empty)
    outside = kept & (_thickness(clipped) <= 0)
    thin = kept & ~outside & (_thickness(clipped) < min_side)
    usable = kept & ~outside & ~thin
    flaws = {
        "of another class than their image's, removed": other,
        "without area, removed": empty,
        "outside their image, not used": outside,
        f"thinner than {min_side:g} pixels, not used": thin,
        "extending beyond their image, clipped": usable & (clipped != found.boxes).any(1),
        "of an xml without the image's size, which is read from the image": (found.sizes == 0).any(1),
    }
    counted = [
        f"{flaw.sum()} {what} (first: {ids[found.image[flaw.argmax()]]})" for what, flaw in flaws.items() if flaw.any()
    ]
    if counted:
        logger.warning("%s: of %d boxes %s", where, len(found.boxes), "; ".join(counted))
    return _Boxes(*(column[kept] for column in found)), usable[kept]


def _thickness(boxes: np.ndarray) -> np.ndarray:
    """The shorter side of each box, [M]; zero or negative if a box has no area."""
    sides: np.ndarray = (boxes[:, 2:] - boxes[:, :2]).min(1)
    return sides


def _id(path: str) -> str:
    """The image's id in ILSVRC's and Kaggle's files: the last part of its path without .JPEG."""
    return path.rsplit("/", 1)[-1].removesuffix(".JPEG")


def _names(path: Path) -> list[str]:
    return [line.split()[0] for line in path.read_text().splitlines() if line.strip()]
