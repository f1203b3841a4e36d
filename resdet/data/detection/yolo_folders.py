"""The folders images/ and labels/ of a YOLO data set, in whatever case tools on Windows write them.

places = Places(Path("data/photos"))
places.of(PurePath("images/train"))             # Place(labels=PurePath("labels/train"), id=PurePath("train"))
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

from resdet.data.detection.folder_content import has_annotated_image, has_images, has_images_below
from resdet.data.detection.paired_folders import annotations_of, paired_folders
from resdet.data.detection.recognized import divided_folders
from resdet.data.image_files import find_folders, folder_named
from resdet.data.text_files import is_folder

IMAGES, LABELS = "images", "labels"
LISTS = ("classes.txt", "obj.names")  # a class name per line; the second is Darknet's and CVAT's

_NO_LABELS = ("readme", "train.", "val.", "valid.", "test.", "images.")  # beginnings of names of txt files


class Place(NamedTuple):
    """What belongs to the images of one folder. Both paths are below the data set's root."""

    labels: PurePath  # folder of their txt files
    id: PurePath  # what their ids begin with: the folder of the images without "images"


class Places:
    """Finds the labels of folders of images; each folder is looked at once.

    One folder "images" of the path is replaced by "labels", the last for which there are labels: a set may be called
    images too. Without such a folder the txt files are beside the images, or in a folder of nearly the same name
    (paired_folders.py).

    Args:
        root: of the data set.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[PurePath, Place] = {}

    def of(self, folder: PurePath) -> Place:
        """The place of the images directly in `folder`, a path below the root."""
        if folder not in self._known:
            self._known[folder] = self._find(folder)
        return self._known[folder]

    def _find(self, folder: PurePath) -> Place:
        parts = folder.parts
        places = [self._replaced(parts, k) for k in reversed(range(len(parts))) if parts[k].lower() == IMAGES]
        with_labels = [place for place, _ in places if is_folder(self._root / place.labels)]
        with_others = [place for place, labels in places if is_folder(labels)]  # labels of other subfolders
        if with_labels or with_others:
            return (with_labels or with_others)[0]
        beside = Place(folder, places[0][0].id if places else folder)
        if has_labels(self._root / folder):
            return beside
        paired = (self._paired(parts, k, beside.id) for k in reversed(range(len(parts))))
        return next((place for place in paired if place is not None), places[0][0] if places else beside)

    def _paired(self, parts: Sequence[str], at: int, own_id: PurePath) -> Place | None:
        """The place where part `at` of a path is "train_images", say, and "train_labels" is beside it."""
        labels = annotations_of(self._root.joinpath(*parts[: at + 1]), ".txt")
        return None if labels is None else Place(labels.relative_to(self._root).joinpath(*parts[at + 1 :]), own_id)

    def _replaced(self, parts: Sequence[str], at: int) -> tuple[Place, Path]:
        """The place where part `at` of a path is the folder of images, and its folder of all labels."""
        labels = folder = folder_named(self._root.joinpath(*parts[:at]), LABELS)
        for name in parts[at + 1 :]:
            folder = folder_named(folder, name)
        return Place(folder.relative_to(self._root), PurePath(*parts[:at], *parts[at + 1 :])), labels


def image_folders(root: Path, image_set: str) -> tuple[Path, Path]:
    """Where the images of a set are, if they are not beside their txt files: ROOT/images/SET and ROOT/SET/images."""
    return folder_named(root, IMAGES) / image_set, folder_named(root / image_set, IMAGES)


def sets_with_images(root: Path) -> list[str]:
    """The sets of the folders in a root that have images/ of their own, by their names for `image_folders`.

    A folder FOLDER/images that is divided itself has the sets FOLDER/images/train, FOLDER/images/val.
    """
    found = []
    for folder in find_folders(root):
        images = folder_named(folder, IMAGES)
        if not is_folder(images) or _holds_all_sets(folder):
            continue
        found += [f.relative_to(root).as_posix() for f in sets_inside(images) or [folder]]
    return found


def sets_inside(images: Path) -> list[Path]:
    """The folders of images in a folder of images that are sets of it; [] if it is not divided.

    Raises:
        UserError: images lie beside the sets.
    """
    return divided_folders([f for f in find_folders(images) if has_images_below(f)], has_images(images))


def sets_beside_folders_of_labels(root: Path) -> list[str]:
    """The paths below a root of the sets whose labels are in a folder of nearly the same name.

    These are train_images beside train_labels, or train/img beside train/ann.

    Raises:
        UserError: images lie beside the sets that such a folder of images is divided into.
    """
    paired = [images for folder in (root, *find_folders(root)) for images in paired_folders(folder, ".txt")]
    return [f.relative_to(root).as_posix() for images in paired for f in sets_inside(images) or [images]]


def sets_beside_labels(root: Path) -> list[str]:
    """The names of the sets in a root whose images and txt files lie side by side; [] if it is not divided.

    Raises:
        UserError: images lie beside the sets.
    """
    folders = [f for f in find_folders(root) if has_images_below(f)]
    side_by_side = [f for f in folders if has_images(f) and has_labels(f)]
    divided = divided_folders(side_by_side, has_annotated_image(root, ".txt"))
    return [f.name for f in folders] if divided else []


def label_folders(root: Path) -> list[Path]:
    """The folders of labels of all sets: ROOT/labels, labels/ in each folder of the root, ROOT/train_labels."""
    folders = [folder_named(root, LABELS), *(folder_named(folder, LABELS) for folder in find_folders(root))]
    paired = [annotations_of(images, ".txt") for images in paired_folders(root, ".txt")]
    return list(dict.fromkeys(folder for folder in (*folders, *paired) if folder is not None and is_folder(folder)))


def has_labels(folder: Path) -> bool:
    """Whether a txt file that can be a label lies directly in a folder."""
    return is_folder(folder) and any(
        path.suffix.lower() == ".txt" and not is_list(path) for path in folder.iterdir() if not path.is_dir()
    )


def is_list(path: Path) -> bool:
    """Whether a txt file beside images is no label: a list of names or images, or a README of an export."""
    return path.name in LISTS or path.name.lower().startswith(_NO_LABELS)


def _holds_all_sets(folder: Path) -> bool:
    """Whether a folder "images" or "labels" is that of all sets, and not a set of this name with labels of its own."""
    return folder.name.lower() in (IMAGES, LABELS) and not is_folder(folder_named(folder, LABELS))
