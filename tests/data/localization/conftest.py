"""A small CLS-LOC folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.cls_loc import FISH, SHARK, VAL, Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Four images of train, of which two have boxes, and two of val."""
    layout = Layout(tmp_path)
    layout.image("train", f"{FISH}/{FISH}_1", [])
    layout.image("train", f"{FISH}/{FISH}_2", [(FISH, 0, 0, 59, 39), (FISH, 10, 5, 29, 24)])
    layout.image("train", f"{SHARK}/{SHARK}_1", [])
    layout.image("train", f"{SHARK}/{SHARK}_2", [(SHARK, 30, 20, 49, 29)])
    layout.image("val", f"{VAL}1", [(SHARK, 0, 10, 19, 29)])
    layout.image("val", f"{VAL}2", [(FISH, 20, 0, 59, 39), (FISH, 0, 0, 9, 9)])
    return layout
