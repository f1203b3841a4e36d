"""Tells whether the images of a split data set have changed since a training, and with them its two parts.

warn_of_changed_split(cfg, ["runs/mine/last.pth"])
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from resdet.data.detection.splitting import SplitPart
from resdet.engine.conditions import images_record
from resdet.engine.config import Config, build
from resdet.engine.kept_config import kept_images

logger = logging.getLogger("resdet")


def warn_of_changed_split(cfg: Config, checkpoints: Iterable[str | Path]) -> None:
    """Warn if the config's test set is one part of a split, and the other part is not what a checkpoint was trained on.

    A split depends on all images of its data set: with one more or less, images move from one part to the other.

    Args:
        cfg: the config of the test.
        checkpoints: files; only checkpoints (.pth) of resdet keep what they were trained on.
    """
    if cfg.data.test.get("type") is not SplitPart or "train" not in cfg.data:
        return
    records = [(path, record) for path in checkpoints if (record := kept_images(path)) is not None]
    if not records:
        return
    now = images_record(build(cfg.data.train).table.ids.tolist())
    for path, then in records:
        if then.get("sorted") != now["sorted"]:
            logger.warning(
                "%s was not trained on data.train as it is now (%s images then, %d now): if it was trained on this "
                "data set, its images and with them the split have changed: some test images may have been trained on",
                path, then.get("number"), now["number"],
            )  # fmt: skip
