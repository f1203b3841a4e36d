"""Folders of the repository, and the folder of reference data beside it."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"
DATA = ROOT / "data"
SHARED = ROOT.parent / "shared"  # reference data, not part of the repository
