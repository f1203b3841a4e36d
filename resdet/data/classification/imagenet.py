"""Images with one class each: the ImageNet CLS-LOC layout as published, or plain folders of classes.

    train = ImageNetDataset("data/imagenet", "train")
    train.classes[0], train.names[0]     # 'n01440764', 'tench, Tinca tinca'
    image, label = train[0]              # uint8 [H, W, 3] RGB, int

CLS-LOC: ROOT/ILSVRC/{Data,ImageSets}/CLS-LOC, the classes in the order of ROOT/LOC_synset_mapping.txt, the labels of
val from ROOT/LOC_val_solution.csv, those of test unknown.
Folders: ROOT/{train,val}/CLASS/*.jpg, the classes in alphabetical order, or those of `classes`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from resdet.data.image_files import find_folders, find_images, require_images, suffixes_in_words
from resdet.data.images import read_image
from resdet.data.text_files import check_class_names, is_file, is_folder, quoted, read_csv, read_lines, whole_number
from resdet.errors import UserError, did_you_mean

UNKNOWN = -1  # label of test images, whose classes are not public

logger = logging.getLogger("resdet")


class ImageNetDataset:
    """Images with one class each; paths and labels are flat arrays, which forked workers share without copying.

    Args:
        root: the folder that holds ILSVRC/, or train/ and val/.
        image_set: "train", "val", or in CLS-LOC "test".
        decode_to: decode large photographs at 1/2, 1/4 or 1/8 of their size while the short side keeps at least this
            many pixels (data/images.read_image): faster, with slightly different pixels. None: full size.
        classes: names in the order of their labels, the same for all sets; a set may lack some of them, and images of
            other classes are an error. None takes the mapping's synsets, or the folders' names in alphabetical order.

    Hidden files and folders are left out. Pictures of other formats are left out and images that a list names twice
    are kept, each with one warning that counts them, on the logger "resdet".

    Attributes:
        classes: K names, wnids in CLS-LOC.
        names: K human-readable names.
        paths: str [N], below the root.
        labels: int64 [N]; `UNKNOWN` for test.

    Raises:
        UserError: a folder, list, image or solution file is missing, or an image is of a class that `classes` or the
            mapping does not have.
    """

    def __init__(
        self, root: str | Path, image_set: str, decode_to: int | None = None, classes: Sequence[str] | None = None
    ) -> None:
        self.root, self.decode_to = Path(root), decode_to
        self.classes: tuple[str, ...] = () if classes is None else tuple(classes)
        check_class_names(self.classes, "classes")
        if is_folder(self.root / "ILSVRC"):
            known, names = read_mapping(self.root / "LOC_synset_mapping.txt")
            self.classes = self.classes or known
            self.names = _names_of(self.classes, dict(zip(known, names, strict=True)), self.root)
            items = _read_cls_loc(self.root, image_set, {name: i for i, name in enumerate(self.classes)})
        else:
            self.classes, items = _read_folders(self.root / image_set, self.classes)
            self.names = self.classes
        self.paths = np.array([path for path, _ in items])
        self.labels = np.array([label for _, label in items], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        """Decode image `index`: uint8 [H, W, 3], RGB, and its label.

        Raises:
            UserError: the image is missing or unreadable.
        """
        return read_image(self.root / str(self.paths[index]), self.decode_to), int(self.labels[index])

    def image_id(self, index: int) -> str:
        """The image's path below the root."""
        return str(self.paths[index])


def first_synonym(name: str) -> str:
    """The first of several names: "tench" of "tench, Tinca tinca"."""
    return name.split(",")[0]


def read_ilsvrc_ids(path: Path, classes: Sequence[str]) -> np.ndarray:
    """ILSVRC's class numbers, which its submissions use; their order is not that of the synsets.

    Args:
        path: the development kit's map_clsloc.txt, 'n02119789 1 kit_fox' per line.
        classes: K synsets.

    Returns:
        int64 [K].

    Raises:
        UserError: there is no such file, or it lacks a class.
    """
    if not is_file(path):
        raise UserError(f"{path} is missing: it is data/map_clsloc.txt of ILSVRC's development kit")
    rows = [line.split() for _, line in read_lines(path)]
    numbers = {row[0]: whole_number(row[1]) for row in rows if len(row) > 1}
    absent = next((name for name in classes if numbers.get(name) is None), None)
    if absent is not None:
        raise UserError(f"{path} has no line '{absent} NUMBER NAME', which is a class of the data set")
    return np.array([numbers[name] for name in classes], dtype=np.int64)


