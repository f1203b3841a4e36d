"""ImageNet's CLS-LOC layout as image-net.org and Kaggle publish it: classes, images, and the class of each image.

    synsets, names = read_classes(root)                # in the order of their labels
    items = read_images(root, "val", synsets)          # [("ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_00000001.JPEG", 65)]

The images are in ROOT/ILSVRC/Data/CLS-LOC/{train,val,test}. Of the other files those are read that are there:

- the classes: LOC_synset_mapping.txt (Kaggle), else map_clsloc.txt of the development kit, sorted by synset, which is
  Kaggle's order too: the labels are the same;
- the lists of images: ROOT/ILSVRC/ImageSets/CLS-LOC; without one, all images of the folder (2012's archives have none);
- the classes of val: LOC_val_solution.csv (Kaggle), else the development kit's ILSVRC2012_validation_ground_truth.txt
  with map_clsloc.txt, else the xml files in ROOT/ILSVRC/Annotations/CLS-LOC/val. Those of test are unknown.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from resdet.data.image_files import find_folders, listed_stem, require_images
from resdet.data.text_files import (
    check_class_names,
    is_file,
    is_folder,
    quoted,
    read_csv,
    read_lines,
    read_text,
    whole_number,
)
from resdet.errors import UserError

UNKNOWN = -1  # label of test images, whose classes are not public
MAPPING, NUMBERS = "LOC_synset_mapping.txt", "map_clsloc.txt"
# The development kits' classes of the validation images, which are those of 2012 in all years.
ANSWERS = (
    "ILSVRC2012_validation_ground_truth.txt",
    "ILSVRC2014_clsloc_validation_ground_truth.txt",
    "ILSVRC2015_clsloc_validation_ground_truth.txt",
)
SUFFIX = ".JPEG"
_FIRST_NAME = re.compile(r"<object>.*?<name>\s*([^<\s]+)\s*</name>", re.DOTALL)

logger = logging.getLogger("resdet")


def read_classes(root: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The classes of the data set.

    Returns:
        Synsets in the order of their labels, and their human-readable names.

    Raises:
        UserError: the root has neither LOC_synset_mapping.txt nor map_clsloc.txt, or the file is malformed.
    """
    if is_file(root / MAPPING) or not is_file(root / NUMBERS):
        return read_mapping(root / MAPPING)
    rows = sorted(line.split(maxsplit=2) for _, line in read_lines(root / NUMBERS))
    synsets = tuple(row[0] for row in rows)
    check_class_names(synsets, root / NUMBERS)
    return synsets, tuple(row[-1].replace("_", " ") for row in rows)


