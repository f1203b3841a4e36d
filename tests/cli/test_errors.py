"""`resdet errors` prints what errors cost, and writes tables and pictures."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import cv2
import pytest

from helpers.commands import ON_CPU, error_line, errors, eval_voc
from resdet.metrics.error_kinds import KINDS, MISSED


def test_tables_and_pictures_are_written(
    det_config: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, facts = tmp_path / "errors", tmp_path / "facts.json"
    command = [str(det_config), "--checkpoint", str(checkpoint)]
    errors([*command, "--score", "0.01", "--worst", "2", "--out", str(out), "--against", str(checkpoint),
            "--json", str(facts), *ON_CPU])  # fmt: skip
    printed = capsys.readouterr().out
    assert all(kind in printed for kind in (*KINDS, MISSED))
    first, second = json.loads(facts.read_text())["detectors"]
    assert first == second == json.loads((out / "errors.json").read_text())
    pictures = sorted((out / "worst").iterdir())
    assert len(pictures) == min(2, len(first["worst_images"]))
    assert all(cv2.imread(str(path)) is not None for path in pictures)
    page = (out / "errors.html").read_text(encoding="utf-8")
    assert page.count("mAP that errors cost: ") == 2
    assert page.count("<img ") == len(pictures)
    header, *rows = csv.reader((out / "confusion.csv").open())
    assert [[int(count) for count in row[1:]] for row in rows] == first["confusion"]["counts"]
    assert header == ["true class", "apple", "pear", "background"]
    eval_voc([*command, "--json", str(tmp_path / "eval.json"), *ON_CPU])
    per_class = json.loads((tmp_path / "eval.json").read_text())["per_class"]
    assert {name: row["ap"] for name, row in first["per_class"].items()} == pytest.approx(per_class)


def test_a_test_set_without_objects_is_refused_before_anything_is_detected(
    det_config: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its mAP is undefined, not 0, and no error costs anything."""
    shutil.copytree(det_config.parent / "devkit", tmp_path / "devkit")
    for xml in (tmp_path / "devkit/VOCtiny/Annotations").glob("*.xml"):
        xml.write_text("<annotation></annotation>")
    arguments = [det_config, "--checkpoint", checkpoint, "--out", tmp_path / "errors", *ON_CPU]
    arguments += ["--cfg-options", f"data.test.root={tmp_path / 'devkit'}"]
    refused = error_line(errors, arguments, capsys)
    assert "data.test: its 2 images have no objects, so nothing can be scored" in refused
    assert not (tmp_path / "errors").exists()
