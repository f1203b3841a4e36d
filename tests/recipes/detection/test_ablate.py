"""Appendix B from the command line: the rows of Table 9, and the same flags for eval_voc, eval_coco and predict."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest
import torch

from helpers.commands import ablate, error_line, eval_coco, eval_voc, predict
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.engine.checkpoint import save_checkpoint
from resdet.engine.config import build
from resdet.recipes.sections import load_config

SCALES = ["--scales", "48", "64", "96"]


@pytest.fixture(scope="module")
def checkpoints(det_config: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Untrained detectors: a plain one, one with global context, and a deeper one with context."""
    folder, saved = tmp_path_factory.mktemp("appendix_b"), {}
    for seed, (name, depth, context) in enumerate([("plain", 18, False), ("context", 18, True), ("deep", 34, True)]):
        torch.manual_seed(seed)
        cfg = load_config(det_config, {"model.net.depth": depth, "model.head.context": context})
        model: FasterRCNN = build(cfg.model)
        for layer in (model.head.scores, model.head.deltas, model.rpn.objectness):
            torch.nn.init.normal_(layer.weight, std=0.05)
        saved[name] = folder / f"{name}.pth"
        save_checkpoint(saved[name], {"step": 0, "model": model.state_dict(), "classes": ["apple", "pear"]})
    return saved


def evaluated(det_config: Path, tmp_path: Path, *flags: object) -> dict:
    out = tmp_path / "eval.json"
    eval_voc([str(det_config), "--precision", "fp32", "--json", str(out), *map(str, flags)])
    return json.loads(out.read_text())


