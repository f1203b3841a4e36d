"""The layouts in which VOC's xml files are found: a devkit, folders with or without lists, beside their images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from resdet.data.detection.folder_content import has_annotated_image, has_file, has_images_below
from resdet.data.detection.paired_folders import annotations_of, paired_folders
from resdet.data.detection.recognized import ALL, Recognized, Source, divided_folders, role_of
from resdet.data.detection.voc import VOCDataset
from resdet.data.detection.voc_files import (
    EVERY,
    OTHER_ANNOTATIONS,
    VOCFiles,
    first_without_flag,
    folder_of,
)
from resdet.data.image_files import find_folders, folder_named, is_hidden
from resdet.data.text_files import is_folder


def voc_devkit(root: Path) -> Recognized | None:
    """VOC's own layout: a folder per year with annotations, images and lists; None if it is another one."""
    sets: dict[str, list[tuple[str, str]]] = {}
    for folder in find_folders(root):
        if folder.name.startswith("VOC") and is_folder(folder / "Annotations"):
            year = folder.name.removeprefix("VOC")
            for image_set in _voc_lists(folder):
                sets.setdefault(_name_of(image_set), []).append((year, image_set))
    return Recognized("PASCAL VOC", root, {name: _voc_source(root, splits) for name, splits in sets.items()})


def voc_folders(root: Path) -> Recognized | None:
    """Annotations/ and images in the root itself, with lists as CVAT writes them, or without."""
    annotations = root / "Annotations"
    if not is_folder(annotations) or (has_file(annotations, ".json") and not any(annotations.rglob("*.[xX][mM][lL]"))):
        return None  # the latter is COCO's folder
    lists = _voc_lists(root)
    what = "VOC in one folder" if is_folder(root / "JPEGImages") else "VOC as Label Studio exports it"
    if folder_of(lists[0]) is None:
        what = "VOC as CVAT exports it"
    names = {ALL if name == "default" else _name_of(name): name for name in lists}
    return Recognized(what, root, {name: _voc_source(root, [("", split)]) for name, split in names.items()})


def voc_beside(root: Path) -> Recognized | None:
    """Xml files beside their images, or in a folder next to them: Roboflow, labelImg."""
    paired = paired_folders(root, ".xml")
    if divided_folders(paired):
        return _paired(root, paired)
    folders = find_folders(root)
    annotated = [f for f in folders if any(has_file(own, ".xml") for own in (f, *_annotation_folders(f)))]
    if divided_folders(annotated, has_annotated_image(root, ".xml")):
        deeper = [f for f in folders if has_images_below(f) and any(f.rglob("*.[xX][mM][lL]"))]
        sets = {f.name: _voc_source(root, [(f.name, EVERY)]) for f in folders if f in (*annotated, *deeper)}
        return Recognized("VOC as Roboflow exports it", root, sets)
    filled = next((f for f in _annotation_folders(root) if any(f.rglob("*.[xX][mM][lL]"))), None)
    if filled is None and not has_file(root, ".xml"):
        return _paired(root, paired) if paired else None
    parts = [EVERY] if filled is None else _parts(filled)
    sets = {_name_of(part): _voc_source(root, [("", part)]) for part in parts}
    return Recognized("VOC without lists, as labelImg writes it", root, sets)


def _paired(root: Path, folders: Sequence[Path]) -> Recognized:
    """The sets of folders of images with annotations beside them: a folder each, or the parts of its annotations."""
    parts = [(f.name, part) for f in folders for part in _parts(annotations_of(f, ".xml") or f)]
    sets = {name if part == EVERY else _name_of(part): _voc_source(root, [(name, part)]) for name, part in parts}
    return Recognized("VOC with folders of images and annotations", root, sets)


def _annotation_folders(folder: Path) -> list[Path]:
    return [folder_named(folder, name) for name in ("Annotations", *OTHER_ANNOTATIONS)]


def _voc_source(root: Path, splits: list[tuple[str, str]]) -> Source:
    return Source(VOCDataset, {"root": str(root), "splits": splits})


def _voc_lists(folder: Path) -> list[str]:
    """The image sets of a VOC folder without the lists of single classes; if there is no list, see `_parts`."""
    names = sorted(
        path.stem for path in (folder / "ImageSets" / "Main").glob("*.txt") if not is_hidden(Path(path.name))
    )
    whole = [name for name in names if not _is_of_one_class(folder, name, names)]
    return whole or _parts(folder / "Annotations")


def _is_of_one_class(folder: Path, image_set: str, names: Sequence[str]) -> bool:
    """Whether a list such as cat_train.txt, of which VoTT writes no other, has the images of a class.

    Its lines have flags; or there are lists of the same part for other classes (`names`: of all lists), and the list is
    empty or its first image has an object of the class.
    """
    prefix, _, end = image_set.rpartition("_")
    if not prefix or not (end in names or role_of(end)):
        return False
    files = VOCFiles(folder / "JPEGImages", folder / "Annotations", folder / "ImageSets" / "Main")
    first = first_without_flag(files.list_of(image_set))
    if first is None:
        return True
    others = [name for name in names if name != image_set and name.rpartition("_")[2] == end]
    return bool(others) and (not first or prefix in files.classes_of(first))


def _parts(annotations: Path) -> list[str]:
    """The image sets of annotations without lists: their folders, if one is named as a set; else `EVERY`.

    Raises:
        UserError: annotations lie beside the folders of sets.
    """
    folders = [f for f in find_folders(annotations) if any(f.rglob("*.[xX][mM][lL]"))]
    divided = divided_folders(folders, has_file(annotations, ".xml"))
    return [f"{folder.name}/*" for folder in divided] or [EVERY]


def _name_of(image_set: str) -> str:
    folder = folder_of(image_set)
    return image_set if folder is None else folder or ALL
