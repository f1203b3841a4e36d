"""ImageNet DET, ILSVRC's detection task of 200 classes: data sets, ILSVRC's exclusions, and result files to submit.

    train = ImageNetDETDataset("data/imagenet", ["train", "val1"])                   # App. B trains on these
    val2 = ImageNetDETDataset("data/imagenet", ["val2"], blacklist="ILSVRC2015_det_validation_blacklist.txt")
    write_det_submission("results.txt", val2, detections)

The layout is the published one: ROOT/ILSVRC/{Data,Annotations,ImageSets}/DET, and ROOT/map_det.txt, which is
data/map_det.txt of ILSVRC's development kit. val1 and val2 are made by data/detection/imagenet_det_halves.py.

Boxes in the files are 0-based and inclusive (R-CNN's and Fast R-CNN's readers differ in this). The reader makes them
continuous, (xmin, ymin, xmax + 1, ymax + 1); the writer converts them back.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resdet.data.detection.annotations import Annotation, DetectionDataset, build_table, require_any
from resdet.data.detection.voc_files import read_image_set
from resdet.data.detection.voc_xml import read_annotation
from resdet.data.image_files import listed_stem, require_images
from resdet.data.text_files import is_file, named_classes, quoted, read_lines, whole_number
from resdet.errors import UserError
from resdet.metrics.flat import FlatDetections
from resdet.whole_files import whole_file

NO_NUMBER = 0  # image number where the list gives none; ILSVRC counts from 1

_PARTS = ("train", "val", "test")  # the folders below Data/DET and Annotations/DET
_FROM_VOC = 1.0  # `read_annotation` subtracts 1 from xmin and ymin, which are 1-based in VOC and 0-based here
_TO_INCLUSIVE = np.array([0.0, 0.0, -1.0, -1.0])

logger = logging.getLogger("resdet")


class ImageNetDETDataset(DetectionDataset):
    """One or several image sets of DET, concatenated.

    Args:
        root: the folder that holds ILSVRC/ and map_det.txt.
        image_sets: names of lists in ROOT/ILSVRC/ImageSets/DET ("train", "val", "test", "train_17", or one's own), or
            paths of lists elsewhere, recognized by their suffix .txt. A list's name begins with train, val or test,
            the folder of its images. train_<k> lists the images of one class (see `read_image_set`); an image in
            several of these is used once.
        classes: wnids in the order of their labels; objects of other classes are left out. None takes all of
            map_det.txt, in the order of ILSVRC's class numbers.
        empty_images: False leaves out images without objects, among them the negative images of train.
        annotated: False for test, whose annotations are not public: no xml is read, no image has objects.
        blacklist: file of (image, class) pairs of val that are not evaluated, see `read_blacklist`.

    Attributes:
        wnids: str [K], ILSVRC's names of the labels.
        class_ids: int64 [K], ILSVRC's numbers of the labels.
        image_numbers: int64 [N], the images' numbers in their list; `NO_NUMBER` where the list gives none.
        parts: the folders that the images are in, of train, val and test.
        excluded: (image, label) pairs of the blacklist, int64 [E, 2], or None.

    A training image without an xml has no objects. <difficult> is ignored, as in ILSVRC's evaluation. Sizes missing
    from an xml are read from the image's header, boxes are clipped to the image, and boxes without area are dropped;
    each of these gives one warning with a count, on the logger "resdet".

    Raises:
        UserError: a missing or malformed file, a list without images, an image in two lists, an unknown class.
    """

    def __init__(
        self,
        root: str | Path,
        image_sets: Sequence[str],
        classes: Sequence[str] | None = None,
        empty_images: bool = True,
        annotated: bool = True,
        blacklist: str | Path | None = None,
    ) -> None:
        root = Path(root)
        classes = named_classes(classes, root)
        known = read_classes(root / "map_det.txt")
        chosen = list(known) if classes is None else [_choose(known, wnid, root) for wnid in classes]
        listed = _unite([item for name in image_sets for item in read_list(root / "ILSVRC", name)])
        annotations = list(_read_annotations(root / "ILSVRC", listed, list(known), chosen, annotated))
        source = f"{root}, {', '.join(image_sets)}"
        if not empty_images:
            annotations = [a for a in annotations if len(a)]
            require_any(annotations, source, "empty_images=False")
        table = build_table(annotations, source, warn_of_empty=False)
        super().__init__([known[wnid].name for wnid in chosen], table)
        self.wnids = np.array(chosen, np.str_)
        self.class_ids = np.array([known[wnid].number for wnid in chosen], np.int64)
        self.image_numbers = np.array([listed[a.id].number for a in annotations], np.int64)
        self.parts = tuple(part for part in _PARTS if any(item.part == part for item in listed.values()))
        self.excluded = None if blacklist is None else read_blacklist(blacklist, self)


def write_det_submission(path: str | Path, dataset: ImageNetDETDataset, detections: FlatDetections) -> None:
    """Write detections in the form of ILSVRC's server, a line `image_number class_id score xmin ymin xmax ymax` each.

    float32 scores and boxes are read back exactly.

    Args:
        path: the file.
        dataset: gives the numbers of images and classes.
        detections: `image` indexes the data set.

    Raises:
        UserError: an image has no number, or two have the same, which happens where train and val are united.
    """
    numbers = dataset.image_numbers
    if NO_NUMBER in numbers or len(np.unique(numbers)) < len(numbers):
        raise UserError(f"{path}: every image needs its own number; submit val or test alone, not several image sets")
    images, classes = numbers[detections.image].tolist(), dataset.class_ids[detections.label].tolist()
    boxes = (detections.box.astype(np.float64) + _TO_INCLUSIVE).tolist()
    with whole_file(path) as partial, partial.open("w", encoding="utf-8") as file:
        for image, number, score, (x1, y1, x2, y2) in zip(images, classes, detections.score, boxes, strict=True):
            # str of a NumPy scalar has the fewest digits that give the same float32 (or float64) back.
            file.write(f"{image} {number} {score!s} {x1!r} {y1!r} {x2!r} {y2!r}\n")


def read_blacklist(path: str | Path, dataset: ImageNetDETDataset) -> np.ndarray:
    """Read the (image, label) pairs that ILSVRC excludes from evaluation (`metrics.evaluate_ilsvrc_det`).

    Args:
        path: data/ILSVRC<year>_det_validation_blacklist.txt of the development kit, "image_number wnid" per line.
        dataset: val or a part of it. Pairs of other images and classes are ignored.

    Returns:
        int64 [E, 2].

    Raises:
        UserError: the file is missing, or a line is malformed.
    """
    image = {number: index for index, number in enumerate(dataset.image_numbers.tolist())}
    label = {wnid: k for k, wnid in enumerate(dataset.wnids.tolist())}
    pairs = []
    for where, line in read_lines(path, "it is in data/ of ILSVRC's development kit"):
        words = line.split()
        number = whole_number(words[0])
        if len(words) != 2 or number is None:
            raise UserError(f"{where}: {quoted(line)} is not 'image_number wnid'; take the kit's own file")
        if number in image and words[1] in label:
            pairs.append((image[number], label[words[1]]))
    return np.array(pairs, np.int64).reshape(-1, 2)


class _Class(NamedTuple):
    number: int  # ILSVRC's, from 1
    name: str


class ListedImage(NamedTuple):
    """A line of a list of images."""

    id: str  # the path below Data/DET/<part>, without suffix
    number: int
    part: str
    source: Path  # the list


def read_classes(path: Path) -> dict[str, _Class]:
    """Number and name of each wnid, by ascending number."""
    classes: dict[str, _Class] = {}
    for where, line in read_lines(path, "it is data/map_det.txt of ILSVRC's development kit; copy it there"):
        words = line.split()
        number = whole_number(words[1]) if len(words) > 2 else None
        if number is None or words[0] in classes:
            raise UserError(f"{where}: {quoted(line)} is not of the form 'n02672831 1 accordion'; copy the file again")
        classes[words[0]] = _Class(number, " ".join(words[2:]))
    if len({c.number for c in classes.values()}) < len(classes) or not classes:
        raise UserError(f"{path}: has no classes, or two with one number; copy the development kit's file again")
    return dict(sorted(classes.items(), key=lambda item: item[1].number))


def _choose(known: dict[str, _Class], wnid: str, root: Path) -> str:
    if wnid not in known:
        raise UserError(
            f"{root / 'map_det.txt'} has no class {quoted(wnid)}; choose among its wnids, such as 'n02672831'"
        )
    return wnid


def read_list(root: Path, name: str) -> list[ListedImage]:
    """Read an image set; `root` is the folder ILSVRC, `name` as in ImageNetDETDataset.

    Raises:
        UserError: the list is missing, malformed, or without images.
    """
    path = Path(name) if name.endswith(".txt") else root / "ImageSets" / "DET" / f"{name}.txt"
    part = next((part for part in _PARTS if path.name.startswith(part)), None)
    if part is None:
        raise UserError(f"{path}: a list's name begins with train, val or test, the folder of its images; rename it")
    if not is_file(path):
        raise UserError(f"{path}: no such list of images; check the root and the image set, or unpack ImageSets")
    if re.fullmatch(r"(train|val)_\d+", path.stem):
        return [
            ListedImage(listed_stem(image_id, str(path)), NO_NUMBER, part, path) for image_id in read_image_set(path)
        ]
    listed = []
    for where, line in read_lines(path):
        words = line.split()
        number = whole_number(words[1]) if len(words) > 1 else NO_NUMBER
        if len(words) > 2 or number is None:
            raise UserError(f"{where}: {quoted(line)} is not 'path number'; correct the list")
        listed.append(ListedImage(listed_stem(words[0], where), number, part, path))
    if not listed:
        raise UserError(f"{path}: no image in this list; write one 'path number' per line, the path without suffix")
    return listed


def _unite(listed: list[ListedImage]) -> dict[str, ListedImage]:
    united: dict[str, ListedImage] = {}
    for item in listed:
        first = united.setdefault(item.id, item)
        if first is not item and (first.number, item.number) != (NO_NUMBER, NO_NUMBER):
            raise UserError(
                f"{item.source}: image {quoted(item.id)} is in the lists twice (first {first.source}); keep one"
            )
    return united


def image_path(root: Path, item: ListedImage) -> Path:
    """The image file of a listed image; `root` is the folder ILSVRC."""
    return root / "Data" / "DET" / item.part / f"{item.id}.JPEG"


def xml_path(root: Path, item: ListedImage) -> Path:
    """The annotation of a listed image; images of train may have none. `root` is the folder ILSVRC."""
    return root / "Annotations" / "DET" / item.part / f"{item.id}.xml"


def _read_annotations(
    root: Path, listed: dict[str, ListedImage], known: list[str], chosen: list[str], annotated: bool
) -> Iterator[Annotation]:
    label_of = np.array([chosen.index(wnid) if wnid in chosen else -1 for wnid in known], np.int64)
    bare = []
    for source in {item.source: None for item in listed.values()}:
        require_images([image_path(root, item) for item in listed.values() if item.source == source], source)
    for item in listed.values():
        image, xml = image_path(root, item), xml_path(root, item)
        if annotated and is_file(xml):
            found = read_annotation(xml, known)
            labels = label_of[found.labels]
            keep = labels >= 0
            yield Annotation(str(image), item.id, found.size, found.boxes[keep] + _FROM_VOC, labels[keep])
            continue
        if annotated and item.part != "train":
            raise UserError(
                f"{xml}: no such annotation; restore it, or set annotated=False if annotations are not public (test)"
            )
        bare.append(item.id)
        yield Annotation(str(image), item.id, (0, 0), np.zeros((0, 4)), np.zeros(0, np.int64))
    if annotated and bare:
        logger.warning(
            "%d of %d images have no annotation and count as images without objects (first: %s)",
            *(len(bare), len(listed), bare[0]),
        )
