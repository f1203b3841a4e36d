"""--record and resdet results: what a command has measured becomes a page."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.commands import ON_CPU, error_line, eval_cls, eval_voc, results, train_cls, train_det
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
    assert found.precision == "fp32"
    assert len(found.commands) == 2
    assert not any("--record" in command for command in found.commands)
    capsys.readouterr()
    results(["--ledger", str(ledger)])
    page = capsys.readouterr().out
    assert f"| {det_config.stem} | " in page
    assert "| 2, 5 |" in page
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


def test_what_cannot_be_recorded_is_refused_before_the_work(
    tmp_path: Path, det_config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    checkpoint = ["--checkpoint", tmp_path / "none.pth", "--record", bad]
    bad_or_missing = error_line(eval_voc, [det_config, *checkpoint], capsys)
    assert "bad.json is not a measurement" in bad_or_missing
    files = ["--detections", tmp_path, "--voc-root", tmp_path, "--year", "2007", "--image-set", "test"]
    assert "--record: results of files are not recorded" in error_line(eval_voc, [*files, "--record", bad], capsys)
    assert "give the folder of a ledger" in error_line(results, ["--ledger", tmp_path], capsys)
