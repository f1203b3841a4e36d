"""Fixtures of the tests of the commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.detectors import random_detector


@pytest.fixture(scope="module")
def checkpoint(det_config: Path) -> Path:
    """A detector with random weights."""
    return random_detector(det_config, det_config.parent / "random.pth")
