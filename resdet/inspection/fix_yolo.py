"""A repaired copy of the annotations of a YOLO data set.

fixes = Fixes(root, Path("mended"))
fix_yolo(fixes, ["train", "val"])               # mended/labels/train/*.txt ...
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from resdet.data.detection.yolo import label_lines, parse_row
from resdet.data.detection.yolo_files import list_images
from resdet.data.detection.yolo_names import LineForm, line_form, names_file, read_names
from resdet.data.image_files import missing_images
from resdet.data.images import image_size
from resdet.data.text_files import read_bytes
from resdet.errors import UndecidedError, UserError
from resdet.inspection.fixes import Fixes, mend_box


def fix_yolo(fixes: Fixes, image_sets: Sequence[str], classes: Sequence[str] | None = None) -> None:
    """Write the label files, lists and class names that can be repaired without a guess.

    Boxes are clipped, and removed without area or if repeated; lines that are no object are removed; images that are
    missing or unreadable leave their lists. Lines of an unknown class, or not in fractions of the image, stay, and
    so do txt files that cannot be read.

    Args:
        fixes: the folder that is written to, and the list of changes.
        image_sets, classes: see YOLODataset.

    Raises:
        UserError: there is no such set, or no class names.
    """
    root = fixes.root
    form = line_form(root, read_names(root) if classes is None else classes, given=classes is not None)
    source = names_file(root)
    if source is not None:
        fixes.write(source, read_bytes(source))
    for image_set in image_sets:
        images = list(dict.fromkeys(list_images(root, image_set)))
        missing = set(missing_images([root / image.path for image in images]))
        kept = []
        for image in images:
            try:
                size = image_size(root / image.path)
            except UserError as error:
                fixes.note(root / image_set, f"{image.path} was left out, because {error}")
                continue
            kept.append(image.path)
            if root / image.path not in missing and image.label.is_file():
                mended = _mend(fixes, image.label, form, size)
                if mended is not None:
                    fixes.write(image.label, mended)
        if image_set.endswith(".txt"):
            fixes.write(root / image_set, "".join(f"{image.as_posix()}\n" for image in kept))


def _mend(fixes: Fixes, path: Path, form: LineForm, size: tuple[int, int]) -> str | None:
    """The content of a label file without what is wrong in it; None if it cannot be read."""
    try:
        lines = label_lines(path)
    except UserError as error:
        fixes.leave(path, str(error).removeprefix(f"{path}: "))  # an empty file would say that there is no object
        return None
    scale = np.array([size[1], size[0], size[1], size[0]], np.float64)
    seen, kept = set(), []
    for where, line in lines:
        try:
            label, *corners = parse_row(line, form, where)
        except UndecidedError as error:
            fixes.leave(where, str(error).removeprefix(f"{where}: "))
            kept.append(f"{line}\n")
            continue
        except UserError as error:
            fixes.note(where, f"removed, because {str(error).removeprefix(f'{where}: ')}")
            continue
        box = np.array(corners)
        mended = mend_box(box * scale, size)
        if mended is None or (label, *corners) in seen:
            fixes.note(
                where, "removed, it has no area in the image" if mended is None else "removed, it repeats another"
            )
            continue
        seen.add((label, *corners))
        inside = box.clip(0, 1)
        if (inside != box).any():
            fixes.note(where, "the box was clipped to the image")
            center, sides = (inside[:2] + inside[2:]) / 2, inside[2:] - inside[:2]
            line = " ".join([str(label), *(f"{v:.6f}" for v in (*center, *sides))])
        kept.append(f"{line}\n")
    return "".join(kept)
