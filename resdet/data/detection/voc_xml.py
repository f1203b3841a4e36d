"""PASCAL VOC's xml annotations: one file read or written.

    annotation = read_annotation("Annotations/000001.xml", VOC_CLASSES)
    write_annotation("copy.xml", annotation, VOC_CLASSES)

VOC's pixels are 1-based and inclusive. The reader makes boxes continuous, (xmin - 1, ymin - 1, xmax, ymax); the writer
converts them back, so that a written file has the numbers that were read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import numpy as np

from resdet.data.detection.annotations import Annotation
from resdet.data.text_files import finite_number, read_bytes, shortest
from resdet.errors import UserError

TO_CONTINUOUS = np.array([-1.0, -1.0, 0.0, 0.0])  # added to VOC's xmin, ymin, xmax, ymax
REMEDY = "check the root, the year and the image set"  # for a missing file

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass
class VOCRecord:
    """The content of one xml file with G objects, before class names become labels."""

    source: Path  # the xml file
    filename: str
    size: tuple[int, int]  # (height, width); (0, 0) if the file does not say
    names: list[str]  # class names, G
    boxes: np.ndarray  # float64 [G, 4], continuous
    difficult: np.ndarray  # bool [G]

    def to_annotation(self, classes: Sequence[str]) -> Annotation:
        """Replace class names by their positions in `classes`; `id` is the name of the xml file.

        Raises:
            UserError: an object is not one of `classes`.
        """
        index = {name: label for label, name in enumerate(classes)}
        unknown = [name for name in self.names if name not in index]
        if unknown:
            raise UserError(
                f"{self.source}: class {unknown[0]!r} is not one of {_enumerate(classes)}; "
                "add it to the classes, or correct the annotation"
            )
        labels = np.array([index[name] for name in self.names], np.int64)
        return Annotation(self.filename, self.source.stem, self.size, self.boxes, labels, self.difficult)


def read_annotation(path: str | Path, classes: Sequence[str]) -> Annotation:
    """Read one xml file; boxes are continuous but not clipped, `size` is (0, 0) if the file does not say.

    `path` of the result is the file's <filename>, which may lack its suffix; `id` is the name of the xml file.

    Raises:
        UserError: the file is missing, malformed or declares entities; an object is not one of `classes`.
    """
    return read_record(Path(path)).to_annotation(classes)


def read_record(path: Path) -> VOCRecord:
    """Read one xml file whose classes are not known yet.

    Raises:
        UserError: the file is missing, malformed or declares entities.
    """
    text = read_bytes(path, REMEDY)
    # Entities can make a parser allocate without bound or read other files; no annotation tool declares any.
    if re.search(rb"<!\s*(DOCTYPE|ENTITY)", text.replace(b"\0", b""), re.IGNORECASE):
        raise UserError(f"{path}: declares a DOCTYPE or ENTITY, which annotations never need; remove the declaration")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise UserError(f"{path}: not valid XML ({error}); write the annotation again") from None
    objects = root.findall("object")
    return VOCRecord(
        source=path,
        filename=(root.findtext("filename") or "").strip(),
        size=_parse_size(root, path),
        names=[_text(obj, "name", f"{path}, object {number}") for number, obj in enumerate(objects, 1)],
        boxes=_parse_boxes(objects, path),
        difficult=np.array([_flag(obj, "difficult", path) for obj in objects], bool),
    )


def write_annotation(
    path: str | Path,
    annotation: Annotation,
    classes: Sequence[str],
    truncated: np.ndarray | None = None,
    occluded: np.ndarray | None = None,
) -> None:
    """Write one xml file.

    Args:
        path: the file.
        annotation: one image with G objects.
        classes: names of the labels.
        truncated: bool [G], VOC's flag of objects that extend beyond the image; None: none does.
        occluded: bool [G], VOC's flag of partly hidden objects; None: none is.
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
    for index, corners in enumerate((annotation.boxes - TO_CONTINUOUS).tolist()):
        lines += ["\t<object>", f"\t\t<name>{escape(classes[annotation.labels[index]])}</name>"]
        lines += [f"\t\t<{name}>{int(values[index])}</{name}>" for name, values in flags.items()]
        box = "".join(f"<{c}>{shortest(v)}</{c}>" for c, v in zip(_CORNERS, corners, strict=True))
        lines += [f"\t\t<bndbox>{box}</bndbox>", "\t</object>"]
    Path(path).write_text("\n".join([*lines, "</annotation>", ""]), encoding="utf-8")


def _parse_size(root: ElementTree.Element, path: Path) -> tuple[int, int]:
    height, width = (root.findtext(f"size/{side}") or "0" for side in ("height", "width"))
    size = round(_float(height, path)), round(_float(width, path))
    return size if min(size) > 0 else (0, 0)


def _parse_boxes(objects: Iterable[ElementTree.Element], path: Path) -> np.ndarray:
    rows = []
    for number, obj in enumerate(objects, 1):
        where = f"{path}, object {number}"
        box = obj.find("bndbox")  # a direct child: VOC's <part>s have a <bndbox> of their own
        if box is None:
            raise UserError(f"{where}: no <bndbox>; complete or remove the object")
        rows.append([_float(_text(box, corner, where), where) for corner in _CORNERS])
    boxes: np.ndarray = np.array(rows, np.float64).reshape(-1, 4) + TO_CONTINUOUS
    return boxes


def _text(element: ElementTree.Element, tag: str, where: str) -> str:
    text = (element.findtext(tag) or "").strip()
    if not text:
        raise UserError(f"{where}: no <{tag}>; complete or remove the object")
    return text


def _flag(element: ElementTree.Element, tag: str, path: Path) -> bool:
    return _float(element.findtext(tag) or "0", path) != 0


def _float(text: str, where: str | Path) -> float:
    return finite_number(text, where, "correct the annotation")


def _enumerate(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 8 else f"the {len(names)} classes {names[0]} ... {names[-1]}"
