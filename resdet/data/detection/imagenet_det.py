"""ImageNet DET, ILSVRC's detection task of 200 classes: data sets, val divided in two, and the file to submit.

    val = ImageNetDETDataset("data/imagenet", ["val"])
    split = balanced_split(class_counts(val), seed=0)
    write_split("data/imagenet/ILSVRC/ImageSets/DET", val, split)                    # val1.txt, val2.txt
    train = ImageNetDETDataset("data/imagenet", ["train", "val1"])                   # App. B trains on these
    write_det_submission("results.txt", ImageNetDETDataset("data/imagenet", ["val2"]), detections)

The layout is the published one: ROOT/ILSVRC/{Data,Annotations,ImageSets}/DET; ROOT/map_det.txt is data/map_det.txt of
ILSVRC's development kit. `evaluate_ilsvrc_det` scores by the task's own rule, with `read_blacklist`'s exclusions.
Boxes in the files are pixels counted from 0, xmax and ymax inside the box (R-CNN's and Fast R-CNN's readers differ in
this): the reader makes them continuous by (xmin, ymin, xmax + 1, ymax + 1), the writer turns them back.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resdet.data.detection.annotations import Annotation, AnnotationTable, DetectionDataset, clean_boxes
from resdet.data.detection.voc import read_annotation, read_image_set
from resdet.data.images import image_size
from resdet.errors import UserError
from resdet.metrics.voc_ap import FlatDetections

NO_NUMBER = 0  # of an image whose list has none; ILSVRC counts from 1

_PARTS = ("train", "val", "test")  # the folders below Data/DET and Annotations/DET
_FROM_VOC = 1.0  # `read_annotation` takes 1 from xmin and ymin, as VOC counts from 1; DET counts from 0
_TO_INCLUSIVE = np.array([0.0, 0.0, -1.0, -1.0])

_CANDIDATES = 4  # splits that are searched, the best one is taken
_ROUNDS = 4000  # exchanges that each may make: it stops to improve before
_TRIALS = 64  # pairs that are looked at for one exchange

logger = logging.getLogger("resdet")


class ImageNetDETDataset(DetectionDataset):
    """One or several image sets of DET, united in their order.

    Args:
        root: the folder that holds ILSVRC/ and map_det.txt.
        image_sets: names of lists in ROOT/ILSVRC/ImageSets/DET ("train", "val", "test", "train_17", or one's own), or
            paths to lists elsewhere, known by their .txt. A list's name begins with train, val or test: the folder of
            its images. train_<k> lists the images of one class (see `read_image_set`); one that is in several of
            these comes once.
        classes: wnids in the order of their labels, objects of others are left out; None takes all of map_det.txt, in
            the order of ILSVRC's numbers.
        empty_images: False leaves out images without objects, among them the negative ones of train.
        annotated: False for test, whose answers only the server has: no xml is read, no image has objects.
        blacklist: of val, see `read_blacklist`; its pairs are in `excluded`, int64 [E, 2], and do not count at test.

    `wnids`, str [K], and `class_ids`, int64 [K], are ILSVRC's names and numbers of the labels; `image_numbers`,
    int64 [N], those of the images in their list; `parts` the folders that the images come from. An image of train
    without an xml has no objects. <difficult> is not looked at, as in ILSVRC's evaluation. Sizes missing from an xml
    are read from the image's header, boxes are clipped to the image and those without area are dropped; each is
    counted in one warning of the logger "resdet".

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
        known = _read_classes(root / "map_det.txt")
        chosen = list(known) if classes is None else [_choose(known, wnid, root) for wnid in classes]
        listed = _unite([item for name in image_sets for item in _read_list(root / "ILSVRC", name)])
        annotations = list(_read_annotations(root / "ILSVRC", listed, list(known), chosen, annotated))
        if not empty_images:
            annotations = [a for a in annotations if len(a)]
        annotations = clean_boxes(_complete_sizes(annotations))
        super().__init__([known[wnid].name for wnid in chosen], AnnotationTable(annotations))
        self.wnids = np.array(chosen, np.str_)
        self.class_ids = np.array([known[wnid].number for wnid in chosen], np.int64)
        self.image_numbers = np.array([listed[a.id].number for a in annotations], np.int64)
        self.parts = tuple(part for part in _PARTS if any(item.part == part for item in listed.values()))
        self.excluded = None if blacklist is None else read_blacklist(blacklist, self)


def write_det_submission(path: str | Path, dataset: ImageNetDETDataset, detections: FlatDetections) -> None:
    """Write one line a detection, `image_number class_id score xmin ymin xmax ymax`, as ILSVRC's server takes them.

    Pixels are counted from 0, fractions stay. What is read back is, as float32, what was written from float32.

    Raises:
        UserError: an image has no number, or two have the same, as where train and val are united.
    """
    numbers = dataset.image_numbers
    if NO_NUMBER in numbers or len(np.unique(numbers)) < len(numbers):
        raise UserError(f"{path}: images need numbers of their own; submit one of the lists val and test, not a union")
    images, classes = numbers[detections.image].tolist(), dataset.class_ids[detections.label].tolist()
    boxes = (detections.box.astype(np.float64) + _TO_INCLUSIVE).tolist()
    with Path(path).open("w", encoding="utf-8") as file:
        for image, number, score, (x1, y1, x2, y2) in zip(images, classes, detections.score, boxes, strict=True):
            # str of a NumPy scalar has the fewest digits that give the same float32 (or float64) back.
            file.write(f"{image} {number} {score!s} {x1!r} {y1!r} {x2!r} {y2!r}\n")


def read_blacklist(path: str | Path, dataset: ImageNetDETDataset) -> np.ndarray:
    """The (image, label) pairs int64 [E, 2] of `dataset` that `evaluate_ilsvrc_det` excludes.

    path: data/ILSVRC<year>_det_validation_blacklist.txt of the development kit, "image_number wnid" a line. Pairs of
        other images and classes are passed over.

    Raises:
        UserError: the file is missing, or a line is malformed.
    """
    image = {number: index for index, number in enumerate(dataset.image_numbers.tolist())}
    label = {wnid: k for k, wnid in enumerate(dataset.wnids.tolist())}
    pairs = []
    for where, words in _lines(Path(path), "it is in data/ of ILSVRC's development kit"):
        if len(words) != 2 or not words[0].isdigit():
            raise UserError(f"{where}: {' '.join(words)!r} is not 'image_number wnid'; take the kit's own file")
        if int(words[0]) in image and words[1] in label:
            pairs.append((image[int(words[0])], label[words[1]]))
    return np.array(pairs, np.int64).reshape(-1, 2)


@dataclass
class Split:
    """N images in two halves, the first one larger by one where N is odd."""

    first: np.ndarray  # int64, indices of images, rising
    second: np.ndarray  # int64, indices of images, rising
    max_imbalance: float  # |a - b| / (a + b) of the class whose objects are divided worst; 0 without objects
    median_imbalance: float


def class_counts(dataset: DetectionDataset) -> np.ndarray:
    """int64 [N, K]: how many objects of each class are in each image."""
    counts = np.zeros((len(dataset), len(dataset.classes)), np.int64)
    np.add.at(counts, (dataset.table.image_of_object(), dataset.table.labels), 1)
    return counts


def balanced_split(counts: np.ndarray, seed: int) -> Split:
    """Divide images in two halves with about as many objects of each class, after R-CNN (Girshick et al. 2014, 4.1).

    As there, several splits are made from images with like objects and improved by a random local search; the one with
    the smallest maximum imbalance is taken. R-CNN's own split (11% at most, 4% in the median) is not to be had from the
    paper; some 20,000 images of 200 classes take seconds.

    Args:
        counts: int [N, K], see `class_counts`.
        seed: the same one gives the same split.
    """
    counts = np.asarray(counts, np.int64)
    random = np.random.default_rng(seed)
    total = counts.sum(0)
    shares = counts[:, total > 0] / total[total > 0]  # [N, classes that occur]: a column's sum is 1
    splits = [_describe(counts, *_exchange(shares, *_deal(shares, random), random)) for _ in range(_CANDIDATES)]
    return min(splits, key=lambda split: (split.max_imbalance, split.median_imbalance))


def write_split(folder: str | Path, dataset: ImageNetDETDataset, split: Split) -> tuple[Path, Path]:
    """Write the halves of val as val1.txt and val2.txt, in the form of val.txt and with its numbers of the images.

    In ROOT/ILSVRC/ImageSets/DET `ImageNetDETDataset` finds them by the names val1 and val2, elsewhere by their paths.

    Raises:
        UserError: the data set unites train and val: no list can name the images of both.
    """
    if len(dataset.parts) != 1:
        raise UserError(f"{folder}: a list is of one folder, not of {' and '.join(dataset.parts)}; divide val alone")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    first, second = (folder / f"{dataset.parts[0]}{half}.txt" for half in (1, 2))
    for path, indices in ((first, split.first), (second, split.second)):
        pairs = zip(dataset.table.ids[indices], dataset.image_numbers[indices], strict=True)
        path.write_text("".join(f"{image_id} {number}\n" for image_id, number in pairs), encoding="utf-8")
    return first, second


class _Class(NamedTuple):
    number: int  # ILSVRC's, from 1
    name: str


class _Listed(NamedTuple):
    id: str  # the path below Data/DET/<part>, without suffix
    number: int
    part: str
    source: Path  # the list


def _read_classes(path: Path) -> dict[str, _Class]:
    """Number and name of each wnid, in the order of the numbers."""
    classes: dict[str, _Class] = {}
    for where, words in _lines(path, "it is data/map_det.txt of ILSVRC's development kit; copy it there"):
        if len(words) < 3 or not words[1].isdigit() or words[0] in classes:
            raise UserError(f"{where}: {' '.join(words)!r} is no class as 'n02672831 1 accordion'; copy the file again")
        classes[words[0]] = _Class(int(words[1]), " ".join(words[2:]))
    if len({c.number for c in classes.values()}) < len(classes) or not classes:
        raise UserError(f"{path}: has no classes, or two with one number; copy the development kit's file again")
    return dict(sorted(classes.items(), key=lambda item: item[1].number))


def _choose(known: dict[str, _Class], wnid: str, root: Path) -> str:
    if wnid not in known:
        raise UserError(f"{root / 'map_det.txt'} has no class {wnid!r}; choose among its wnids, as 'n02672831'")
    return wnid


def _read_list(root: Path, name: str) -> list[_Listed]:
    path = Path(name) if name.endswith(".txt") else root / "ImageSets" / "DET" / f"{name}.txt"
    part = next((part for part in _PARTS if path.name.startswith(part)), None)
    if part is None:
        raise UserError(f"{path}: a list's name begins with train, val or test, the folder of its images; rename it")
    if not path.is_file():
        raise UserError(f"{path}: no such list of images; check the root and the image set, or unpack ImageSets")
    if re.fullmatch(r"(train|val)_\d+", path.stem):
        return [_Listed(image_id, NO_NUMBER, part, path) for image_id in read_image_set(path)]
    listed = []
    for where, words in _lines(path, ""):
        number = words[1] if len(words) > 1 else str(NO_NUMBER)
        if len(words) > 2 or not number.isdigit():
            raise UserError(f"{where}: {' '.join(words)!r} is not 'path number'; correct the list")
        listed.append(_Listed(words[0], int(number), part, path))
    if not listed:
        raise UserError(f"{path}: no image in this list; write 'path number' a line, the path without suffix")
    return listed


def _unite(listed: list[_Listed]) -> dict[str, _Listed]:
    united: dict[str, _Listed] = {}
    for item in listed:
        first = united.setdefault(item.id, item)
        if first is not item and (first.number, item.number) != (NO_NUMBER, NO_NUMBER):
            raise UserError(f"{item.source}: image {item.id!r} is in the lists twice (first {first.source}); keep one")
    return united


def _read_annotations(
    root: Path, listed: dict[str, _Listed], known: list[str], chosen: list[str], annotated: bool
) -> Iterator[Annotation]:
    label_of = np.array([chosen.index(wnid) if wnid in chosen else -1 for wnid in known], np.int64)
    bare = []
    for item in listed.values():
        image = root / "Data" / "DET" / item.part / f"{item.id}.JPEG"
        if not image.is_file():
            raise UserError(f"{image}: no such image, but it is listed in {item.source}; restore it")
        xml = root / "Annotations" / "DET" / item.part / f"{item.id}.xml"
        if annotated and xml.is_file():
            found = read_annotation(xml, known)
            labels = label_of[found.labels]
            keep = labels >= 0
            yield Annotation(str(image), item.id, found.size, found.boxes[keep] + _FROM_VOC, labels[keep])
            continue
        if annotated and item.part != "train":
            raise UserError(f"{xml}: no such annotation; restore it, or say annotated=False if none is public (test)")
        bare.append(item.id)
        yield Annotation(str(image), item.id, (0, 0), np.zeros((0, 4)), np.zeros(0, np.int64))
    if annotated and bare:
        logger.warning(
            "%d of %d images have no annotation and count as images without objects (first: %s)",
            *(len(bare), len(listed), bare[0]),
        )


def _complete_sizes(annotations: list[Annotation]) -> list[Annotation]:
    missing = [a for a in annotations if 0 in a.size and len(a)]
    if missing:
        logger.warning(
            "%d of %d annotations have no image size (first: %s): read from the image headers",
            *(len(missing), len(annotations), missing[0].id),
        )
    return [replace(a, size=image_size(a.path)) if 0 in a.size else a for a in annotations]


def _lines(path: Path, remedy: str) -> Iterator[tuple[str, list[str]]]:
    """`path:number` and the words of each line that has any."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; {remedy}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError):
        raise UserError(f"{path}: not a readable UTF-8 text file; copy it again") from None
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield f"{path}:{number}", line.split()


def _deal(shares: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Deal out the images, neighbours to different halves, where images of one class (their rarest) are neighbours."""
    if shares.shape[1]:
        order = np.lexsort((random.random(len(shares)), shares.max(1), shares.argmax(1)))
    else:
        order = random.permutation(len(shares))
    pairs = random.permuted(order[: len(order) // 2 * 2].reshape(-1, 2), axis=1)
    return np.append(pairs[:, 0], order[2 * len(pairs) :]), pairs[:, 1].copy()


def _exchange(
    shares: np.ndarray, first: np.ndarray, second: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Local search: of some random pairs exchange the one that lowers the sum of squared imbalances most."""
    if not len(second):
        return first, second
    imbalance = shares[first].sum(0) - shares[second].sum(0)
    for _ in range(_ROUNDS):
        a, b = random.integers(len(first), size=_TRIALS), random.integers(len(second), size=_TRIALS)
        after = imbalance - 2 * (shares[first[a]] - shares[second[b]])
        squares = np.einsum("tk,tk->t", after, after)
        best = squares.argmin()
        if squares[best] < imbalance @ imbalance:
            imbalance = after[best]
            first[a[best]], second[b[best]] = second[b[best]], first[a[best]]
    return first, second


def _describe(counts: np.ndarray, first: np.ndarray, second: np.ndarray) -> Split:
    a, b = counts[first].sum(0), counts[second].sum(0)
    present = a + b > 0
    imbalance = np.abs(a - b)[present] / (a + b)[present] if present.any() else np.zeros(1)
    return Split(np.sort(first), np.sort(second), float(imbalance.max()), float(np.median(imbalance)))