def read_mapping(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Read LOC_synset_mapping.txt.

    Returns:
        Synsets in the order of their labels, and their human-readable names.

    Raises:
        UserError: there is no such file, it has no line, or a synset twice.
    """
    if not is_file(path):
        raise UserError(f"{path} is missing: it lists the classes, one 'n01440764 tench, Tinca tinca' per line")
    pairs = [line.split(maxsplit=1) for _, line in read_lines(path)]
    synsets = tuple(p[0] for p in pairs)
    if not synsets:
        raise UserError(f"{path} has no line; it lists the classes, one 'n01440764 tench, Tinca tinca' per line")
    check_class_names(synsets, path)
    return synsets, tuple(p[-1] for p in pairs)


def read_stems(path: Path) -> list[str]:
    """The first words of a list of images, such as 'n01440764/n01440764_10026 1': paths below their folder.

    Raises:
        UserError: the list is missing, or a path leads out of the folder.
    """
    stems = []
    for where, line in read_lines(path):
        stem = line.split()[0]
        if ".." in stem.split("/") or stem.startswith("/"):
            raise UserError(f"{where}: {quoted(stem)} is not below the folder of images; list paths below it")
        stems.append(stem)
    return stems


def _names_of(classes: Sequence[str], known: dict[str, str], root: Path) -> tuple[str, ...]:
    absent = next((name for name in classes if name not in known), None)
    if absent is not None:
        hint = did_you_mean(absent, known)
        raise UserError(f"{root / 'LOC_synset_mapping.txt'} has no class {quoted(absent)}{hint}; correct `classes`")
    return tuple(known[name] for name in classes)


def _read_cls_loc(root: Path, image_set: str, class_index: dict[str, int]) -> list[tuple[str, int]]:
    lists = root / "ILSVRC" / "ImageSets" / "CLS-LOC"
    path = lists / ("train_cls.txt" if image_set == "train" else f"{image_set}.txt")
    if not is_file(path):
        raise UserError(f"{path} is missing: it lists the images of '{image_set}'; unpack ImageSets from the archive")
    stems = read_stems(path)
    if not stems:
        raise UserError(f"{path}: no image in this list; write one 'path number' per line, the path without suffix")
    folder = f"ILSVRC/Data/CLS-LOC/{image_set}"
    require_images([f"{root}/{folder}/{stem}.JPEG" for stem in stems], path)
    _tell_repeated(stems, path)
    if image_set == "test":
        return [(f"{folder}/{stem}.JPEG", UNKNOWN) for stem in stems]
    wnids = [s.split("/")[0] for s in stems] if image_set == "train" else _solution(root, image_set, stems)
    unknown = next((w for w in wnids if w not in class_index), None)
    if unknown is not None:
        raise UserError(
            f"{path}: class {quoted(unknown)} is not in LOC_synset_mapping.txt or `classes`; use one release"
        )
    return [(f"{folder}/{stem}.JPEG", class_index[w]) for stem, w in zip(stems, wnids, strict=True)]


def _tell_repeated(stems: list[str], path: Path) -> None:
    if len(set(stems)) == len(stems):
        return
    seen: set[str] = set()
    again = [stem for stem in stems if stem in seen or seen.add(stem)]  # type: ignore[func-returns-value]
    logger.warning("%s: %d images are listed twice (first: %s); list each once", path, len(again), again[0])


def _solution(root: Path, image_set: str, stems: list[str]) -> list[str]:
    """The synset of each image, from the solution file 'ImageId,PredictionString', whose rows begin with it."""
    path = root / f"LOC_{image_set}_solution.csv"
    if not is_file(path):
        raise UserError(f"{path} is missing: it holds the classes of '{image_set}'")
    answer: dict[str, str] = {}
    for where, row in read_csv(path, ("ImageId", "PredictionString")):
        words = row[1].split() if len(row) > 1 else []
        if not words:
            raise UserError(f"{where}: image {quoted(row[0])} has no class; restore its row")
        answer[row[0]] = words[0]
    absent = next((s for s in stems if s not in answer), None)
    if absent is not None:
        raise UserError(f"{path} has no row for image {quoted(absent)}, which ImageSets/CLS-LOC/{image_set}.txt lists")
    return [answer[s] for s in stems]


def _read_folders(folder: Path, classes: tuple[str, ...]) -> tuple[tuple[str, ...], list[tuple[str, int]]]:
    """The classes, and path and label of each image of a folder of classes; `classes` () takes all folders."""
    found = [path.name for path in find_folders(folder)]
    if not found:
        raise UserError(f"{folder} has no class folders: expected {folder}/CLASS/*.jpg, or ILSVRC/ beside it")
    check_class_names(found, folder)
    foreign = next((name for name in found if classes and name not in classes), None)
    if foreign is not None:
        hint = did_you_mean(foreign, classes)
        raise UserError(f"{folder / foreign} is not one of `classes`{hint}; add it to them, or move the folder away")
    items = []
    for label, name in enumerate(classes or found):
        files = find_images(folder / name) if name in found else []
        if not files and not classes:
            raise UserError(
                f"{folder / name} holds no images ({suffixes_in_words()}); add some, remove it, or give `classes`"
            )
        items += [(path.relative_to(folder.parent).as_posix(), label) for path in files]
    if not items:
        raise UserError(f"{folder} holds no image of `classes`; put some there")
    return classes or tuple(found), items
