"""resdet copy-configs copies all configs and overwrites none."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.commands import copy_configs, error_line
from helpers.paths import ROOT
from resdet.recipes.sections import load_config


def test_copied_configs_are_whole_and_nothing_is_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    copy_configs([str(folder)])
    assert load_config(folder / "voc07_r101.py").model.net.depth == 101  # which inherits from its neighbours
    assert "is there already" in error_line(copy_configs, [str(folder)], capsys)


def test_all_names_of_configs_can_be_listed(capsys: pytest.CaptureFixture[str]) -> None:
    copy_configs(["--list"])
    names = capsys.readouterr().out.splitlines()
    assert names == sorted(path.stem for path in (ROOT / "configs").glob("*.py"))
    assert "give a folder to make, or --list" in error_line(copy_configs, [], capsys)
