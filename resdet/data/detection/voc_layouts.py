"""The layouts in which VOC's xml files are found: a devkit, folders with or without lists, beside their images."""

from __future__ import annotations

from pathlib import Path

from resdet.data.detection.folder_content import has_file
from resdet.data.detection.recognized import ALL, TEST, TRAIN, VAL, Recognized, Source
from resdet.data.detection.voc import VOCDataset
from resdet.data.detection.voc_files import EVERY, OTHER_ANNOTATIONS
from resdet.data.image_files import find_folders, folder_named, is_hidden
from resdet.data.text_files import is_folder


def voc_devkit(root: Path) -> Recognized | None:
    """VOC's own layout: a folder per year with annotations, images and lists; None if it is another one."""
    sets: dict[str, list[tuple[str, str]]] = {}
    for folder in find_folders(root):
        if folder.name.startswith("VOC") and is_folder(folder / "Annotations"):
            year = folder.name.removeprefix("VOC")
            for image_set in _voc_lists(folder):
                sets.setdefault(image_set if image_set != EVERY else ALL, []).append((year, image_set))
    return Recognized("PASCAL VOC", root, {name: _voc_source(root, splits) for name, splits in sets.items()})


def voc_folders(root: Path) -> Recognized | None:
    """Annotations/ and images in the root itself, with lists as CVAT writes them, or without."""
    if not is_folder(root / "Annotations"):
        return None
    lists = _voc_lists(root)
    images = "JPEGImages" if is_folder(root / "JPEGImages") else "images"
    what = "VOC as Label Studio exports it" if images == "images" else "VOC in one folder"
    if lists != [EVERY]:
        what = "VOC as CVAT exports it"
    names = {ALL if name in (EVERY, "default") else name: name for name in lists}
    return Recognized(what, root, {name: _voc_source(root, [("", split)]) for name, split in names.items()})


def voc_beside(root: Path) -> Recognized | None:
    """Xml files beside their images, or in a folder next to them: Roboflow, labelImg."""
    sets = {
        folder.name: _voc_source(root, [(folder.name, EVERY)])
        for folder in find_folders(root)
        if folder.name.lower() in (*TRAIN, *VAL, *TEST)
        and any(has_file(f, ".xml") for f in (folder, *_annotation_folders(folder)))
    }
    if sets:
        return Recognized("VOC as Roboflow exports it", root, sets)
    if has_file(root, ".xml") or any(any(f.rglob("*.[xX][mM][lL]")) for f in _annotation_folders(root)):
        return Recognized("VOC without lists, as labelImg writes it", root, {ALL: _voc_source(root, [("", EVERY)])})
    return None


def _annotation_folders(folder: Path) -> list[Path]:
    return [folder_named(folder, name) for name in ("Annotations", *OTHER_ANNOTATIONS)]


def _voc_source(root: Path, splits: list[tuple[str, str]]) -> Source:
    return Source(VOCDataset, {"root": str(root), "splits": splits})


def _voc_lists(folder: Path) -> list[str]:
    """The image sets of a VOC folder without the lists of single classes; `EVERY` if there is no list."""
    names = sorted(
        path.stem for path in (folder / "ImageSets" / "Main").glob("*.txt") if not is_hidden(Path(path.name))
    )
    parts = (*names, *TRAIN, *VAL, *TEST)  # VoTT writes cat_train.txt, and no list of all
    whole = [name for name in names if "_" not in name or name.rpartition("_")[2] not in parts]
    return whole or [EVERY]
