"""resdet to-fiftyone writes FiftyOne's documented FiftyOneImageDetectionDataset, read here by its rules."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import resdet
from helpers.commands import ON_CPU, to_fiftyone
from resdet.data.detection.yolo import YOLODataset
from resdet.engine.config import build
from resdet.metrics.flat import FlatDetections
from resdet.recipes.detection.fiftyone_files import write_fiftyone


def read(folder: Path, field: str) -> tuple[list[str], dict[str, list[dict]]]:
    """Classes, and the objects of each image file: labels name their image without suffix."""
    images = {
        str(Path(name).with_suffix("")): path for name, path in json.loads((folder / "data.json").read_text()).items()
    }
    content = json.loads((folder / f"{field}.json").read_text())
    return content["classes"], {images[name]: objects for name, objects in content["labels"].items()}


def test_truth_and_detections_are_those_of_the_test_set(
    det_config: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "fo"
    to_fiftyone([str(det_config), "--checkpoint", str(checkpoint), "--out", str(out), *ON_CPU])
    assert f"python {out}/open_fiftyone.py" in capsys.readouterr().out
    test = build(resdet.load_config(det_config).data.test)
    classes, truth = read(out, "ground_truth")
    assert classes == list(test.classes)
    assert list(truth) == [str(Path(path).absolute()) for path in test.table.paths]
    detector = resdet.load_detector(det_config, checkpoint, device="cpu", precision="fp32")
    _, detected = read(out, "predictions")
    for i, path in enumerate(truth):
        height, width = cv2.imread(path).shape[:2]
        own, scale = test.table.objects(i), [width, height, width, height]
        for found, boxes, labels in (
            (truth[path], test.table.boxes[own], test.table.labels[own]),
            (detected[path], *(part.numpy() for part in (detector(path).boxes, detector(path).labels))),
        ):
            assert [item["label"] for item in found] == [classes[k] for k in labels]
            x, y, w, h = (np.array([item["bounding_box"] for item in found]).reshape(-1, 4) * scale).T
            np.testing.assert_allclose(np.stack([x, y, x + w, y + h], 1), boxes, atol=1e-2)
        assert [item["attributes"]["ignored"] for item in truth[path]] == test.table.difficult[own].tolist()
        np.testing.assert_allclose([item["confidence"] for item in detected[path]], detector(path).scores, atol=1e-5)
    ast.parse((out / "open_fiftyone.py").read_text())


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such file names")
def test_images_whose_names_are_not_utf8_are_left_out_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root, names = tmp_path / "data", ("é", "la\udce9tin")
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    (root / "classes.txt").write_text("apple\n")
    for name in names:
        (root / f"images/{name}.png").write_bytes(cv2.imencode(".png", np.zeros((30, 40, 3), np.uint8))[1].tobytes())
        (root / f"labels/{name}.txt").write_text("0 .5 .5 .5 .5\n")
    found = FlatDetections(
        image=np.array([0, 1]), label=np.zeros(2), score=np.ones(2), box=np.array([[1, 2, 30, 20]] * 2)
    )
    with caplog.at_level("WARNING", "resdet"):
        write_fiftyone(YOLODataset(root, "."), found, tmp_path / "fo")
    assert [r"la\udce9tin" in record.getMessage() for record in caplog.records] == [True]
    for field in ("ground_truth", "predictions"):
        _, objects = read(tmp_path / "fo", field)
        assert [(path, len(own)) for path, own in objects.items()] == [(str(root / "images/é.png"), 1)]
