"""resdet eval-voc: figures from files of detections."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.commands import error_line, eval_voc
from helpers.datasets import write_voc
from resdet.data.detection.voc import VOC_CLASSES


@pytest.fixture
def scored(tmp_path: Path) -> list[str]:
    """Ground truth: two cats, a difficult cat and a dog. Detections: five cats."""
    write_voc(
        tmp_path,
        {
            "val": {
                "one": [("cat", 11, 11, 50, 50), ("dog", 60, 10, 90, 40)],
                "two": [("cat", 1, 1, 40, 40), ("cat", 61, 1, 100, 40, True)],
                "three": [],
            }
        },
    )
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "comp4_det_val_cat.txt").write_text(
        "two 0.95 61 1 100 40\n"  # the difficult one: neither hit nor miss
        "one 0.9 11 11 50 50\n"  # hit
        "three 0.8 1 1 30 30\n"  # miss
        "two 0.7 1 1 40 20\n"  # 800 of 1600 pixels, IoU exactly .5: hit
        "one 0.6 12 11 50 50\n"  # found already: miss
    )
    (folder / "comp4_det_val_dog.txt").write_text("")
    return ["--detections", str(folder), "--voc-root", str(tmp_path), "--year", "tiny", "--image-set", "val"]


@pytest.mark.parametrize(
    ("method", "cat"),
    [
        ("area", 1 / 2 * 1 + 1 / 2 * 2 / 3),  # precision 1 up to recall 1/2, then 2/3
        ("11-point", (6 * 1 + 5 * 2 / 3) / 11),  # six levels up to .5, five above
    ],
)
def test_eval_voc_prints_the_hand_worked_map(
    method: str, cat: float, scored: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    eval_voc([*scored, "--method", method, "--json", str(tmp_path / "figures.json")])
    assert f"mAP@.5 {cat / 2:.4f} ({method})" in capsys.readouterr().out
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["mAP50"] == pytest.approx(cat / 2)
    assert figures["per_class"] == {"cat": pytest.approx(cat), "dog": 0}
    assert (figures["images"], figures["detections"]) == (3, 5)


def test_eval_voc_takes_area_by_default_and_vocs_classes_for_a_year(
    scored: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    eval_voc(scored)
    sizes = "small (below 32x32 pixels) 0.0000, medium (to 96x96) 1.0000, large (above) -"
    assert f"mAP@.5 0.4167 (area); objects by area: {sizes}" in capsys.readouterr().out  # one unit, sizes explained
    write_voc(tmp_path, {"val": {"one": [("cat", 11, 11, 50, 50)]}}, year="2012")
    folder = tmp_path / "of2012"
    folder.mkdir()
    for name in VOC_CLASSES:
        hit = "one 0.5 11 11 50 50\n" if name == "cat" else ""
        (folder / f"comp4_det_val_{name}.txt").write_text(hit)
    eval_voc(
        ["--detections", str(folder), "--voc-root", str(tmp_path), "--year", "2012", "--image-set", "val"]
    )  # nineteen classes have nothing to find and are left out of the mean
    assert "mAP@.5 1.0000" in capsys.readouterr().out


def test_eval_voc_names_what_is_missing(
    scored: list[str], tmp_path: Path, det_config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--detections needs --voc-root" in error_line(eval_voc, scored[:2], capsys)
    assert "--image-set" in error_line(eval_voc, scored[:-2], capsys)
    assert "comp4_det_val_bird.txt" in error_line(eval_voc, [*scored, "--classes", "cat", "dog", "bird"], capsys)
    assert "which weights?" in error_line(eval_voc, [det_config], capsys)
    missing = error_line(eval_voc, [det_config, "--checkpoint", tmp_path / "none.pth"], capsys)
    assert "none.pth: no such checkpoint" in missing


def test_eval_voc_without_a_run_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "make demo" in error_line(eval_voc, [], capsys)
