"""Fixtures of the tests of the commands."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from resdet.engine.checkpoint import save_checkpoint
from resdet.engine.config import build
from resdet.recipes.sections import load_config


@pytest.fixture(scope="module")
def checkpoint(det_config: Path) -> Path:
    """A detector with random weights."""
    torch.manual_seed(0)
    model = build(load_config(det_config).model)
    path = det_config.parent / "random.pth"
    save_checkpoint(path, {"model": model.state_dict(), "classes": ["apple", "pear"]})
    return path
