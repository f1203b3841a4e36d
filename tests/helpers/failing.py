"""A small classifier's training in which one of several processes fails, and the losses that its log has."""

from __future__ import annotations

from pathlib import Path

from resdet.engine.log import read_scalars

FAILING = """
import os, signal
from pathlib import Path

from resdet.data.classification.imagenet import ImageNetDataset


class FailingDataset(ImageNetDataset):
    \"\"\"A process of the second rank fails at its 13th image, once.\"\"\"

    reads = 0

    def __getitem__(self, index):
        self.reads += 1
        marker = Path({marker!r})
        if self.reads == 13 and os.environ.get("RANK") == "1" and not marker.exists():
            marker.touch()
            {failure}
        return super().__getitem__(index)
"""


def failing_config(folder: Path, cls_config: Path, failure: str) -> Path:
    """The small classifier's config; the file FOLDER/failed is made when its data set fails."""
    (folder / "failing.py").write_text(FAILING.format(marker=str(folder / "failed"), failure=failure))
    text = cls_config.read_text().replace(
        "import ImageNetDataset", "import ImageNetDataset\nfrom failing import FailingDataset"
    )
    config = folder / "cls.py"
    config.write_text(text.replace("train=dict(type=ImageNetDataset", "train=dict(type=FailingDataset"))
    return config


def losses_in(work_dir: Path) -> list[tuple[int, float]]:
    """(step, loss) of every step that is logged in a run's folder."""
    return [(r["step"], r["loss"]) for r in read_scalars(work_dir / "scalars.json") if "loss" in r]
