"""Images with one class each: the ImageNet CLS-LOC layout as published, or plain folders of classes.

    train = ImageNetDataset("data/imagenet", "train")
    train.classes[0], train.names[0]     # 'n01440764', 'tench, Tinca tinca'
    image, label = train[0]              # uint8 [H, W, 3] RGB, int

CLS-LOC: ROOT/ILSVRC/{Data,ImageSets}/CLS-LOC, the classes in the order of ROOT/LOC_synset_mapping.txt, the labels of
val from ROOT/LOC_val_solution.csv, those of test unknown.
Folders: ROOT/{train,val}/CLASS/*.jpg, the classes in alphabetical order.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from resdet.data.images import read_image
from resdet.errors import UserError

UNKNOWN = -1  # label of test images, whose classes are not public
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


class ImageNetDataset:
    """Images with one class each; paths and labels are flat arrays, which forked workers share without copying.

    Args:
        root: the folder that holds ILSVRC/, or train/ and val/.
        image_set: "train", "val", or in CLS-LOC "test".
        decode_to: decode large photographs at 1/2, 1/4 or 1/8 of their size while the short side keeps at least this
            many pixels (data/images.read_image): faster, with slightly different pixels. None: full size.

    Attributes:
        classes: K names, wnids in CLS-LOC.
        names: K human-readable names.
        paths: str [N], below the root.
        labels: int64 [N]; `UNKNOWN` for test.

    Raises:
        UserError: a folder, list or solution file is missing, or refers to a class that the mapping does not have.
    """

    def __init__(self, root: str | Path, image_set: str, decode_to: int | None = None) -> None:
        self.root, self.decode_to = Path(root), decode_to
        if (self.root / "ILSVRC").is_dir():
            self.classes, self.names = read_mapping(self.root / "LOC_synset_mapping.txt")
            items = _read_cls_loc(self.root, image_set, {name: i for i, name in enumerate(self.classes)})
        else:
            self.classes, items = _read_folders(self.root / image_set)
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
    if not path.is_file():
        raise UserError(f"{path} is missing: it is data/map_clsloc.txt of ILSVRC's development kit")
    rows = [line.split() for line in path.read_text().splitlines()]
    ids = {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}
    absent = next((name for name in classes if name not in ids), None)
    if absent is not None:
        raise UserError(f"{path} has no line '{absent} NUMBER NAME', which is a class of the data set")
    return np.array([ids[name] for name in classes], dtype=np.int64)


def read_mapping(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Read LOC_synset_mapping.txt.

    Returns:
        Synsets in the order of their labels, and their human-readable names.

    Raises:
        UserError: there is no such file.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing: it lists the classes, one 'n01440764 tench, Tinca tinca' per line")
    pairs = [line.split(maxsplit=1) for line in path.read_text().splitlines() if line.strip()]
    return tuple(p[0] for p in pairs), tuple(p[-1] for p in pairs)


def _read_cls_loc(root: Path, image_set: str, class_index: dict[str, int]) -> list[tuple[str, int]]:
    lists = root / "ILSVRC" / "ImageSets" / "CLS-LOC"
    path = lists / ("train_cls.txt" if image_set == "train" else f"{image_set}.txt")
    if not path.is_file():
        raise UserError(f"{path} is missing: it lists the images of '{image_set}'; unpack ImageSets from the archive")
    stems = [line.split()[0] for line in path.read_text().splitlines() if line.strip()]
    folder = f"ILSVRC/Data/CLS-LOC/{image_set}"
    if image_set == "test":
        return [(f"{folder}/{stem}.JPEG", UNKNOWN) for stem in stems]
    wnids = [s.split("/")[0] for s in stems] if image_set == "train" else _solution(root, image_set, stems)
    unknown = next((w for w in wnids if w not in class_index), None)
    if unknown is not None:
        raise UserError(f"{path}: class '{unknown}' is not in LOC_synset_mapping.txt; the two must be of one release")
    return [(f"{folder}/{stem}.JPEG", class_index[w]) for stem, w in zip(stems, wnids, strict=True)]


def _solution(root: Path, image_set: str, stems: list[str]) -> list[str]:
    """The synset of each image, from the solution file 'ImageId,PredictionString', whose rows begin with it."""
    path = root / f"LOC_{image_set}_solution.csv"
    if not path.is_file():
        raise UserError(f"{path} is missing: it holds the classes of '{image_set}'")
    answer: dict[str, str] = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file)
        if [cell.strip() for cell in next(rows, [])] != ["ImageId", "PredictionString"]:
            raise UserError(f"{path}: the first line is not 'ImageId,PredictionString'; use the file as published")
        for row in filter(None, rows):
            words = row[1].split() if len(row) > 1 else []
            if not words:
                raise UserError(f"{path}:{rows.line_num}: image '{row[0]}' has no class; restore its row")
            answer[row[0]] = words[0]
    absent = next((s for s in stems if s not in answer), None)
    if absent is not None:
        raise UserError(f"{path} has no row for image '{absent}', which ImageSets/CLS-LOC/{image_set}.txt lists")
    return [answer[s] for s in stems]


def _read_folders(folder: Path) -> tuple[tuple[str, ...], list[tuple[str, int]]]:
    classes = sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    if not classes:
        raise UserError(f"{folder} has no class folders: expected {folder}/CLASS/*.jpg, or ILSVRC/ beside it")
    items = []
    for label, name in enumerate(classes):
        files = sorted(p for p in (folder / name).rglob("*") if p.suffix.lower() in SUFFIXES)
        if not files:
            raise UserError(f"{folder / name} holds no images ({', '.join(sorted(SUFFIXES))}); add some or remove it")
        items += [(p.relative_to(folder.parent).as_posix(), label) for p in files]
    return tuple(classes), items
