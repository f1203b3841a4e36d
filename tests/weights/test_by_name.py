"""Published weights by their names, from the command line and in Python."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import resdet
from helpers.commands import ON_CPU
from helpers.weights import GOLDEN, needs_golden
from resdet.cli.main import main
from resdet.weights.zoo import resolve

NAME = "detectron2://COCO-InstanceSegmentation/mask_rcnn_R_50_C4_3x"
FILE = "detectron2/COCO-InstanceSegmentation/mask_rcnn_R_50_C4_3x/137849525/model_final_4ce675.pkl"
NARROW = {  # the golden detector: an eighth of the width, five classes
    "model.net.width": 0.125,
    "model.rpn.hidden": 128,
    "model.num_classes": 5,
    "data.test.classes": ["a", "b", "c", "d", "e"],
    "data.resizer.short": 64,
}


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The golden detector in the place of a downloaded one."""
    monkeypatch.setenv("RESDET_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "cache" / FILE
    path.parent.mkdir(parents=True)
    shutil.copy(GOLDEN / "detectron2_r50c4.pkl", path)
    return path


@needs_golden
@pytest.mark.shared
def test_a_detector_is_loaded_by_its_name_alone(cached: Path, photos: Path) -> None:
    assert resolve(NAME) == cached
    detector = resdet.load_detector(NAME, device="cpu", options=NARROW)
    assert detector.classes == ["a", "b", "c", "d", "e"]
    assert detector(photos / "wide.png").boxes.shape[1] == 4


@needs_golden
@pytest.mark.shared
def test_predict_takes_a_name_in_the_place_of_the_config(cached: Path, photos: Path, tmp_path: Path) -> None:
    options = [f"{key}={json.dumps(value)}" for key, value in NARROW.items()]
    main(["predict", NAME, str(photos), "--out", str(tmp_path / "out"), *ON_CPU, "--cfg-options", *options])
    assert (tmp_path / "out" / "detections.json").is_file()


def test_start_weights_are_looked_for_before_the_annotations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither VOC nor the weights are there; the weights are named first, with what downloads them."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["train-det", "voc07_r101", "--work-dir", str(tmp_path / "run")])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert "data/weights/R-101.pkl: no such weights file; give msra://R-101, which downloads it" in error
    assert not (tmp_path / "run").exists()


def test_without_a_network_the_address_to_fetch_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("resdet.weights.download.PAUSE", 0)
    monkeypatch.setenv("RESDET_MIRROR", "http://127.0.0.1:9")
    monkeypatch.setenv("RESDET_CACHE", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        main(["train-det", "voc07_r50", "--init-from", "msra://R-50", "--work-dir", str(tmp_path / "run")])
    assert ended.value.code == 2
    assert f"fetch http://127.0.0.1:9/detectron2/ImageNetPretrained/MSRA/R-50.pkl by hand and put it at {tmp_path}" in (
        capsys.readouterr().err
    )
