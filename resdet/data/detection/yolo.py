"""YOLO's txt format: a text file per image, a line per object.

    train = YOLODataset("data/photos", "train")              # images/train/**.jpg, labels/train/**.txt, data.yaml
    both = YOLODataset("data/photos", ["train", "val"], classes=["cat", "dog"])
    listed = YOLODataset("data/photos", "train.txt")         # as in Darknet: a file that lists the images

A line is `class cx cy w h`, in fractions of the image after its EXIF rotation. A line with more numbers is a polygon,
`class x1 y1 x2 y2 x3 y3 ...`, of which the enclosing box is used. An image without a txt file has no objects.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path, PurePath

import numpy as np

from resdet.data.detection.annotations import Annotation, AnnotationTable, DetectionDataset, clean_boxes
from resdet.data.images import image_size
from resdet.data.text_files import finite_number, read_text
from resdet.errors import UserError

Row = tuple[int, float, float, float, float]  # label and corners x1, y1, x2, y2 in fractions of the image

_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")  # compared in lower case
_ROUNDING = 1e-6  # files have six digits: corners this close to the border are moved to it without a warning
_REMEDY = "check the root and the name of the set"  # for a missing file
_TOLERANCE = 0.01  # numbers further outside of 0..1 are refused: they are pixels, or mistakes

logger = logging.getLogger("resdet")


class YOLODataset(DetectionDataset):
    """One or several image sets in YOLO's format, concatenated.

    Args:
        root: the folder that holds images/ and labels/.
        image_sets: one or several of
            - a folder in ROOT/images, read recursively, with its txt files at the same place in ROOT/labels; "." for
              all of ROOT/images;
            - a folder in ROOT with images/ and labels/ of its own;
            - "<name>.txt", a file in ROOT that lists images by their paths below ROOT. The txt file of a listed image
              is found by replacing the last folder "images" of its path by "labels"; without one it is beside the
              image.
        classes: names in the order of their labels; None takes the lines of ROOT/classes.txt, else the `names` of
            ROOT/data.yaml.

    An image's id is its path below ROOT without "images" and suffix, such as "train/001"; ids must be unique. Sizes are
    read from the image headers. Boxes are clipped to the image, boxes without area and repeated lines are dropped,
    images without a txt file are kept; each of these gives one warning with a count, on the logger "resdet".

    Raises:
        UserError: a missing folder or image, a malformed line, an unknown class, an image twice.
    """

    def __init__(self, root: str | Path, image_sets: str | Sequence[str], classes: Sequence[str] | None = None) -> None:
        root = Path(root)
        names = _read_names(root) if classes is None else tuple(classes)
        image_sets = [image_sets] if isinstance(image_sets, str) else image_sets
        images = _by_id([image for image_set in image_sets for image in _list_images(root, image_set)])
        rows = [_read_rows(root / _label_path(image), len(names)) for image in images.values()]
        _warn_of_missing(root, images)
        _warn_of_repeated(rows, list(images))
        annotations = [_annotation(root / images[i], i, own) for i, own in zip(images, rows, strict=True)]
        super().__init__(names, AnnotationTable(clean_boxes(annotations)))


def _list_images(root: Path, image_set: str) -> list[PurePath]:
    """The images of one set, by their paths below the root."""
    source, images = _find_images(root, image_set)
    if not images:
        raise UserError(f"{source}: no image in this image set; put .jpg, .jpeg or .png files there, or list them")
    folders = [root / _label_path(image).parent for image in images]
    if not any(folder.is_dir() for folder in set(folders)):
        raise UserError(
            f"{folders[0]}: no such folder of labels; put the txt files there (an empty folder: no objects)"
        )
    return images


def _find_images(root: Path, image_set: str) -> tuple[Path, list[PurePath]]:
    if image_set.endswith(".txt"):
        lines = [line.strip() for line in read_text(root / image_set, _REMEDY).splitlines()]
        return root / image_set, [_below(root, line, root / image_set) for line in lines if line]
    folders = [root / "images" / image_set, root / image_set / "images"]
    folder = next((f for f in folders if f.is_dir()), None)
    if folder is None:
        raise UserError(f"{folders[0]}: no such folder; put the images of the set {image_set!r} there")
    found = (p.relative_to(root) for p in folder.rglob("*") if p.suffix.lower() in _IMAGE_SUFFIXES)
    # macOS writes files such as ._photo.jpg on foreign file systems; they are not images.
    return folder, sorted((p for p in found if not p.name.startswith(".")), key=lambda p: p.as_posix())


def _below(root: Path, line: str, source: Path) -> PurePath:
    path = root / line
    if not path.is_relative_to(root) or ".." in path.relative_to(root).parts:
        raise UserError(f"{source}: {line} is not below {root}; list the images by their paths below the root")
    return path.relative_to(root)


def _by_id(images: Sequence[PurePath]) -> dict[str, PurePath]:
    found: dict[str, PurePath] = {}
    for image in images:
        image_id = _instead_of_images(image, ()).with_suffix("").as_posix()
        first = found.setdefault(image_id, image)
        if first is not image:
            raise UserError(f"{image}: image {image_id!r} is in the chosen sets twice (first {first}); keep one")
    return found


def _label_path(image: PurePath) -> PurePath:
    return _instead_of_images(image, ("labels",)).with_suffix(".txt")


def _instead_of_images(path: PurePath, folders: tuple[str, ...]) -> PurePath:
    """Replace the last folder "images" of a path by `folders`; without one the path is returned unchanged."""
    parts = path.parts
    places = [k for k, part in enumerate(parts[:-1]) if part == "images"]
    return PurePath(*parts[: places[-1]], *folders, *parts[places[-1] + 1 :]) if places else path


def _read_rows(path: Path, num_classes: int) -> list[Row]:
    if not path.is_file():
        return []
    lines = enumerate(read_text(path, _REMEDY).splitlines(), 1)
    return [_parse(line, num_classes, f"{path}:{number}") for number, line in lines if line.strip()]


def _parse(line: str, num_classes: int, where: str) -> Row:
    words = line.split()
    numbers = [finite_number(word, where, "correct the line") for word in words]
    if len(numbers) < 5:
        raise UserError(f"{where}: {line.strip()!r} is not 'class cx cy w h'; complete or remove the line")
    if len(numbers) % 2 == 0:
        counted = f"{len(numbers)} numbers are neither 'class cx cy w h' nor 'class' and the x y pairs of a polygon"
        raise UserError(f"{where}: {counted}; correct or remove the line")
    label, values = numbers[0], np.array(numbers[1:])
    if label not in range(num_classes):
        remedy = "correct the line, or complete the classes"
        raise UserError(f"{where}: class {words[0]} is not one of 0..{num_classes - 1}; {remedy}")
    outside = np.flatnonzero((values < -_TOLERANCE) | (values > 1 + _TOLERANCE))
    if len(outside):
        remedy = "divide x and w by the image's width, y and h by its height"
        raise UserError(f"{where}: {words[1 + outside[0]]} is not a fraction of the image, 0..1; {remedy}")
    corners = _corners(values)
    inside = corners.clip(0, 1)
    x1, y1, x2, y2 = np.where(np.abs(corners - inside) <= _ROUNDING, inside, corners).tolist()
    return int(label), x1, y1, x2, y2


def _corners(values: np.ndarray) -> np.ndarray:
    """Convert (cx, cy, w, h), or the points of a polygon, to (x1, y1, x2, y2)."""
    if len(values) == 4:
        center, half = values[:2], values[2:] / 2
        return np.concatenate([center - half, center + half])
    points = values.reshape(-1, 2)
    return np.concatenate([points.min(0), points.max(0)])


def _annotation(path: Path, image_id: str, rows: Sequence[Row]) -> Annotation:
    """Make the annotation of an image, without repeated objects."""
    height, width = image_size(path)
    table = np.array(list(dict.fromkeys(rows)), np.float64).reshape(-1, 5)
    return Annotation(str(path), image_id, (height, width), table[:, 1:] * [width, height, width, height], table[:, 0])


def _warn_of_missing(root: Path, images: dict[str, PurePath]) -> None:
    missing = [i for i, image in images.items() if not (root / _label_path(image)).is_file()]
    if missing:
        logger.warning(
            "%d of %d images have no txt file (first: %s) and count as images without objects",
            *(len(missing), len(images), missing[0]),
        )


def _warn_of_repeated(rows: Sequence[Sequence[Row]], ids: Sequence[str]) -> None:
    repeated = [len(own) - len(set(own)) for own in rows]
    if any(repeated):
        first = ids[int(np.flatnonzero(repeated)[0])]
        logger.warning("%d objects repeat another of their image and were dropped (first: %s)", sum(repeated), first)


def _read_names(root: Path) -> tuple[str, ...]:
    lines, settings = root / "classes.txt", root / "data.yaml"
    if lines.is_file():
        source, names = lines, [line.strip() for line in read_text(lines, _REMEDY).rstrip().splitlines()]
    elif settings.is_file():
        source, names = settings, _names_of_yaml(settings)
    else:
        raise UserError(f"{root}: neither classes.txt nor data.yaml is there; write one, or give the classes")
    if not names or not all(names) or len(set(names)) < len(names):
        raise UserError(f"{source}: names of classes are missing, empty or repeated; correct them")
    return tuple(names)


def _names_of_yaml(path: Path) -> list[str]:
    import yaml  # type: ignore[import-untyped]  # imported here: only data.yaml needs it; it is installed with mmengine

    try:
        content = yaml.safe_load(read_text(path, _REMEDY))
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML ({' '.join(str(error).split())}); write it again") from None
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict) and set(names) == set(range(len(names))):
        names = [names[label] for label in range(len(names))]
    if not isinstance(names, list):
        raise UserError(f"{path}: has no 'names' as a list or as '0: name'; add them, or give the classes")
    unclear = [name for name in names if not isinstance(name, str)]  # YAML reads an unquoted no as False
    if unclear:
        raise UserError(f"{path}: YAML does not read the name {unclear[0]!r} as text; put it in quotes")
    return [str(name) for name in names]
