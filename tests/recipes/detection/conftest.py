"""Fixtures of the tests of detectors."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.commands import ON_CPU, train_det


@pytest.fixture(scope="session")
def trained(det_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a detector after one step, which keeps every detection. Read-only: shared by all tests."""
    folder = tmp_path_factory.mktemp("trained")
    options = ["--cfg-options", "schedule.steps=1", "model.head.score_floor=0.0"]
    train_det([str(det_config), "--work-dir", str(folder), *ON_CPU, *options])
    return folder / "last.pth"
