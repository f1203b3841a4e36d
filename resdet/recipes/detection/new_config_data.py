"""The data sets of a folder for new-config: what each is used for, its classes, its objects.

data = read_data("data/export", recognize("data/export"))
data.table                                             # of the training set, or of the whole set if it is not divided
"""

from __future__ import annotations

import copy
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from resdet.data.detection.annotations import AnnotationTable, DetectionDataset
from resdet.data.detection.class_counts import count_classes, doubts_of_classes, words_of_counts
from resdet.data.detection.coco import COCODataset
from resdet.data.detection.recognized import Recognized, Source, choose_sets, role_of, unclear_sets
from resdet.data.detection.shared_files import doubt_of_shared
from resdet.data.detection.voc import VOCDataset
from resdet.data.images import image_size, read_image, wrong_size
from resdet.errors import UserError
from resdet.report.progress import progress_bar


@dataclass(frozen=True)
class NewData:
    """The sets of a folder, read.

    Attributes:
        found: what the folder was taken for.
        train: the training set, or the only one.
        test: the set that is tested while training; None where `train` is to be split.
        classes: of all sets, VOC's in alphabetical order, others as the training set's file numbers them.
        table: the annotations of `train`, with the labels of `classes`.
        images, counts: images and objects by class (`count_classes`) of each set that could be read, by its name.
        unread: why the others could not be read; they are not used.
        unreadable: why images could not be read, by the names of the training and the test set.
        shared: what is doubtful about a test set that has images of the training set; None if it has none.
    """

    found: Recognized
    train: Source
    test: Source | None
    classes: tuple[str, ...]
    table: AnnotationTable
    images: dict[str, int]
    counts: dict[str, dict[str, int]]
    unread: dict[str, str]
    unreadable: dict[str, list[str]]
    shared: str | None

    def notes(self, config: str) -> list[str]:
        """Lines for people: what each set is used for, the classes with their objects, what looks like a mistake.

        Args:
            config: path of the config, for the command that measures on a set that is not used.
        """
        sources = self.found.sets
        train = next(name for name, source in sources.items() if source is self.train)
        lines = [self._use_of(name, config) for name in sources] if len(sources) > 1 else []
        unclear = unclear_sets(self.found)
        lines += [f"Check the sets: {doubt}" for doubt in (unclear, self.shared) if doubt is not None]
        lines += [self._unreadable_in(name) for name, errors in self.unreadable.items() if errors]
        both = " (of both parts)" if len(sources) == 1 else ""  # a set that is split
        lines.append(f"Objects by class{both}: {words_of_counts(self.counts[train])}")
        others = {name: counts for name, counts in self.counts.items() if name != train}
        return [*lines, *(f"Check the classes: {text}" for text in doubts_of_classes(self.counts[train], others))]

    def _unreadable_in(self, name: str) -> str:
        errors = self.unreadable[name]
        return (
            f"Check the images of set {name}: {len(errors)} of {self.images[name]} cannot be read, first: {errors[0]}; "
            "with data.skip_unreadable=True a training leaves them out, a test does not"
        )

    def _use_of(self, name: str, config: str) -> str:
        source = self.found.sets[name]
        if name in self.unread:
            return f"Set {name}: not used, and cannot be read: {self.unread[name]}"
        images = f"Set {name}: {self.images[name]} image{'' if self.images[name] == 1 else 's'}"
        if source in (self.train, self.test):
            return f"{images}, {'data.train' if source is self.train else 'data.test, measured while training'}"
        if role_of(name) != "test":
            return f"{images}, not used"
        return f"{images}, not used while training; measure on them at the end: {measuring(source, config)}"


def evaluation_of(source: Source) -> str:
    """The command that measures with the rules of the set's format."""
    return "eval-coco" if source.kind is COCODataset else "eval-voc"


def measuring(source: Source, config: str) -> str:
    """The command that measures on a set after the training.

    Args:
        source: the set.
        config: path of the config.
    """
    key, value = next(item for item in source.values.items() if item[0] != "root")
    option = shlex.quote(f"data.test.{key}={value}")
    checkpoint = f"runs/{Path(config).stem}/last.pth"
    return f"resdet {evaluation_of(source)} {config} --checkpoint {checkpoint} --cfg-options {option}"


def read_data(path: str | Path, found: Recognized) -> NewData:
    """Read all sets of a folder.

    Args:
        path: the folder, for messages.
        found: what it was taken for.

    Raises:
        UserError: the reader refuses a record of the training or the test set, or an image is of another size than its
            annotation says, as it would be refused in a training; the message names the repair.
    """
    train, test = choose_sets(found)
    read: dict[str, DetectionDataset] = {}
    unread: dict[str, str] = {}
    unreadable: dict[str, list[str]] = {}
    for name, source in found.sets.items():
        try:
            read[name] = source.open(**({"classes": None} if source.kind is VOCDataset else {}))
            if source in (train, test):
                unreadable[name] = _check_sizes(read[name], name)
        except UserError as error:
            if source in (train, test):
                raise UserError(
                    f"{error} (resdet inspect-data {path} lists all such problems, --fix OUT writes repaired "
                    "annotations)"
                ) from None
            unread[name] = str(error)
    learned = next(read[name] for name, source in found.sets.items() if source is train)
    classes = learned.classes
    if train.kind is VOCDataset:
        classes = tuple(sorted({name for dataset in read.values() for name in dataset.classes}))
    tested = next((name for name, source in found.sets.items() if source is test), None)
    shared = None
    if tested is not None:
        shared = doubt_of_shared(learned.table.paths.tolist(), read[tested].table.paths.tolist(), tested)
    return NewData(
        found, train, test, classes, _relabelled(learned, classes),
        {name: len(dataset) for name, dataset in read.items()},
        {name: _counts(dataset, classes) for name, dataset in read.items()}, unread, unreadable, shared,
    )  # fmt: skip


def _check_sizes(dataset: DetectionDataset, name: str) -> list[str]:
    """Compare the sizes of annotations with the headers of the images; a training does so image by image.

    Returns:
        Why images cannot be read, which a training may skip.
    """
    paths, unreadable = dataset.table.paths.tolist(), []
    with progress_bar(paths, f"{name}: reading image headers", console=Console(stderr=True)) as shown:
        for path, written in zip(shown, map(tuple, dataset.table.sizes.tolist()), strict=True):
            try:
                found = _size_of(path)
            except UserError as error:
                unreadable.append(str(error))
                continue
            if found != written:
                raise wrong_size(path, found, written)
    return unreadable


def _size_of(path: str) -> tuple[int, int]:
    """(height, width) of an image."""
    try:
        return image_size(path)
    except UserError:  # Pillow does not read all that OpenCV does
        height, width = read_image(path).shape[:2]
        return height, width


def _relabelled(dataset: DetectionDataset, classes: tuple[str, ...]) -> AnnotationTable:
    """The annotations with labels of `classes`, which has all of the data set's."""
    table = copy.copy(dataset.table)
    table.labels = np.array([classes.index(name) for name in dataset.classes], np.int64)[table.labels]
    return table


def _counts(dataset: DetectionDataset, classes: tuple[str, ...]) -> dict[str, int]:
    """Objects by class: of all `classes`, and of others that the set has objects of."""
    counts = count_classes(dataset)
    others = {name: count for name, count in counts.items() if name not in classes and count}
    return {**{name: counts.get(name, 0) for name in classes}, **others}
