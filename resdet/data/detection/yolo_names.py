"""The class names of a YOLO data set, and what they and data.yaml say of the lines of its label files.

names = read_names(Path("data/photos"))                   # of classes.txt, data.yaml or obj.names
form = line_form(Path("data/photos"), names, given=False)
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resdet.data.detection.yolo_folders import LISTS, label_folders
from resdet.data.image_files import find_folders, is_hidden
from resdet.data.text_files import (
    check_class_names,
    is_file,
    quoted,
    read_lines,
    read_text,
    split_lines,
    whole_number,
)
from resdet.errors import UserError

REMEDY = "check the root and the name of the set"  # for a missing file
SETTINGS = ("data.yaml", "data.yml", "dataset.yaml")

logger = logging.getLogger("resdet")


@dataclass(frozen=True)
class LineForm:
    """What a line of a label file may hold."""

    num_classes: int  # labels are 0..num_classes - 1
    source: str  # what names the classes, for messages
    keypoints: int = 0  # numbers that follow the box in a set of poses


def line_form(root: Path, names: Sequence[str], given: bool) -> LineForm:
    """What the lines of a data set hold.

    Args:
        root: of the data set.
        names: of its classes.
        given: whether the names are the user's, and not of the data set's file.

    Raises:
        UserError: data.yaml cannot be read, or has a `kpt_shape` that is none.
    """
    source, settings = names_file(root), settings_file(root)
    try:
        shape = None if settings is None else read_settings(settings).get("kpt_shape")
    except UserError:
        if not given and source == settings:
            raise
        shape = None  # names come from elsewhere, and the file may be of another program
    if shape is None:
        keypoints = 0
    elif isinstance(shape, list) and len(shape) == 2 and all(type(side) is int and 0 < side < 1000 for side in shape):
        keypoints = shape[0] * shape[1]
    else:
        raise UserError(f"{settings}: kpt_shape {quoted(shape)} is not [number of points, 2 or 3]; correct it")
    return LineForm(len(names), "the argument `classes`" if given or source is None else str(source), keypoints)


def names_file(root: Path) -> Path | None:
    """The file that names the classes, or None: in the root, or a classes.txt beside the labels."""
    found = next((root / name for name in LISTS if is_file(root / name)), None)
    found = found or settings_file(root) or _darknets_names(root)
    if found is not None:
        return found
    labels = label_folders(root)  # where labelImg writes its classes.txt
    folders = [*labels, *(inside for folder in labels for inside in find_folders(folder))]
    beside = [folder / name for folder in folders for name in LISTS]
    roboflows = [folder / "_darknet.labels" for folder in find_folders(root)]
    return next((path for path in (*beside, *roboflows) if is_file(path)), None)


def _darknets_names(root: Path) -> Path | None:
    """The one file of another name, such as coco.names."""
    found = [path for path in root.glob("*.names") if is_file(path) and not is_hidden(Path(path.name))]
    return found[0] if len(found) == 1 else None


def settings_file(root: Path) -> Path | None:
    """data.yaml, or the one other .yaml of the root that has `names`; None if there is none."""
    found = next((root / name for name in SETTINGS if is_file(root / name)), None)
    if found is not None:
        return found
    others = [path for path in sorted(root.glob("*.y*ml")) if is_file(path) and not is_hidden(Path(path.name))]
    named = [path for path in others if _mentions_names(path)]
    return named[0] if len(named) == 1 else None


def _mentions_names(path: Path) -> bool:
    with suppress(OSError):  # it may be another program's, which is none of the data set's business
        return b"names" in path.read_bytes()
    return False


def read_names(root: Path) -> tuple[str, ...]:
    """The class names in the order of their labels.

    Raises:
        UserError: no file names them, or names are missing, repeated or no text.
    """
    source = names_file(root)
    if source is None:
        raise UserError(
            f"{root}: neither classes.txt nor data.yaml is there; write one, a class name per line, or give the classes"
        )
    names = _names_of(source)
    if not names:
        raise UserError(f"{source}: names no class; name them, or give the classes")
    check_class_names(names, source)
    settings = settings_file(root)
    if settings not in (None, source):
        _tell_difference(source, names, settings)
    return tuple(names)


def read_settings(path: Path) -> dict[Any, Any]:
    """The content of a data.yaml.

    Raises:
        UserError: the file is not YAML, or has a key twice.
    """
    import yaml  # type: ignore[import-untyped]  # imported here: only data.yaml needs it; it is installed with mmengine

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        """Refuses repeated keys, of which YAML's own keeps the last."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            counts = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
            again = next((key for key, count in counts.items() if count > 1 and key != "<<"), None)
            if again is not None:
                raise UserError(f"{path}:{node.start_mark.line + 1}: has {quoted(again)} twice; keep one")
            return super().construct_mapping(node, deep)

    text = read_text(path, REMEDY)
    try:
        content = yaml.load(text, Loader)  # a SafeLoader
    except UserError:
        raise
    except Exception as error:  # beside YAMLError: ValueError for the 31st of February, RecursionError, OverflowError
        raise UserError(f"{path}: not valid YAML ({' '.join(str(error).split())[:200]}); write it again") from None
    return content if isinstance(content, dict) else {}


def _names_of(source: Path) -> list[str]:
    if source.suffix in (".txt", ".names", ".labels"):
        return [line.strip() for line in split_lines(read_text(source, REMEDY).rstrip())]
    settings = read_settings(source)
    names = _listed_names(source, settings.get("names"))
    count = settings.get("nc")
    if count is not None and str(count).strip() != str(len(names)):
        raise UserError(
            f"{_line_of(source, 'nc')}: nc is {quoted(count)}, but {len(names)} classes are named; correct one of them"
        )
    return names


def _listed_names(path: Path, names: Any) -> list[str]:
    where = _line_of(path, "names")
    if isinstance(names, dict):
        # Keys that YAML reads as booleans would pass as 0 and 1.
        keys = {None if isinstance(key, bool) else whole_number(str(key)): name for key, name in names.items()}
        if None in keys:
            bad = next(key for key in names if isinstance(key, bool) or whole_number(str(key)) is None)
            raise UserError(f"{where}: 'names' has the key {quoted(bad)}; write a number and a name each, '0: cat'")
        absent = next((label for label in range(len(keys)) if label not in keys), None)
        if absent is not None:
            raise UserError(
                f"{where}: 'names' numbers {len(keys)} classes up to {max(k for k in keys if k is not None)}, and has "
                f"none with {absent}; number them from 0 without gaps, or name class {absent} too"
            )
        names = [keys[label] for label in range(len(keys))]
    if not isinstance(names, list):
        raise UserError(f"{where}: has no 'names' as a list or as '0: name'; add them, or give the classes")
    unclear = [name for name in names if not isinstance(name, str)]  # YAML reads an unquoted no as False
    if unclear:
        raise UserError(f"{where}: YAML does not read the name {quoted(unclear[0])} as text; put it in quotes")
    return [str(name).strip() for name in names]


def _line_of(path: Path, key: str) -> str:
    """ "path:line" of a key of the top level, for messages; the path alone if it cannot be found."""
    lines = read_lines(path, REMEDY)
    return next((where for where, line in lines if re.match(rf"[\"']?{key}[\"']?\s*:", line)), str(path))


def _tell_difference(source: Path, names: Sequence[str], settings: Path | None) -> None:
    try:
        others = [] if settings is None else _names_of(settings)
    except UserError:
        return  # it is not used
    if others != list(names):
        logger.warning("%s and %s name different classes: the first is used; remove one of them", source, settings)
