"""Check every image and label file of image sets in YOLO's format and report all problems.

for problem in check_yolo("data/mine", ["train", "val"]):
    print(problem.text)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from resdet.data.detection.yolo import label_lines, parse_row
from resdet.data.detection.yolo_files import ListedImage, list_images, orphan_labels
from resdet.data.detection.yolo_names import LineForm, line_form, read_names
from resdet.data.image_files import missing_images
from resdet.data.text_files import quoted, quoted_path
from resdet.errors import UserError
from resdet.inspection.problem import Problem, check_boxes, decoded_sizes

_ANY = 2**31  # labels are not checked where no file names the classes


def check_yolo(
    root: str | Path, image_sets: str | Sequence[str], classes: Sequence[str] | None = None
) -> Iterator[Problem]:
    """Find what YOLODataset refuses, and what it repairs and only counts.

    Args:
        root, image_sets, classes: see YOLODataset.

    Yields:
        A problem per defect.
    """
    root, form = Path(root), LineForm(_ANY, str(root))
    try:
        form = line_form(root, read_names(root) if classes is None else classes, given=classes is not None)
    except UserError as error:
        yield Problem(str(error), True)
    seen: dict[str, ListedImage] = {}
    for image_set in [image_sets] if isinstance(image_sets, str) else image_sets:
        try:
            images = list_images(root, image_set)
        except UserError as error:
            yield Problem(str(error), True)
            continue
        for image in images:
            first = seen.setdefault(image.id, image)
            if first is not image:
                again = f"image {quoted(image.id)} is in the sets twice (first {quoted_path(root / first.path)})"
                yield Problem(f"{quoted_path(root / image.path)}: {again}; keep one", True)
        for path in orphan_labels(root, image_set, images):
            yield Problem(f"{path}: no image belongs to it; restore the image or remove the file", False)
        yield from _check_images(root, images, form)


def _check_images(root: Path, listed: Sequence[ListedImage], form: LineForm) -> Iterator[Problem]:
    labels = {root / image.path: image.label for image in listed}
    missing = set(missing_images(list(labels)))
    for path in missing:
        yield Problem(f"{path}: no such image; restore it or take it out of the image set", True)
    for path, found in decoded_sizes([path for path in labels if path not in missing]):
        if isinstance(found, Problem):
            yield found
        yield from _check_label(labels[path], form, None if isinstance(found, Problem) else found)


def _check_label(path: Path, form: LineForm, size: tuple[int, int] | None) -> Iterator[Problem]:
    """Check one txt file; `size` is the image's, None if it cannot be read."""
    if not path.is_file():
        yield Problem(f"{path}: no such txt file; the image counts as one without objects", False)
        return
    try:
        lines = label_lines(path)
    except UserError as error:
        yield Problem(str(error), True)
        return
    places, rows = [], []
    for where, line in lines:
        try:
            rows.append(parse_row(line, form, where))
            places.append((where, line))
        except UserError as error:
            yield Problem(str(error), True)
    if size is None or not rows:
        return
    boxes = np.array([row[1:] for row in rows]) * [size[1], size[0], size[1], size[0]]
    shown = [line if len(line) <= 40 else f"{line[:40]}..." for _, line in places]
    yield from check_boxes(lambda k: places[k][0], boxes, [row[0] for row in rows], shown, size)
