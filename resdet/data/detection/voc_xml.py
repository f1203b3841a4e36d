"""PASCAL VOC's xml annotations: one file read or written.

    annotation = read_annotation("Annotations/000001.xml", VOC_CLASSES)
    write_annotation("copy.xml", annotation, VOC_CLASSES)

VOC's pixels are 1-based and inclusive. The reader makes boxes continuous, (xmin - 1, ymin - 1, xmax, ymax); the writer
converts them back, so that a written file has the numbers that were read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import numpy as np

from resdet.data.detection.annotations import Annotation
from resdet.data.detection.usable import rotation_changes_box
from resdet.data.text_files import finite_number, flag_of, quoted, read_bytes, shortest
from resdet.errors import UndecidedError, UserError

TO_CONTINUOUS = np.array([-1.0, -1.0, 0.0, 0.0])  # added to VOC's xmin, ymin, xmax, ymax
REMEDY = "check the root, the year and the image set"  # for a missing file

CORNERS = ("xmin", "ymin", "xmax", "ymax")
_LARGEST_SIDE = 2**31  # pixels; no image has more
_DECLARATION = re.compile(r"\s*<\?xml[^>]*\?>")
_ENCODING = re.compile(rb"<\?xml[^>]*encoding\s*=\s*[\"']([\w.-]+)")


@dataclass
class VOCRecord:
    """The content of one xml file with G objects, before class names become labels."""

    source: Path  # the xml file
    id: str  # of the image; it may name sub-folders
    filename: str
    size: tuple[int, int]  # (height, width); (0, 0) if the file does not say
    names: list[str]  # class names, G
    boxes: np.ndarray  # float64 [G, 4], continuous
    difficult: np.ndarray  # bool [G]
    rotated: int = 0  # objects that CVAT's attributes say are turned, which their boxes are not

    def to_annotation(self, classes: Sequence[str]) -> Annotation:
        """Replace class names by their positions in `classes`; `id` is the record's.

        Raises:
            UserError: an object is not one of `classes`.
        """
        index = {name: label for label, name in enumerate(classes)}
        unknown = [name for name in self.names if name not in index]
        if unknown:
            raise unknown_class(self.source, unknown[0], classes)
        labels = np.array([index[name] for name in self.names], np.int64)
        return Annotation(self.filename, self.id, self.size, self.boxes, labels, self.difficult)


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
    root = parse_xml(path)
    objects = [
        parse_object(element, f"{path}, object {number}") for number, element in enumerate(root.findall("object"), 1)
    ]
    return VOCRecord(
        source=path,
        id=path.stem,
        filename=(root.findtext("filename") or "").strip(),
        size=parse_size(root),
        names=[name for name, _, _ in objects],
        boxes=np.array([box for _, box, _ in objects], np.float64).reshape(-1, 4),
        difficult=np.array([difficult for _, _, difficult in objects], bool),
        rotated=sum(map(is_rotated, root.findall("object"))),
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
        box = "".join(f"<{c}>{shortest(v)}</{c}>" for c, v in zip(CORNERS, corners, strict=True))
        lines += [f"\t\t<bndbox>{box}</bndbox>", "\t</object>"]
    Path(path).write_text("\n".join([*lines, "</annotation>", ""]), encoding="utf-8")


def parse_xml(path: Path) -> ElementTree.Element:
    """The root of a file, its tags without namespaces and in lower case.

    Raises:
        UserError: the file is missing, malformed, declares entities, is no <annotation>, or has objects elsewhere than
            directly in it.
    """
    text = read_bytes(path, REMEDY)
    _refuse_entities(path, text)
    root = _parse(path, text)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2].lower()
    if root.tag == "annotations" and root.find("image") is not None:
        raise UserError(f"{path}: is of CVAT's own format, which is not read; export it as COCO, PASCAL VOC or YOLO")
    if root.tag != "annotation":
        raise UserError(f"{path}: begins with <{root.tag[:40]}>, not with VOC's <annotation>; export it as PASCAL VOC")
    parents = {parent.tag for parent in root.iter() if parent is not root and parent.find("object") is not None}
    if parents:
        raise UserError(f"{path}: has objects in <{min(parents)[:40]}>; VOC has them directly in <annotation>")
    return root


def _refuse_entities(path: Path, content: bytes) -> None:
    """Entities can make a parser allocate without bound or read other files; no annotation tool declares any."""
    if re.search(rb"<!\s*(DOCTYPE|ENTITY)", content.replace(b"\0", b""), re.IGNORECASE):
        raise UserError(f"{path}: declares a DOCTYPE or ENTITY, which annotations never need; remove the declaration")


def _parse(path: Path, content: bytes) -> ElementTree.Element:
    """The root element; where the declaration is wrong (.NET's UTF-16 in a UTF-8 file) or late, without it."""
    try:
        return ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError) as first:
        declared = _ENCODING.search(content[:200])
        for encoding in (declared[1].decode() if declared else "utf-8", "utf-8-sig"):
            try:
                text = content.decode(encoding).strip("\0\r\n\t ")
                _refuse_entities(path, text.encode("utf-8", "replace"))
                return ElementTree.fromstring(_DECLARATION.sub("", text, count=1) if text[:5] == "<?xml" else text)
            except (ElementTree.ParseError, ValueError, LookupError):
                continue
        if declared is None and not _is_utf8(content):
            raise UserError(f"{path}: not a UTF-8 file, and declares no other encoding; save it as UTF-8") from None
        raise UserError(f"{path}: not valid XML ({first}); write the annotation again") from None


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def parse_size(root: ElementTree.Element) -> tuple[int, int]:
    """(height, width); (0, 0), to be read from the image, if the file does not say or says what no image has."""
    sides = []
    for side in ("height", "width"):
        try:
            value = float(root.findtext(f"size/{side}") or 0)
        except ValueError:
            value = 0.0
        sides.append(round(value) if 0 < value < _LARGEST_SIDE else 0)
    height, width = sides
    return (height, width) if min(sides) > 0 else (0, 0)