def read_mapping(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Read LOC_synset_mapping.txt.

    Returns:
        Synsets in the order of their labels, and their human-readable names.

    Raises:
        UserError: there is no such file, it has no line, or a synset twice.
    """
    if not is_file(path):
        raise UserError(
            f"{path} is missing: it lists the classes, one 'n01440764 tench, Tinca tinca' per line; the development "
            f"kit's {NUMBERS} in its place will do"
        )
    pairs = [line.split(maxsplit=1) for _, line in read_lines(path)]
    synsets = tuple(p[0] for p in pairs)
    if not synsets:
        raise UserError(f"{path} has no line; it lists the classes, one 'n01440764 tench, Tinca tinca' per line")
    check_class_names(synsets, path)
    return synsets, tuple(p[-1] for p in pairs)


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
    numbers = _read_numbers(path)
    absent = next((name for name in classes if name not in numbers), None)
    if absent is not None:
        raise UserError(f"{path} has no line '{absent} NUMBER NAME', which is a class of the data set")
    return np.array([numbers[name] for name in classes], dtype=np.int64)


def read_stems(path: Path) -> list[str]:
    """The first words of a list of images, such as 'n01440764/n01440764_10026 1': paths below their folder.

    Raises:
        UserError: the list is missing, or a path leads out of the folder.
    """
    return [listed_stem(line.split()[0], where) for where, line in read_lines(path)]


def read_images(root: Path, image_set: str, classes: Sequence[str]) -> list[tuple[str, int]]:
    """Path below the root and label of every image of a set.

    Args:
        root: the folder that holds ILSVRC/.
        image_set: "train", "val", "test", or the name of one's own list in the form of val.
        classes: synsets in the order of their labels.

    Raises:
        UserError: a file is missing or malformed, an image is missing, or a class is not one of `classes`.
    """
    below = f"ILSVRC/Data/CLS-LOC/{image_set}"
    source = root / "ILSVRC/ImageSets/CLS-LOC" / ("train_cls.txt" if image_set == "train" else f"{image_set}.txt")
    stems = _listed(source, root / below) if is_file(source) else _found(source, root / below)
    if image_set == "test":
        return [(f"{below}/{stem}{SUFFIX}", UNKNOWN) for stem in stems]
    if image_set == "train":
        synsets = [s.split("/")[0] for s in stems]
    else:
        source, synsets = _answers(root, image_set, stems)
    label_of = {name: label for label, name in enumerate(classes)}
    unknown = next((name for name in synsets if name not in label_of), None)
    if unknown is not None:
        raise UserError(f"{source}: class {quoted(unknown)} is not in {MAPPING} or `classes`; use one release")
    return [(f"{below}/{stem}{SUFFIX}", label_of[name]) for stem, name in zip(stems, synsets, strict=True)]


def _listed(source: Path, folder: Path) -> list[str]:
    stems = read_stems(source)
    if not stems:
        raise UserError(f"{source}: no image in this list; write one 'path number' per line, the path without suffix")
    require_images([f"{folder}/{stem}{SUFFIX}" for stem in stems], source)
    if len(set(stems)) < len(stems):
        seen: set[str] = set()
        again = [stem for stem in stems if stem in seen or seen.add(stem)]  # type: ignore[func-returns-value]
        logger.warning("%s: %d images are listed twice (first: %s); list each once", source, len(again), again[0])
    return stems


def _found(source: Path, folder: Path) -> list[str]:
    """All images of a folder whose list `source` is missing, sorted; in train's they are in a folder per class."""
    parts = [f"{path.name}/" for path in find_folders(folder)] or ([""] if is_folder(folder) else [])
    names = ((part, name) for part in parts for name in os.listdir(folder / part))  # paths of a million take long
    stems = sorted(f"{part}{name[: -len(SUFFIX)]}" for part, name in names if name.endswith(SUFFIX) and name[0] != ".")
    if not stems:
        raise UserError(f"{source} is missing, and {folder} has no *{SUFFIX} either; unpack the archive of the images")
    logger.info("%s is missing: all %d images in %s are taken", source, len(stems), folder)
    return stems


def _answers(root: Path, image_set: str, stems: list[str]) -> tuple[Path, list[str]]:
    """The file or folder that has the synsets of val, or of one's own list, and that of each image."""
    solution, xmls = root / f"LOC_{image_set}_solution.csv", root / "ILSVRC/Annotations/CLS-LOC" / image_set
    if is_file(solution):
        return solution, _from_solution(solution, stems)
    kit = next((root / name for name in ANSWERS if is_file(root / name)), None) if image_set == "val" else None
    if kit is not None and (is_file(root / NUMBERS) or not is_folder(xmls)):
        return kit, _from_kit(kit, root / NUMBERS, stems)
    if is_folder(xmls):
        return xmls, [_class_in(xmls / f"{stem}.xml") for stem in stems]
    raise UserError(
        f"{solution} is missing: it holds the classes of '{image_set}'; so do xml files in {xmls}, or, of val, "
        f"{ANSWERS[0]} and {NUMBERS} of the development kit in {root}"
    )


def _from_solution(path: Path, stems: list[str]) -> list[str]:
    """From the solution file 'ImageId,PredictionString', whose predictions begin with the class."""
    answer: dict[str, str] = {}
    for where, row in read_csv(path, ("ImageId", "PredictionString")):
        words = row[1].split() if len(row) > 1 else []
        if not words:
            raise UserError(f"{where}: image {quoted(row[0])} has no class; restore its row")
        if row[0] in answer:
            raise UserError(f"{where}: image {quoted(row[0])} has two rows; keep one")
        answer[row[0]] = words[0]
    absent = next((s for s in stems if s not in answer), None)
    if absent is not None:
        raise UserError(f"{path} has no row for image {quoted(absent)}, which is one of the set's; use one release")
    return [answer[s] for s in stems]


def _from_kit(path: Path, numbers: Path, stems: list[str]) -> list[str]:
    """From the development kit, which has the class number of image k in line k."""
    synset_of = {number: synset for synset, number in _read_numbers(numbers).items()}
    answers = []
    for where, line in read_lines(path):
        number = whole_number(line)
        if number not in synset_of:
            raise UserError(f"{where}: {quoted(line)} is not a class number of {numbers}; copy both files again")
        answers.append(synset_of[number])
    found = []
    for stem in stems:
        match = re.fullmatch(r"ILSVRC2012_val_(\d{8})", stem)
        index = int(match[1]) - 1 if match else -1
        if not 0 <= index < len(answers):
            raise UserError(f"{path} has no line for image {quoted(stem)}: it has {len(answers)}, by images' numbers")
        found.append(answers[index])
    return found


def _class_in(path: Path) -> str:
    """From an image's xml file, of which nothing else is read; its first object counts, as in the solution files."""
    match = _FIRST_NAME.search(read_text(path, "restore it, or copy the development kit's answers"))
    if match is None:
        raise UserError(f"{path}: has no object, and so no class of its image; restore it")
    return match[1]


def _read_numbers(path: Path) -> dict[str, int]:
    """ILSVRC's numbers by synset; lines without a number are left out."""
    if not is_file(path):
        raise UserError(f"{path} is missing: it is data/{NUMBERS} of ILSVRC's development kit")
    rows = [line.split() for _, line in read_lines(path)]
    numbers = {row[0]: whole_number(row[1]) for row in rows if len(row) > 1}
    return {name: number for name, number in numbers.items() if number is not None}