def test_the_rows_are_those_of_table_9_and_equal_eval_voc(
    det_config: Path, checkpoints: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, plot = tmp_path / "rows.json", tmp_path / "rows.svg"
    files = [str(path) for path in checkpoints.values()]
    options = ["--precision", "fp32", "--resamples", "20", "--json", str(out), "--plot", str(plot)]
    ablate([str(det_config), "--checkpoint", *files, *SCALES, *options])
    rows = json.loads(out.read_text())["rows"]
    assert list(rows) == ["baseline", "+ box refinement", "+ context", "+ multi-scale testing", "ensemble"]
    assert "<svg" in plot.read_text()
    assert "ensemble" in capsys.readouterr().out
    plain, context, deep = files
    flags = {
        "baseline": ["--checkpoint", plain],
        "+ box refinement": ["--checkpoint", plain, "--refine"],
        "+ context": ["--checkpoint", context, "--refine"],
        "+ multi-scale testing": ["--checkpoint", context, "--refine", *SCALES],
        "ensemble": ["--checkpoint", context, deep, "--refine", *SCALES],
    }
    for name, given in flags.items():
        figures = evaluated(det_config, tmp_path, *given)
        assert rows[name]["mAP50"] == [figures["mAP50"]]
        assert rows[name]["mAP50_95"] == [figures["mAP50_95"]]
        assert rows[name]["detections"] == [figures["detections"]]
        assert rows[name]["seconds"][0] > 0
        assert rows[name]["peak_gib"][0] > 0
    assert len({row["detections"][0] for row in rows.values()}) == 5  # each is another test
    lead = rows["+ context"]["lead"]["mAP50"]
    assert lead["mean"] == pytest.approx(rows["+ context"]["mAP50"][0] - rows["+ box refinement"]["mAP50"][0])
    assert rows["baseline"]["lead"] == {}


def test_several_trainings_give_means_and_disabled_rows_are_left_out(
    det_config: Path, checkpoints: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, context = str(checkpoints["plain"]), str(checkpoints["context"])
    out = tmp_path / "rows.json"
    twice = ["--checkpoint", plain, "--checkpoint", plain]
    ablate([str(det_config), *twice, *SCALES, "--resamples", "0", "--json", str(out)])
    rows = json.loads(out.read_text())["rows"]
    assert list(rows) == ["baseline", "+ box refinement", "+ multi-scale testing"]
    assert [len(row["mAP50"]) for row in rows.values()] == [2, 2, 2]
    assert "+- 0.0" in capsys.readouterr().out
    message = error_line(ablate, [det_config, "--checkpoint", context], capsys)
    assert "has global context: give a plain detector too" in message
    message = error_line(ablate, [det_config, "--checkpoint", plain, context, "--checkpoint", plain], capsys)
    assert "every training needs the same kinds" in message
    twin = tmp_path / "twin.pth"
    twin.write_bytes(checkpoints["plain"].read_bytes())
    message = error_line(ablate, [det_config, "--checkpoint", plain, twin, context], capsys)
    assert f"{twin}: a second detector without global context has no row" in message
    message = error_line(ablate, [det_config, "--checkpoint", plain, "--resamples", -1], capsys)
    assert "--resamples: '-1'; wanted: an integer, 0 or more" in message


def test_depth_and_context_of_a_checkpoint_are_recognised(
    det_config: Path, checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    alone = evaluated(det_config, tmp_path, "--checkpoint", checkpoints["deep"])
    stated = ["--cfg-options", "model.net.depth=34", "model.head.context=True"]
    assert evaluated(det_config, tmp_path, "--checkpoint", checkpoints["deep"], *stated) == alone


def test_every_test_time_improvement_runs_in_all_three_commands(
    det_config: Path, checkpoints: dict[str, Path], photos: Path, tmp_path: Path
) -> None:
    flags = ["--refine", "2", *SCALES, "--proposal-scales", "48", "64", "--flip", "--soft-nms", "linear"]
    both = [checkpoints["context"], checkpoints["deep"]]
    figures = evaluated(det_config, tmp_path, "--checkpoint", *both, *flags)
    out = tmp_path / "coco.json"
    arguments = [det_config, "--checkpoint", *both, *flags, "--precision", "fp32", "--json", out]
    eval_coco([str(a) for a in arguments])
    assert json.loads(out.read_text())["detections"] == figures["detections"] > 0
    drawn = tmp_path / "drawn"
    arguments = [det_config, both[0], photos, "--ensemble", both[1], *flags, "--threshold", 0.1, "--out", drawn]
    predict([str(a) for a in arguments])
    assert cv2.imread(str(drawn / "wide.png")) is not None
    predict([*(str(a) for a in arguments), "--compare", "--overwrite"])
    assert cv2.imread(str(drawn / "wide.png")).shape[1] > 2 * 90  # the plain test's picture is on the left
    assert any(image["boxes"] for image in json.loads((drawn / "detections.json").read_text())["images"])


def test_the_section_testing_of_a_config_is_used_and_its_errors_are_named(
    det_config: Path, checkpoints: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = det_config.read_text()
    imported = "from resdet.detection.refinement import Refinement\n" + text
    config = tmp_path / "refined.py"
    config.write_text(imported + "testing = dict(refinement=dict(type=Refinement), scales=(48, 64, 96))\n")
    plain = ["--checkpoint", checkpoints["plain"]]
    assert evaluated(config, tmp_path, *plain) == evaluated(det_config, tmp_path, *plain, "--refine", *SCALES)
    off = ["--refine", "0", "--scales", "--precision", "fp32"]
    assert evaluated(config, tmp_path, *plain, *off) == evaluated(det_config, tmp_path, *plain)
    config.write_text(text + "testing = dict(scale=(48, 64))\n")
    assert "'scale'" in error_line(eval_voc, [config, *plain], capsys)
    message = error_line(eval_voc, [det_config, *plain, "--scales", 96, 48], capsys)
    assert "short sides in ascending order" in message
    message = error_line(eval_voc, [det_config, *plain, "--refine", -1], capsys)
    assert "'-1'; wanted: an integer, 0 or more" in message
    message = error_line(eval_voc, [det_config, *plain, "--scales", 8, 64], capsys)
    assert "8 pixels is below the stride" in message
    message = error_line(eval_voc, [*plain, det_config], capsys)
    assert "put it before --checkpoint" in message
    message = error_line(eval_voc, ["--detections", tmp_path, "--refine"], capsys)
    assert "--refine has no effect on --detections" in message
    message = error_line(predict, [det_config, checkpoints["plain"], tmp_path, "--compare"], capsys)
    assert "nothing to compare" in message
