"""Write a repaired copy of the annotations of a detector's data sets, and the list of what was changed.

plan = plan_fix(sets_of_config(load_config("configs/mine.py")), Path("mended"))    # refuses what cannot be done
changes = fix_data(plan)
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from resdet.data.detection.coco import COCODataset
from resdet.data.detection.voc import VOCDataset
from resdet.data.detection.yolo import YOLODataset
from resdet.engine.config import build
from resdet.engine.run import make_folder
from resdet.errors import UserError
from resdet.inspection.detection import Sets
from resdet.inspection.fix_coco import fix_coco
from resdet.inspection.fix_voc import fix_voc
from resdet.inspection.fix_yolo import fix_yolo
from resdet.inspection.fixes import CHANGES, Fixes


class FixPlan(NamedTuple):
    """Data sets that can be repaired, and the folder for the copy."""

    fixes: Fixes
    known: list[tuple[Any, dict[str, Any]]]  # type and arguments of each


def plan_fix(sets: Sets, out: Path) -> FixPlan:
    """Check that data sets can be repaired into a folder, before they are read, which may take hours.

    Args:
        sets: `sets_of_config` or `sets_of_folder`.
        out: the folder, made if needed.

    Raises:
        UserError: a data set is of another format than VOC, COCO and YOLO, or has another root than the others; the
            folder is the data set's own, holds something else, or cannot be made.
    """
    known = [_arguments(node) for node in sets.values()]
    roots = {Path(values["root"]) for _, values in known}
    if len(roots) > 1:
        raise UserError(
            f"--fix: data.train and data.test have different roots, {min(roots)} and {max(roots)}; fix each"
        )
    fixes = Fixes(roots.pop(), out)
    make_folder(out)
    return FixPlan(fixes, known)


def fix_data(plan: FixPlan) -> list[str]:
    """Write the annotations of all data sets into the plan's folder, and changes.txt.

    The files have the paths that they have below the data set's root, so that they can be copied over it. Images are
    not copied.

    Returns:
        A line per change.

    Raises:
        UserError: a data set cannot be listed.
    """
    fixes, known = plan
    done: list[tuple[Any, dict[str, Any]]] = []
    for kind, values in known:
        if (kind, values) not in done:  # both parts of a split are one data set
            FIXES[kind](fixes, values)
        done.append((kind, values))
    changes = list(dict.fromkeys(fixes.changes))
    text = "".join(f"{line}\n" for line in changes)
    (fixes.out / CHANGES).write_text(text, encoding="utf-8", errors="backslashreplace")  # names need not be UTF-8
    return changes


def _arguments(node: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Type and arguments of a data set, without the classes that wrap it."""
    while "dataset" in node:
        node = node["dataset"]
    if node["type"] not in FIXES:
        name = getattr(node["type"], "__name__", node["type"])
        raise UserError(f"--fix: a {name} cannot be repaired; only {', '.join(kind.__name__ for kind in FIXES)} can")
    return node["type"], build({key: value for key, value in node.items() if key not in ("type", "keep_difficult")})


def _fix_voc(fixes: Fixes, values: dict[str, Any]) -> None:
    fix_voc(fixes, values["splits"])


def _fix_coco(fixes: Fixes, values: dict[str, Any]) -> None:
    fix_coco(fixes, values["splits"])


def _fix_yolo(fixes: Fixes, values: dict[str, Any]) -> None:
    sets = values["image_sets"]
    fix_yolo(fixes, [sets] if isinstance(sets, str) else sets, values.get("classes"))


FIXES: dict[Any, Callable[[Fixes, dict[str, Any]], None]] = {
    VOCDataset: _fix_voc,
    COCODataset: _fix_coco,
    YOLODataset: _fix_yolo,
}
