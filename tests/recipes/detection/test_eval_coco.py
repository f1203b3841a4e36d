"""A detector on COCO data, from training to the results file, and scoring of results files."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from helpers.commands import ON_CPU, copy_configs, error_line, eval_coco, eval_voc, inspect_data, predict, train_det
from helpers.configs import DETECTOR
from helpers.detectors import random_detector

NAMES = {2: "apple", 9: "pear"}


def write_coco(root: Path) -> None:
    """Two image sets of three images of 100x80, the last without objects."""
    random = np.random.default_rng(0)
    (root / "annotations").mkdir(parents=True)
    for first, name in ((1, "train"), (11, "val")):
        (root / name).mkdir()
        images = [{"id": first + i, "file_name": f"{first + i}.jpg", "width": 100, "height": 80} for i in range(3)]
        boxes = [(0, 2, [10, 10, 30, 40]), (0, 9, [50, 20, 40, 50]), (1, 9, [1, 1, 99, 79])]
        objects = [
            {"id": i, "image_id": first + image, "category_id": c, "bbox": b, "area": b[2] * b[3], "iscrowd": 0}
            for i, (image, c, b) in enumerate(boxes, 1)
        ]
        categories = [{"id": number, "name": label} for number, label in NAMES.items()]
        content = {"images": images, "annotations": objects, "categories": categories}
        (root / f"annotations/instances_{name}.json").write_text(json.dumps(content))
        for image in images:
            pixels = random.integers(0, 256, (80, 100, 3)).astype(np.uint8)
            cv2.imwrite(str(root / name / image["file_name"]), pixels)


@pytest.fixture(scope="module")
def coco_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("coco")
    write_coco(folder / "coco")
    text = DETECTOR.format(root=str(folder / "coco")).replace("resdet.data.detection.voc", "resdet.data.detection.coco")
    text = text.replace("VOCDataset", "COCODataset").replace(", classes=CLASSES", "").replace('"area"', '"coco"')
    text = text.replace('[("tiny", "trainval")]', '["train"]').replace('[("tiny", "test")]', '["val"]')
    (folder / "tiny_coco.py").write_text(text)
    return folder / "tiny_coco.py"


def test_training_evaluation_and_the_results_file_agree(
    coco_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, results = tmp_path / "run", tmp_path / "results.json"
    low = ["--cfg-options", "model.head.score_floor=0.0"]
    train_det([str(coco_config), "--work-dir", str(run), *ON_CPU, *low, "--json", str(tmp_path / "t.json")])
    printed = capsys.readouterr().out
    assert "mAP@.5 " in printed
    assert "mAP@[.5,.95] " in printed
    assert "mAP@[.5,.95]" in (run / "page.html").read_text()
    trained = json.loads((tmp_path / "t.json").read_text())
    assert list(trained)[:2] == ["val/mAP50", "val/mAP50_95"]
    assert len(trained) == 12

    arguments = [str(coco_config), "--checkpoint", str(run / "last.pth"), *ON_CPU, *low]
    eval_coco([*arguments, "--write-results", str(results), "--json", str(tmp_path / "a.json")])
    truth = coco_config.parent / "coco/annotations/instances_val.json"
    alone = ["--annotations", str(truth), "--results", str(results), "--json", str(tmp_path / "b.json")]
    eval_coco(alone)
    a, b = (json.loads((tmp_path / n).read_text()) for n in ("a.json", "b.json"))
    assert a.keys() == b.keys()
    assert {f"val/{k}": a[k] for k in a if f"val/{k}" in trained} == pytest.approx(trained)
    assert b["mAP50_95"] == pytest.approx(a["mAP50_95"], abs=1e-3)  # the file has hundredths of a pixel
    assert (a["images"], a["detections"]) == (3, b["detections"])
    assert a["detections"] > 0


def test_the_best_possible_score_of_a_results_file_is_reported(
    coco_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = coco_config.parent / "coco/annotations/instances_val.json"
    objects = json.loads(truth.read_text())["annotations"]
    results = [{k: o[k] for k in ("image_id", "category_id", "bbox")} | {"score": 0.9} for o in objects]
    (tmp_path / "results.json").write_text(json.dumps(results))
    eval_coco(["--annotations", str(truth), "--results", str(tmp_path / "results.json")])
    assert "mAP@.5 1.0000, mAP@[.5,.95] 1.0000 (COCO)" in capsys.readouterr().out


def test_voc_and_coco_rules_score_voc_and_coco_data(
    coco_config: Path, det_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--checkpoint", str(random_detector(det_config, tmp_path / "random.pth")), *ON_CPU]
    eval_voc([str(coco_config), *arguments])
    assert "(area)" in capsys.readouterr().out
    eval_coco([str(det_config), *arguments])
    assert "(COCO)" in capsys.readouterr().out


def test_detections_on_a_test_set_without_annotations_are_written_for_the_server(
    coco_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = coco_config.parent / "coco"
    content = json.loads((root / "annotations/instances_val.json").read_text())
    del content["annotations"]
    (root / "annotations/image_info_test-dev.json").write_text(json.dumps(content))
    config = coco_config.with_name("test_dev.py")
    text = coco_config.read_text().replace(
        '["val"]', '[("val", "annotations/image_info_test-dev.json")], annotated=False'
    )
    config.write_text(text)
    arguments = [str(config), "--checkpoint", str(random_detector(coco_config, tmp_path / "random.pth")), *ON_CPU]
    arguments += ["--write-results", str(tmp_path / "r.json"), "--cfg-options", "model.head.score_floor=0.0"]
    eval_coco(arguments)
    assert "nothing to score" in capsys.readouterr().out
    assert {r["category_id"] for r in json.loads((tmp_path / "r.json").read_text())} <= set(NAMES)


def test_user_errors_are_one_line(coco_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = coco_config.parent / "coco/annotations/instances_val.json"
    assert "go together" in error_line(eval_coco, ["--results", "r.json"], capsys)
    assert "give a checkpoint, or CONFIG" in error_line(eval_coco, [], capsys)
    assert "which weights?" in error_line(eval_coco, [coco_config], capsys)
    missing = error_line(eval_coco, [coco_config, "--checkpoint", tmp_path / "no/last.pth"], capsys)
    assert "no such checkpoint" in missing
    assert not (tmp_path / "no").exists()
    assert "r.json: no such file" in error_line(
        eval_coco, ["--annotations", truth, "--results", tmp_path / "r.json"], capsys
    )
    rule = [coco_config, "--work-dir", tmp_path / "run", *ON_CPU, "--cfg-options", "data.method=voc"]
    said = error_line(train_det, rule, capsys)
    assert "data.method is 'voc'; wanted: one of 'area', '11-point', 'ilsvrc', 'coco'" in said


def test_inspect_data_names_every_problem_of_coco_files(
    coco_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(coco_config.parent / "coco", tmp_path / "coco")
    config = tmp_path / "bad.py"
    config.write_text(coco_config.read_text().replace(str(coco_config.parent / "coco"), str(tmp_path / "coco")))
    inspect_data([str(config), "--out", str(tmp_path / "out")])
    assert "0 problems to mend, 1 warning;" in capsys.readouterr().out
    file = tmp_path / "coco/annotations/instances_train.json"
    content = json.loads(file.read_text())
    content["images"][0]["width"] = 90
    (tmp_path / "coco/train/2.jpg").unlink()
    (tmp_path / "coco/train/3.jpg").write_bytes(b"no image")
    content["annotations"] += [
        {"id": 4, "image_id": 99, "category_id": 2, "bbox": [1, 1, 5, 5]},
        {"id": 5, "image_id": 1, "category_id": 3, "bbox": [1, 1, 5, 5]},
        {"id": 6, "image_id": 1, "category_id": 2, "bbox": [1, 1, 5]},
        {"id": 7, "image_id": 1, "category_id": 2, "bbox": [80, 1, 30, 5]},
        {"id": 8, "image_id": 1, "category_id": 2, "bbox": [10, 10, -5, 5]},
    ]
    file.write_text(json.dumps(content))
    with pytest.raises(SystemExit):
        inspect_data([str(config), "--out", str(tmp_path / "out")])
    lines = [line for line in capsys.readouterr().out.splitlines() if re.match(r"train: (refused|warning)", line)]
    expected = [
        "refused.*annotation 4 is of image 99",
        "refused.*annotation 5 is of category 3",
        "refused.*annotation 6 has bbox",
        "refused.*image 1 says 90x80 but 1.jpg is 100x80",
        "warning.*annotation 7: box 80 1 30 5 extends beyond the image",
        "warning.*annotation 8: box 10 10 -5 5 has no area",
        "refused.*2.jpg: no such image",
        "refused.*3.jpg: not an image",
    ]
    assert len(lines) == len(expected)
    for pattern in expected:
        assert any(re.search(pattern, line) for line in lines), pattern


@pytest.mark.shared
def test_a_detectron2_checkpoint_is_evaluated_and_predicts_directly(
    shared: Path, coco_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The golden file: five classes and an eighth of the width; the rest is the packaged config."""
    data = json.loads((coco_config.parent / "coco/annotations/instances_val.json").read_text())
    data["categories"] = [{"id": i, "name": f"thing {i}"} for i in (2, 5, 7, 8, 9)]
    (tmp_path / "coco/annotations").mkdir(parents=True)
    (tmp_path / "coco/val2017").symlink_to(coco_config.parent / "coco/val")
    (tmp_path / "coco/annotations/instances_val2017.json").write_text(json.dumps(data))
    names = tuple(f"thing {i}" for i in (2, 5, 7, 8, 9))
    copy_configs([str(tmp_path / "configs")])
    config = tmp_path / "configs" / "small.py"
    text = "from mmengine.config import read_base\n\nwith read_base():\n    from .detectron2_r50_c4 import *\n\n"
    text += "model.update(num_classes=5)\nmodel['net'].update(width=0.125)\nmodel['rpn'].update(hidden=128)\n"
    text += f"data['test'].update(root={str(tmp_path / 'coco')!r}, classes={names!r})\n"
    config.write_text(text)
    checkpoint = shared / "golden" / "detectron2_r50c4.pkl"
    eval_coco([str(config), "--checkpoint", str(checkpoint), *ON_CPU, "--json", str(tmp_path / "a.json")])
    figures = json.loads((tmp_path / "a.json").read_text())
    assert list(figures["per_class"]) == list(names)
    photos = coco_config.parent / "coco/val"
    predict([str(config), str(checkpoint), str(photos), "--out", str(tmp_path / "drawn"), "--device", "cpu"])
    assert json.loads((tmp_path / "drawn/detections.json").read_text())["classes"] == list(names)
