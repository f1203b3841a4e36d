"""resdet predict --save-annotations."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from helpers.commands import ON_CPU, error_line, predict
from helpers.predictions import predictions
from resdet.data.detection.annotations import DetectionDataset
from resdet.data.detection.coco import COCODataset
from resdet.data.detection.voc import VOCDataset
from resdet.data.detection.yolo import YOLODataset
from resdet.data.images import read_image


@pytest.mark.parametrize("form", ["voc", "coco", "yolo"])
def test_saved_annotations_are_read_back(
    form: str, det_config: Path, checkpoint: Path, photos: Path, tmp_path: Path
) -> None:
    shutil.copy(photos / "deep" / "tall.jpg", photos / "wide.jpg")  # beside wide.png
    out = tmp_path / "out"
    arguments = [str(det_config), str(checkpoint), str(photos), "--out", str(out), *ON_CPU, "--threshold", "0.05"]
    predict([*arguments, "--save-annotations", form])
    classes = ("apple", "pear")
    dataset: DetectionDataset
    if form == "voc":
        dataset = VOCDataset(out / "voc", [("", "all")], classes=classes)
    elif form == "coco":
        dataset = COCODataset(out / "coco", [("images", "annotations.json")])
    else:
        dataset = YOLODataset(out / "yolo", ".")
    assert tuple(dataset.classes) == classes
    found = {Path(record["file"]): record for record in predictions(out)}
    expected = [found[photos / name] for name in ("deep/tall.jpg", "wide.jpg", "wide.png")]
    samples = sorted((dataset[i] for i in range(3)), key=lambda sample: sample.image_id)
    for sample, record in zip(samples, expected, strict=True):
        assert torch.equal(sample.image, torch.from_numpy(read_image(record["file"])))
        wide = [i for i, (x1, y1, x2, y2) in enumerate(record["boxes"]) if min(x2 - x1, y2 - y1) > 2]
        assert len(sample.boxes) >= len(wide) > 0
        for i in wide:
            near = (sample.boxes - torch.tensor(record["boxes"][i])).abs().amax(1) <= (1 if form == "voc" else 0.01)
            assert record["labels"][i] in sample.labels[near].tolist()


@pytest.mark.parametrize(("form", "corrected"), [("voc", "Annotations/wide.xml"), ("yolo", "labels/wide.txt")])
def test_corrected_annotations_are_never_overwritten(
    form: str,
    corrected: str,
    det_config: Path,
    checkpoint: Path,
    photos: Path,
    clip: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    arguments = [str(det_config), str(checkpoint), str(photos), "--out", str(out), *ON_CPU]
    predict([*arguments, "--save-annotations", form])
    (out / form / corrected).write_text("corrected by hand")
    shutil.copy(photos / "wide.png", photos / "new.png")
    error = error_line(predict, [*arguments, "--save-annotations", form], capsys)
    assert f"{out / form} holds annotations that may have been corrected by hand: move it away, or add --ov" in error
    assert (out / form / corrected).read_text() == "corrected by hand"
    assert not (out / "new.png").exists()  # refused before anything is computed
    predict(arguments)  # without annotations it goes on
    assert (out / "new.png").is_file()
    predict([*arguments, "--save-annotations", "coco", "--overwrite"])
    (older,) = out.glob(f"{form}.old-*")
    assert (older / corrected).read_text() == "corrected by hand"
    assert not (out / form).exists()  # no mixture of old and new
    error = error_line(predict, [*arguments, "--save-annotations", "coco"], capsys)
    assert f"{out / 'coco'} holds annotations" in error
    predict([*arguments, "--save-annotations", form])
    assert {path.stem for path in (out / form / corrected).parent.glob("*")} == {"deep", "new", "wide"}
    predict([str(det_config), str(checkpoint), str(clip), "--out", str(out), *ON_CPU, "--overwrite"])
    assert not (out / form).exists()
    assert len(list(out.glob(f"{form}.old-*"))) == 2
