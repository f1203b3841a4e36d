"""A repaired copy of the annotations of a VOC data set.

fixes = Fixes(root, Path("mended"))
fix_voc(fixes, [("fruit", "trainval")])         # mended/VOCfruit/Annotations/*.xml, ImageSets/Main/trainval.txt
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from resdet.data.detection.voc_files import VOCFiles, find_voc_files, folder_of
from resdet.data.detection.voc_xml import CORNERS, TO_CONTINUOUS, parse_object, parse_size, parse_xml
from resdet.data.images import read_image
from resdet.data.text_files import shortest
from resdet.errors import UndecidedError, UserError
from resdet.inspection.fixes import Fixes, mend_box


def fix_voc(fixes: Fixes, splits: Sequence[tuple[str, str]]) -> None:
    """Write the annotations and lists that can be repaired without a guess.

    Boxes are clipped, and removed without area or if repeated; objects without name or box are removed; sizes are
    added; images that are missing or unreadable, or have no readable xml, leave their lists. Unknown classes, and files
    whose size contradicts the image, stay as they are.

    Args:
        fixes: the folder that is written to, and the list of changes.
        splits: see VOCDataset.

    Raises:
        UserError: a list is missing or lists no image.
    """
    for year, image_set in splits:
        files = find_voc_files(fixes.root, year, image_set)
        path = files.list_of(image_set)
        kept = []
        for image_id in dict.fromkeys(files.ids(image_set)):
            try:
                height, width = read_image(files.image(image_id, image_set)).shape[:2]
                root = parse_xml(files.annotation(image_id, image_set))
            except UserError as error:
                fixes.note(path, f"{image_id} was left out, because {error}")
                continue
            _mend(fixes, files, image_id, root, (height, width))
            kept.append(image_id)
        if folder_of(image_set) is None:
            fixes.write(path, "".join(f"{image_id}\n" for image_id in kept))


def _mend(fixes: Fixes, files: VOCFiles, image_id: str, root: ElementTree.Element, size: tuple[int, int]) -> None:
    xml = files.xml_of(image_id)
    written = parse_size(root)
    if 0 not in written and written != size:
        fixes.leave(xml, f"its size is {written[1]}x{written[0]}, the image's {size[1]}x{size[0]}")
        fixes.write(xml, ElementTree.tostring(root, encoding="utf-8"))
        return
    if 0 in written:
        _write_size(root, size)
        fixes.note(xml, f"the image's size, {size[1]}x{size[0]}, was added")
    seen = set()
    for number, element in enumerate(root.findall("object"), 1):
        where = f"{xml}, object {number}"
        try:
            name, box, _ = parse_object(element, where)
        except UndecidedError as error:
            fixes.leave(where, str(error).removeprefix(f"{where}: "))
            continue
        except UserError as error:
            root.remove(element)
            fixes.note(where, f"removed, because {str(error).removeprefix(f'{where}: ')}")
            continue
        mended = mend_box(box, size)
        key = None if mended is None else (name, *mended.tolist())
        if mended is None or key in seen:
            root.remove(element)
            fixes.note(
                where, "removed, it has no area in the image" if mended is None else "removed, it repeats another"
            )
            continue
        seen.add(key)
        if (mended != box).any():
            _write_box(element, (mended - TO_CONTINUOUS).tolist())
            fixes.note(where, "the box was clipped to the image")
    fixes.write(xml, ElementTree.tostring(root, encoding="utf-8"))


def _write_size(root: ElementTree.Element, size: tuple[int, int]) -> None:
    element = root.find("size")
    if element is None:
        element = ElementTree.SubElement(root, "size")
    for tag, value in (("width", size[1]), ("height", size[0])):
        side = element.find(tag)
        (ElementTree.SubElement(element, tag) if side is None else side).text = str(value)


def _write_box(element: ElementTree.Element, corners: Sequence[float]) -> None:
    box = element.find("bndbox")
    if box is None:  # it was read from a polygon
        box = ElementTree.SubElement(element, "bndbox")
    for tag, value in zip(CORNERS, corners, strict=True):
        corner = box.find(tag)
        (ElementTree.SubElement(box, tag) if corner is None else corner).text = shortest(value)
