"""PASCAL VOC: annotations in and out, data sets of one or several years, and the devkit's comp4 result files.

    dataset = VOCDataset("data/VOCdevkit", [("2007", "trainval"), ("2012", "trainval")])
    fruit = VOCDataset("data/VOCdevkit", [("fruit", "test")], classes=None)         # classes from the annotations
    write_comp4("results", "test", dataset.classes, ids, detections)                # comp4_det_test_<class>.txt

The layout is the devkit's: ROOT/VOC<year>/{Annotations,JPEGImages,ImageSets/Main}; a year may be any suffix.
This file alone knows VOC's pixels: 1-based and inclusive. The reader makes them continuous by (xmin - 1, ymin - 1,
xmax, ymax), the writers turn them back, and writer(reader(file)) gives the file's own numbers.
"""

from __future__ import annotations

import logging
import re
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import numpy as np

from resdet.data.detection.annotations import Annotation, AnnotationTable, DetectionDataset, clean_boxes
from resdet.data.images import image_size
from resdet.errors import UserError
from resdet.metrics.voc_ap import FlatDetections

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_TO_CONTINUOUS = np.array([-1.0, -1.0, 0.0, 0.0])
_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")  # compared in lower case, the first one present wins
_ANSWERS_MISSING = -1  # second column of the per-class image sets: the class is not in the image

logger = logging.getLogger("resdet")


class VOCDataset(DetectionDataset):
    """One or several image sets in VOC layout, united (VOC 07+12).

    Args:
        root: the folder that holds VOC2007, VOC2012, ...
        splits: (year, image set) pairs; the year is what follows "VOC" in the folder's name.
        classes: names in the order of their labels; None takes the sorted names found in the annotations.
        keep_difficult: False leaves out the objects marked difficult (the authors' training; at test keep them, they
            are neither hit nor miss).
        annotated: False for sets whose answers only a server has (VOC 2012 test): no xml is read, no image has objects.

    Sizes missing from an annotation are read from the image's header, boxes are clipped to the image and those without
    area are dropped; each is counted in one warning of the logger "resdet".

    Raises:
        UserError: a missing or malformed file, an empty image set, an id given twice, a class that is not in `classes`.
    """

    def __init__(
        self,
        root: str | Path,
        splits: Sequence[tuple[str, str]],
        classes: Sequence[str] | None = VOC_CLASSES,
        keep_difficult: bool = True,
        annotated: bool = True,
    ) -> None:
        root = Path(root)
        records = [r for year, image_set in splits for r in _read_split(root, year, image_set, annotated)]
        _refuse_repeated_ids(records)
        if classes is None:
            classes = sorted({name for record in records for name in record.names})
        annotations = [_to_annotation(record, classes) for record in records]
        annotations = _complete_sizes(annotations)
        annotations = clean_boxes(annotations)
        if not keep_difficult:
            annotations = [a.keep(~a.difficult) for a in annotations]
        super().__init__(classes, AnnotationTable(annotations))


