"""Folders of the repository, and the folder of reference data beside it."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"
DATA = ROOT / "data"
SHARED = ROOT.parent / "shared"  # reference data, not part of the repository


def shipped_configs(bases: bool = False) -> list[Path]:
    """The configs that are part of the repository: a user's own configs/mine.py is none of them.

    Args:
        bases: those of configs/_base_ too.
    """
    found = subprocess.run(["git", "ls-files", "configs"], cwd=ROOT, capture_output=True, text=True, check=False)
    names = found.stdout.splitlines() or [str(p.relative_to(ROOT)) for p in CONFIGS.rglob("*.py")]  # no repository
    paths = sorted(ROOT / name for name in names if name.endswith(".py") and (ROOT / name).is_file())
    return [path for path in paths if bases or path.parent == CONFIGS]
