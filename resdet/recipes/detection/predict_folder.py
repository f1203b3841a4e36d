"""The output folder of `resdet predict`: its files, and the annotations in it, which somebody may have corrected."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from resdet.errors import UserError

LINES, WHOLE, SETTINGS = "detections.jsonl", "detections.json", "predict.json"
PARTS = "detections.part*.jsonl"  # lines of one of several processes
ANNOTATIONS = {"voc": "Annotations", "coco": "annotations.json", "yolo": "labels"}  # what is corrected, by format

logger = logging.getLogger("resdet")


def is_output(folder: Path) -> bool:
    """Whether a folder holds what `predict` has drawn: of images, also interrupted, or of a video."""
    return (folder / LINES).is_file() and any((folder / name).is_file() for name in (SETTINGS, WHOLE))


def refuse_annotations(out: Path, form: str | None) -> None:
    """Refuse to replace annotations of an earlier command.

    Args:
        out: the output folder.
        form: "voc", "coco" or "yolo"; None: nothing is refused.

    Raises:
        UserError: OUT/<form> holds annotations.
    """
    if form and (out / form / ANNOTATIONS[form]).exists():
        raise UserError(
            f"{out / form} holds annotations that may have been corrected by hand: move it away, or add --overwrite, "
            f"which detects anew and renames it to {form}.old-DATE"
        )


def set_annotations_aside(out: Path) -> None:
    """Rename the data sets of an earlier command, OUT/yolo to OUT/yolo.old-DATE, with a warning for each."""
    date = time.strftime("%Y-%m-%d_%H%M%S")
    for form, content in ANNOTATIONS.items():
        folder = out / form
        if not (folder / content).exists():
            continue
        target, number = out / f"{form}.old-{date}", 2
        while target.exists():
            target, number = out / f"{form}.old-{date}_{number}", number + 1
        folder.rename(target)
        logger.warning("%s: the annotations of an earlier command are in %s now", folder, target)
