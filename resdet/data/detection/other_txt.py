"""Recognizes txt annotations of MOT, VisDrone, KITTI, DOTA and WIDER FACE, for messages that say how to convert them.

other_line("cat .5 .5 .2 .2")                              # "names the class 'cat' in the place of its number; ..."
other_file(Path("wider_face_train_bbx_gt.txt"))            # "is of WIDER FACE, which is not read; ..."
"""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path

from resdet.data.detection.yolo_folders import is_list
from resdet.data.text_files import quoted, read_lines
from resdet.errors import UserError

_WIDER = re.compile(r"wider_face_\w*gt\.txt", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_YOLOS = "lines 'class cx cy w h', the class as its number from 0, the box in fractions of the image"
_FIRST = 10  # lines of a file that are looked at


def other_line(line: str) -> str | None:
    """What a line of a txt file is if it is not YOLO's, and how to convert it; None if that is not known."""
    cells = line.strip().rstrip(",").split(",")
    if len(cells) >= 5 and all(_NUMBER.fullmatch(cell.strip()) for cell in cells):
        return f"has commas between its numbers, as in MOT and VisDrone, which are not read; write {_YOLOS}"
    words = line.split()
    numbers = [_NUMBER.fullmatch(word) is not None for word in words]
    if len(words) >= 15 and not numbers[0] and all(numbers[1:]):
        return (
            f"is of KITTI (a name, and x1 y1 x2 y2 in pixels as its columns 5 to 8), which is not read; write {_YOLOS}"
        )
    if len(words) >= 9 and all(numbers[:8]) and not numbers[8]:
        return (
            "is of DOTA (the four corners of a rotated box, and a name), which is not read; write the enclosing boxes: "
            f"{_YOLOS}"
        )
    if len(words) == 5 and not numbers[0] and all(numbers[1:]):
        return f"names the class {quoted(words[0])} in the place of its number; write {_YOLOS}"
    return None


def other_file(path: Path) -> str | None:
    """What a txt file is if it has boxes in another form than YOLO's, and how to convert it; None for all others."""
    if _WIDER.fullmatch(path.name):
        return (
            "is of WIDER FACE, which is not read; convert it to COCO: for each image it has the path, the number of "
            "boxes, and a line per box that begins with COCO's bbox, x y width height in pixels"
        )
    if is_list(path):
        return None
    try:
        lines = [line for _, line in islice(read_lines(path), _FIRST)]
    except UserError:
        return None
    return next((found for line in lines if (found := other_line(line)) is not None), None)
