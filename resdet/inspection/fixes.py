"""What `inspect-data --fix OUT` shares between formats: the folder it writes, the list of changes, and mended boxes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from resdet.errors import UserError

CHANGES = "changes.txt"
LEFT = "NOT repaired"


class Fixes:
    """A repaired copy of a data set's annotations, file by file, and the list of what was changed.

    Args:
        root: of the data set; copies have the same paths below `out` as the files below `root`.
        out: folder of the copies, which must not hold the data set.

    Raises:
        UserError: `out` is the data set's own folder, or holds something else than an earlier copy.
    """

    def __init__(self, root: Path, out: Path) -> None:
        if os.path.realpath(out) == os.path.realpath(root):
            raise UserError(f"{out}: is the data set's own folder; choose another one for the repaired annotations")
        if out.exists() and not (out / CHANGES).is_file() and (not out.is_dir() or any(out.iterdir())):
            raise UserError(f"{out}: is there already and no copy of --fix; choose a folder that does not exist")
        self.root, self.out = root, out
        self.changes: list[str] = []

    def note(self, where: str | Path, what: str) -> None:
        """Record a change: file and object, and what was done."""
        self.changes.append(f"{where}: {what}")

    def leave(self, where: str | Path, reason: str) -> None:
        """Record a fault that stays, because its repair needs a decision."""
        self.note(where, f"{LEFT}, because {reason}")

    def write(self, path: Path, content: str | bytes) -> None:
        """Write the copy of a file of the data set.

        Args:
            path: of the original, below the root.
            content: text, which is written as UTF-8, or bytes.
        """
        below = os.path.relpath(path, self.root)
        if below.startswith(".."):
            raise UserError(f"{path}: is not below {self.root}, which the repaired copy of it would need")
        target = self.out / below
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode(errors="surrogateescape") if isinstance(content, str) else content)


def mend_box(box: np.ndarray, size: tuple[int, int]) -> np.ndarray | None:
    """A box clipped to its image; None if it has no area there.

    Args:
        box: float64 [4], continuous corners.
        size: (height, width) of the image.
    """
    height, width = size
    clipped: np.ndarray = box.clip(0, [width, height, width, height])
    return clipped if (clipped[2:] > clipped[:2]).all() else None
