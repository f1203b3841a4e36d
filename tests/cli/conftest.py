"""Fixtures of the tests of the commands."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from helpers.detectors import random_detector


@pytest.fixture(scope="module")
def checkpoint(det_config: Path) -> Path:
    """A detector with random weights."""
    return random_detector(det_config, det_config.parent / "random.pth")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of four frames of noise, 5 per second."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 5.0, (96, 64))
    random = np.random.default_rng(2)
    for _ in range(4):
        writer.write(random.integers(0, 256, (64, 96, 3)).astype(np.uint8))
    writer.release()
    return path
