"""Commands of a row are run in order, in a folder, once each; an interrupted row goes on where it stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.commands import call, reproduce
from resdet.errors import UserError
from resdet.paper.dry import dry_commands
from resdet.paper.rows import all_rows, find_row
from resdet.paper.running import RECORD, Command, run_commands

LIST = ["copy-configs", "--list"]


def test_a_command_that_ended_is_not_run_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first, failing = Command("first", LIST), Command("second", ["copy-configs"])
    with pytest.raises(UserError, match="'second' ended with exit code 2; the same command again goes on"):
        run_commands([first, failing], tmp_path)
    printed = capfd.readouterr()
    assert "voc07_r101\n" in printed.out
    assert "where to?" in printed.err
    assert list(json.loads((tmp_path / RECORD).read_text())) == ["first"]
    run_commands([first, Command("second", LIST)], tmp_path)
    assert "[1/2] ended 2" in capfd.readouterr().out
    assert list(json.loads((tmp_path / RECORD).read_text())) == ["first", "second"]


def test_trainings_are_resumed_and_run_by_torchrun_and_other_commands_are_not() -> None:
    train = Command("", ["train-det", "coco_r101"])
    assert train.line() == ["-m", "resdet", "train-det", "coco_r101", "--resume"]
    assert train.line(8)[:5] == ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "8"]
    assert Command("", ["plot-errors", "a"]).line(8) == ["-m", "resdet", "plot-errors", "a"]


def test_a_damaged_record_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / RECORD).write_text("[")
    with pytest.raises(UserError, match="is no record of this command; delete it"):
        run_commands([], tmp_path)


def test_a_dry_run_has_the_rows_commands_with_small_configs(tmp_path: Path) -> None:
    """In their own order, none left out; the names of files below runs/ stay."""
    row = find_row("table13-ensemble")
    commands = dry_commands(row, tmp_path)
    assert [c.words[0] for c in commands] == ["train-cls", "train-cls", "train-loc", "train-loc", "eval-loc"]
    paths = [word for word in commands[-1].words if word.endswith(".py")]
    assert [Path(path).name for path in paths] == ["loc_r101_rcnn.py", "imagenet_r101.py", "imagenet_r152.py"]
    assert all(Path(path).is_file() for path in paths)
    assert "runs/loc_r101_rcnn_seed1/3_rcnn/last.pth" in commands[-1].words


@pytest.mark.heavy
@pytest.mark.parametrize("name", [row.id for row in all_rows()])
def test_every_row_completes_a_dry_run(name: str, tmp_path: Path) -> None:
    call(reproduce, name, "--dry-run", "--work-dir", tmp_path)


OF_EACH_KIND = ("table7-voc07_r101", "table8-coco_r101", "table2-imagenet_r18", "table12-det_r101", "table13-loc_r101")


@pytest.mark.heavy
@pytest.mark.parametrize("name", OF_EACH_KIND)
def test_a_row_of_each_kind_completes_a_dry_run_with_eight_processes(name: str, tmp_path: Path) -> None:
    call(reproduce, name, "--dry-run", "--processes", 8, "--work-dir", tmp_path)