def parse_object(element: ElementTree.Element, where: str) -> tuple[str, np.ndarray, bool]:
    """Read one <object>.

    Args:
        element: the object.
        where: file and object, for the message.

    Returns:
        Class name, box as float64 [4], continuous, and whether it is difficult.

    Raises:
        UserError: a part is missing or malformed; an UndecidedError if there are two names or boxes.
    """
    for part in ("name", "bndbox"):
        count = len(element.findall(part))
        if count > 1:
            raise UndecidedError(f"{where}: has {count} <{part}>, of which one is meant; write an <object> for each")
    name, box = _text(element, "name", where), element.find("bndbox")
    # a direct child: VOC's <part>s have a <bndbox> of their own
    if box is None:
        corners = _around_polygon(element, where)
    else:
        corners = [finite_number(_text(box, corner, where), where, "correct the annotation") for corner in CORNERS]
    return name, np.array(corners) + TO_CONTINUOUS, _flag(element, "difficult", where)


def is_rotated(element: ElementTree.Element) -> bool:
    """Whether an <object> is turned by CVAT's attribute "rotation"."""
    found = element.findall("attributes/attribute")
    return any(rotation_changes_box(own.findtext("value")) for own in found if own.findtext("name") == "rotation")


def _around_polygon(element: ElementTree.Element, where: str) -> list[float]:
    """The box around an object's <polygon>, of <x1>, <y1>, <x2> ... as Roboflow writes it or <pt>s as LabelMe does."""
    polygon = element.find("polygon")
    sides: dict[str, list[float]] = {"x": [], "y": []}
    for point in [] if polygon is None else polygon.iter():
        if re.fullmatch(r"[xy]\d*", point.tag):
            sides[point.tag[0]].append(finite_number(point.text or "", where, "correct the annotation"))
    if not sides["x"] or not sides["y"]:
        raise UserError(f"{where}: neither a <bndbox> nor a <polygon>; complete or remove the object")
    return [min(sides["x"]), min(sides["y"]), max(sides["x"]), max(sides["y"])]


def unknown_class(where: str | Path, name: str, classes: Sequence[str]) -> UserError:
    """The error of an object whose class is not one of `classes`."""
    return UserError(
        f"{where}: class {quoted(name)} is not one of {_enumerate(classes)}; "
        "add it to the classes, or correct the annotation"
    )


def _text(element: ElementTree.Element, tag: str, where: str) -> str:
    text = (element.findtext(tag) or "").strip()
    if not text:
        raise UserError(f"{where}: no <{tag}>; complete or remove the object")
    return text


def _flag(element: ElementTree.Element, tag: str, where: str) -> bool:
    text = element.findtext(tag) or ""
    flag = flag_of(text)
    return finite_number(text, where, f"write 0 or 1 as its <{tag}>") != 0 if flag is None else flag


def _enumerate(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 8 else f"the {len(names)} classes {names[0]} ... {names[-1]}"
