"""--record and resdet results: what a command has measured becomes a page."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.commands import (
    ON_CPU,
    call,
    error_line,
    error_of,
    errors,
    eval_cls,
    eval_voc,
    results,
    train_cls,
    train_det,
)
from resdet.ledger.measurement import Figure, read_measurement

CONTENTS = """introduction = "What was measured."
machines = {}
[[section]]
key = "recorded"
title = "Recorded"
"""


def test_a_test_of_two_seeds_becomes_one_row_of_the_page(
    tmp_path: Path, det_config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = tmp_path / "results"
    ledger.mkdir()
    (ledger / "ledger.toml").write_text(CONTENTS)
    for seed in (2, 5):
        run = tmp_path / f"seed{seed}"
        options = ["--seed", str(seed), "--cfg-options", "schedule.steps=1"]
        train_det([str(det_config), "--work-dir", str(run), *ON_CPU, *options])
        eval_voc(
            [str(det_config), "--checkpoint", str(run / "last.pth"), *ON_CPU, "--record", str(ledger / "tiny.json")]
        )
    found = read_measurement(ledger / "tiny.json")
    assert [(row.name, row.seeds) for row in found.rows] == [(det_config.stem, [2, 5])]
    assert list(found.rows[0].figures) == ["mAP@.5", "mAP@[.5:.95]"]
    assert {origin.precision for origin in found.rows[0].origins} == {"fp32"}
    assert len(found.commands) == 2
    assert not any("--record" in command for command in found.commands)
    capsys.readouterr()
    results(["--ledger", str(ledger)])
    page = capsys.readouterr().out
    assert f"| {det_config.stem} | " in page
    in_one_line = " ".join(page.split())  # where it is wrapped depends on the name of the machine
    assert "; seeds 2, 5; fp32; CPU (" in in_one_line
    assert "; what settings were chosen on was not said; commit " in in_one_line
    results(["--ledger", str(ledger), "--out", str(tmp_path / "page.md")])
    assert (tmp_path / "page.md").read_text() == page


def test_a_classifiers_errors_are_recorded_in_percent(tmp_path: Path, cls_config: Path) -> None:
    train_cls([str(cls_config), "--work-dir", str(tmp_path / "run"), *ON_CPU, "--cfg-options", "schedule.steps=1"])
    file = tmp_path / "errors.json"
    eval_cls([str(tmp_path / "run" / "last.pth"), *ON_CPU, "--record", str(file)])
    (row,) = read_measurement(file).rows
    figure = row.figures["center/top1_error"]
    assert isinstance(figure, Figure)
    assert (row.name, row.seeds, 0 <= figure.mean <= 100) == ("run", [0], True)


def test_what_cannot_be_recorded_is_refused_before_the_test(
    tmp_path: Path, det_config: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, file = tmp_path / "bad.json", tmp_path / "tiny.json"
    bad.write_text("{}")
    command = [det_config, "--checkpoint", checkpoint, *ON_CPU, "--record"]
    assert "bad.json is not a measurement" in error_line(eval_voc, [*command, bad], capsys)
    assert "'resdet results' reads .json files alone" in error_of(
        eval_voc, [*command, tmp_path / "ledger.toml"], capsys
    )
    call(eval_voc, *command, file)
    before = file.read_bytes()
    for options in (["--flip"], ["--method", "11-point"], ["--cfg-options", "model.head.nms_iou=0.4"]):
        error = error_of(eval_voc, [*command, file, *options], capsys)
        assert "is of another config or of other options; give another file, or another row with --row" in error
    assert file.read_bytes() == before
    files = ["--detections", tmp_path, "--voc-root", tmp_path, "--year", "2007", "--image-set", "test"]
    assert "--record: results of files are not recorded" in error_line(eval_voc, [*files, "--record", bad], capsys)
    bad.unlink()
    into = error_line(results, ["--ledger", tmp_path, "--out", file], capsys)
    assert "the folder of the measurements is for these alone" in into
    assert file.read_bytes() == before
    assert "--row names the results in the file of --record" in error_line(
        eval_voc, [*command[:-1], "--row", "x"], capsys
    )
    with pytest.raises(SystemExit):
        call(errors, *command[1:3], *ON_CPU, "--record", file)  # it has nothing to record
    assert "there is no option --record" in capsys.readouterr().err


def test_the_best_checkpoint_of_a_training_is_another_system_than_its_last(
    tmp_path: Path, det_config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, file = tmp_path / "run", tmp_path / "tiny.json"
    train_det([str(det_config), "--work-dir", str(run), *ON_CPU, "--cfg-options", "schedule.steps=1"])
    (run / "best.pth").write_bytes((run / "last.pth").read_bytes())
    command = [det_config, *ON_CPU, "--record", file, "--checkpoint"]
    call(eval_voc, *command, run / "last.pth")
    assert "is of another config or of other options" in error_of(eval_voc, [*command, run / "best.pth"], capsys)


def test_other_options_an_ensemble_and_a_seed_alone_are_rows_of_their_own(
    tmp_path: Path, det_config: Path, checkpoint: Path
) -> None:
    file = tmp_path / "tiny.json"
    command = [det_config, *ON_CPU, "--record", file]
    call(eval_voc, *command, "--checkpoint", checkpoint)
    call(eval_voc, *command, "--checkpoint", checkpoint, "--flip", "--row", "flipped")
    call(eval_voc, *command, "--checkpoint", checkpoint, checkpoint)
    names = [row.name for row in read_measurement(file).rows]
    assert names == [det_config.stem, "flipped", f"{det_config.stem}, 2 nets"]