def read_image_set(path: str | Path) -> list[str]:
    """Ids of an image-set file, one a line.

    A second column, as in the per-class files ("000012 -1"), leaves out the images with -1, those without the class;
    0, where all objects of the class are difficult, stays.

    Raises:
        UserError: the file is missing or has no image, or a line is neither form.
    """
    ids = []
    for number, line in enumerate(_read_text(path).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if len(words) > 2 or (len(words) == 2 and words[1] not in ("-1", "0", "1")):
            raise UserError(f"{path}:{number}: {line.strip()!r} is not 'id' or 'id -1|0|1'; ids cannot contain spaces")
        if len(words) == 1 or int(words[1]) != _ANSWERS_MISSING:
            ids.append(words[0])
    if not ids:
        raise UserError(f"{path}: no image in this image set; list one id a line, without suffix")
    return ids


def read_annotation(path: str | Path, classes: Sequence[str]) -> Annotation:
    """One annotation as it is written: boxes are not clipped, `size` is (0, 0) where the header has none.

    `path` of the result is the <filename> (which may lack its suffix), `id` the name of the xml file.

    Raises:
        UserError: the file is missing, malformed or declares entities; an object is not one of `classes`.
    """
    return _to_annotation(_parse(Path(path)), classes)


def write_annotation(
    path: str | Path,
    annotation: Annotation,
    classes: Sequence[str],
    truncated: np.ndarray | None = None,
    occluded: np.ndarray | None = None,
) -> None:
    """Write VOC xml; the numbers are those that `read_annotation` read.

    truncated, occluded: bool [G], VOC's flags "goes on outside of the image" and "partly hidden"; None writes 0.
    """
    image, (height, width) = Path(annotation.path), annotation.size
    none = np.zeros(len(annotation), bool)
    flags = {
        "truncated": none if truncated is None else truncated,
        "occluded": none if occluded is None else occluded,
        "difficult": annotation.difficult,
    }
    lines = [
        "<annotation>",
        f"\t<filename>{escape(image.name)}</filename>",
        f"\t<size><width>{width}</width><height>{height}</height><depth>3</depth></size>",
    ]
    for index, corners in enumerate((annotation.boxes - _TO_CONTINUOUS).tolist()):
        lines += ["\t<object>", f"\t\t<name>{escape(classes[annotation.labels[index]])}</name>"]
        lines += [f"\t\t<{name}>{int(values[index])}</{name}>" for name, values in flags.items()]
        box = "".join(f"<{c}>{_number(v)}</{c}>" for c, v in zip(_CORNERS, corners, strict=True))
        lines += [f"\t\t<bndbox>{box}</bndbox>", "\t</object>"]
    Path(path).write_text("\n".join([*lines, "</annotation>", ""]), encoding="utf-8")


def comp4_path(directory: str | Path, image_set: str, name: str) -> Path:
    """Where the devkit looks for the detections of one class."""
    return Path(directory) / f"comp4_det_{image_set}_{name}.txt"


def write_comp4(
    directory: str | Path, image_set: str, classes: Sequence[str], ids: Sequence[str], detections: FlatDetections
) -> None:
    """Write one file a class, lines of `id score xmin ymin xmax ymax`, 1-based inclusive; a class without detections
    gets an empty file, as the devkit expects all of them. What `read_comp4` reads is, as float32, exactly what was
    written from float32 (coordinates closer to 0 than 1e-8 excepted).

    ids: the image of each index in `detections.image`.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    boxes = detections.box.astype(np.float64) - _TO_CONTINUOUS
    for label, name in enumerate(classes):
        rows = np.flatnonzero(detections.label == label)
        # str of a NumPy scalar has the fewest digits that give the same float32 (or float64) back.
        lines = [
            f"{ids[image]} {score!s} {x1!r} {y1!r} {x2!r} {y2!r}\n"
            for image, score, (x1, y1, x2, y2) in zip(
                detections.image[rows].tolist(), detections.score[rows], boxes[rows].tolist(), strict=True
            )
        ]
        comp4_path(folder, image_set, name).write_text("".join(lines), encoding="utf-8")


def write_comp4_archive(
    path: str | Path, year: str, image_set: str, classes: Sequence[str], ids: Sequence[str], detections: FlatDetections
) -> None:
    """Write the .tar.gz that VOC's evaluation server takes: results/VOC<year>/Main/ with the files of `write_comp4`."""
    inside = f"results/VOC{year}/Main"
    with tempfile.TemporaryDirectory() as folder:
        write_comp4(Path(folder) / inside, image_set, classes, ids, detections)
        with tarfile.open(path, "w:gz") as archive:
            archive.add(Path(folder) / "results", "results")


def read_comp4(directory: str | Path, image_set: str, classes: Sequence[str], ids: Sequence[str]) -> FlatDetections:
    """Read the files of all classes; `image` indexes `ids`, scores and boxes are float64, boxes continuous.

    Raises:
        UserError: the file of a class is missing, a line is malformed, an id is not one of `ids`.
    """
    index = {str(image_id): number for number, image_id in enumerate(ids)}
    images: list[int] = []
    labels: list[int] = []
    numbers: list[list[float]] = []
    for label, name in enumerate(classes):
        path = comp4_path(directory, image_set, name)
        if not path.is_file():
            raise UserError(f"{path}: no detections of class {name!r}; write the file, empty if nothing was detected")
        for line_number, line in enumerate(_read_text(path).splitlines(), 1):
            if not line.strip():
                continue
            image, row = _parse_detection(line, index, f"{path}:{line_number}")
            images.append(image)
            numbers.append(row)
        labels += [label] * (len(images) - len(labels))
    table = np.array(numbers, np.float64).reshape(-1, 5)
    return FlatDetections(np.array(images), np.array(labels), table[:, 0], table[:, 1:] + _TO_CONTINUOUS)


@dataclass
class _Record:
    """One xml file, before its names become labels."""

    source: Path  # the xml
    filename: str
    size: tuple[int, int]  # (height, width), (0, 0) if unknown
    names: list[str]
    boxes: np.ndarray  # float64 [G, 4], continuous
    difficult: np.ndarray  # bool [G]


def _read_split(root: Path, year: str, image_set: str, annotated: bool) -> list[_Record]:
    folder = root / f"VOC{year}"
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; the root must hold VOC{year}/{{Annotations,JPEGImages,ImageSets}}")
    ids = read_image_set(folder / "ImageSets" / "Main" / f"{image_set}.txt")
    images = images_by_id(folder / "JPEGImages")
    records = []
    for image_id in ids:
        if image_id not in images:
            listed = f"listed in ImageSets/Main/{image_set}.txt"
            raise UserError(f"{folder / 'JPEGImages' / image_id}.jpg: no such image, but it is {listed}; restore it")
        xml, image = folder / "Annotations" / f"{image_id}.xml", images[image_id]
        records.append(replace(_parse(xml), filename=str(image)) if annotated else _without_answers(xml, image))
    return records


def _without_answers(xml: Path, image: Path) -> _Record:
    return _Record(xml, str(image), image_size(image), [], np.zeros((0, 4)), np.zeros(0, bool))


def images_by_id(folder: Path) -> dict[str, Path]:
    """Images by stem. <filename> is not asked: in the wild it lacks its suffix or tells another name."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; put the images there")
    found: dict[str, Path] = {}
    files = [path for path in folder.iterdir() if path.suffix.lower() in _IMAGE_SUFFIXES]
    for path in sorted(files, key=lambda p: (_IMAGE_SUFFIXES.index(p.suffix.lower()), p.name)):
        found.setdefault(path.stem, path)
    return found


def _refuse_repeated_ids(records: list[_Record]) -> None:
    seen: dict[str, Path] = {}
    for record in records:
        first = seen.setdefault(record.source.stem, record.source)
        if first is not record.source:
            raise UserError(
                f"{record.source}: image {record.source.stem!r} is in the chosen image sets twice (first {first}); "
                "choose image sets that do not overlap"
            )


def _to_annotation(record: _Record, classes: Sequence[str]) -> Annotation:
    index = {name: label for label, name in enumerate(classes)}
    unknown = [name for name in record.names if name not in index]
    if unknown:
        raise UserError(
            f"{record.source}: class {unknown[0]!r} is not one of {_enumerate(classes)}; "
            "add it to the classes, or correct the annotation"
        )
    labels = np.array([index[name] for name in record.names], np.int64)
    return Annotation(record.filename, record.source.stem, record.size, record.boxes, labels, record.difficult)


def _complete_sizes(annotations: list[Annotation]) -> list[Annotation]:
    missing = [a for a in annotations if 0 in a.size]
    if missing:
        logger.warning(
            "%d of %d annotations have no image size (first: %s): read from the image headers",
            *(len(missing), len(annotations), missing[0].id),
        )
    return [replace(a, size=image_size(a.path)) if 0 in a.size else a for a in annotations]


def _parse(path: Path) -> _Record:
    text = _read_bytes(path)
    # Entities are the way to blow up or misdirect an XML parser; no annotation tool declares any.
    if re.search(rb"<!\s*(DOCTYPE|ENTITY)", text.replace(b"\0", b""), re.IGNORECASE):
        raise UserError(f"{path}: declares a DOCTYPE or ENTITY, which annotations never need; remove the declaration")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise UserError(f"{path}: not valid XML ({error}); write the annotation again") from None
    objects = root.findall("object")
    return _Record(
        source=path,
        filename=(root.findtext("filename") or "").strip(),
        size=_parse_size(root, path),
        names=[_text(obj, "name", f"{path}, object {number}") for number, obj in enumerate(objects, 1)],
        boxes=_parse_boxes(objects, path),
        difficult=np.array([_flag(obj, "difficult", path) for obj in objects], bool),
    )


def _parse_size(root: ElementTree.Element, path: Path) -> tuple[int, int]:
    height, width = (root.findtext(f"size/{side}") or "0" for side in ("height", "width"))
    size = round(_float(height, path)), round(_float(width, path))
    return size if min(size) > 0 else (0, 0)


def _parse_boxes(objects: Iterable[ElementTree.Element], path: Path) -> np.ndarray:
    rows = []
    for number, obj in enumerate(objects, 1):
        where = f"{path}, object {number}"
        box = obj.find("bndbox")  # a direct child: VOC's <part> has a box of its own further down
        if box is None:
            raise UserError(f"{where}: no <bndbox>; complete or remove the object")
        rows.append([_float(_text(box, corner, where), where) for corner in _CORNERS])
    return np.array(rows, np.float64).reshape(-1, 4) + _TO_CONTINUOUS


def _parse_detection(line: str, index: dict[str, int], where: str) -> tuple[int, list[float]]:
    words = line.split()
    try:
        row = [float(word) for word in words[1:]]
    except ValueError:
        row = []
    if len(row) != 5 or not np.isfinite(sum(row)):
        raise UserError(f"{where}: {line.strip()!r} is not 'id score xmin ymin xmax ymax'; write the file again")
    if words[0] not in index:
        raise UserError(f"{where}: image {words[0]!r} is not in the image set; score the set that was detected on")
    return index[words[0]], row


def _text(element: ElementTree.Element, tag: str, where: str) -> str:
    text = (element.findtext(tag) or "").strip()
    if not text:
        raise UserError(f"{where}: no <{tag}>; complete or remove the object")
    return text


def _flag(element: ElementTree.Element, tag: str, path: Path) -> bool:
    return _float(element.findtext(tag) or "0", path) != 0


def _float(text: str, where: str | Path) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise UserError(f"{where}: {text.strip()!r} is not a number; correct the annotation")
    return value


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def _enumerate(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 8 else f"the {len(names)} classes {names[0]} ... {names[-1]}"


def _read_text(path: str | Path) -> str:
    try:
        return _read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a UTF-8 text file; save it as UTF-8") from None


def _read_bytes(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; check the root, the year and the image set") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
