"""resdet train-cls and resdet train-det: from a config to figures, a page and a checkpoint that resumes."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from pathlib import Path

import pytest
import torch

from helpers.commands import ON_CPU, call, error_line, eval_voc, train_cls, train_det, train_loc
from resdet.data.detection.comp4 import read_comp4
from resdet.engine.checkpoint import read_checkpoint
from resdet.engine.log import read_scalars


def test_train_cls_trains_prints_figures_and_resumes(
    tmp_path: Path, cls_config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work_dir, figures = tmp_path / "run", tmp_path / "out" / "figures.json"
    arguments = [str(cls_config), "--work-dir", str(work_dir), *ON_CPU]
    train_cls([*arguments, "--cfg-options", "schedule.steps=4", "--json", str(figures)])
    printed = capsys.readouterr().out
    written = json.loads(figures.read_text())
    assert f"test/top1_error {written['test/top1_error']:.2f}" in printed
    assert f"checkpoint {work_dir / 'last.pth'}" in printed
    state = read_checkpoint(work_dir / "last.pth")
    assert (state["step"], state["classes"], state["precise_bn"]) == (4, ["dark", "light"], 12)
    assert "steps=4" in state["config"]
    assert [r["step"] for r in read_scalars(work_dir / "scalars.json") if "loss" in r] == [2, 4]

    train_cls([*arguments, "--resume"])
    log = (work_dir / "run.log").read_text()
    assert re.search(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d .* resumed at step 4 of 6$", log, re.MULTILINE)
    state = read_checkpoint(work_dir / "last.pth")
    assert (state["step"], state["precise_bn"]) == (6, 12)  # the statistics are computed anew after more steps
    assert [r["step"] for r in read_scalars(work_dir / "scalars.json") if "loss" in r] == [2, 4, 6]


@pytest.mark.parametrize("rule", ["area", "11-point", "ilsvrc", "coco"])
def test_a_wrong_choice_of_the_best_checkpoint_is_refused_before_the_first_step(
    rule: str, det_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The names in the message are those that a validation by this rule gives, nearest first."""
    options = ["--cfg-options", "schedule.steps=1", f"data.method={rule}"]
    command = [det_config, "--work-dir", tmp_path / "run", *ON_CPU, *options]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "last.pth").write_bytes(b"an older run's")
    error = error_line(train_det, [*command, "loop.best=val/map"], capsys)
    said = re.fullmatch(r"error: loop\.best is 'val/map'; wanted: (.*), or '' for none\n", error)
    assert said, error
    assert (tmp_path / "run" / "last.pth").read_bytes() == b"an older run's"
    call(train_det, *command)
    assert set(said[1].split(", ")) == read_checkpoint(tmp_path / "run" / "last.pth")["figures"].keys()
    assert said[1].startswith("val/mAP50, ")


def test_a_wrong_choice_of_the_best_classifier_or_localizer_is_refused_too(
    cls_config: Path, loc_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command, config, names in (
        (train_cls, cls_config, "test/top1_error"),
        (train_loc, loc_config, "test/localization_error"),
    ):
        words = [config, "--work-dir", tmp_path, *ON_CPU, "--cfg-options", "loop.best=val/mAP50"]
        error = error_line(command, words, capsys)
        assert error == f"error: loop.best is 'val/mAP50'; wanted: {names}, or '' for none\n"


def test_the_page_of_train_cls_shows_errors_accuracies_and_mistakes(tmp_path: Path, cls_config: Path) -> None:
    untrained = ["--cfg-options", "schedule.steps=1", "optimizer.lr=0", "precise_bn.images=0"]
    train_cls([str(cls_config), "--work-dir", str(tmp_path / "run"), "--seed", "3", *ON_CPU, *untrained])
    page = (tmp_path / "run" / "page.html").read_text()
    figures = read_scalars(tmp_path / "run" / "scalars.json")[-1]
    assert f"{figures['test/top1_error']:.2f} %" in page
    accuracy = [
        float(v) for v in re.findall(r'<td class="number">([\d.]+)</td><td class="number objects">4</td>', page)
    ]
    assert 100 - sum(accuracy) / 2 == pytest.approx(figures["test/top1_error"])  # two classes of four images
    assert 0 < figures["test/top1_error"] < 100
    names = sorted(path.name for path in (tmp_path / "run" / "pictures").iterdir())
    assert names == ["most_certain_mistakes.jpg", "test_images.jpg"]


def test_train_cls_starts_from_the_weights_of_another_run(tmp_path: Path, cls_config: Path) -> None:
    once = [*ON_CPU, "--cfg-options", "schedule.steps=1", "precise_bn.images=0"]
    train_cls([str(cls_config), "--work-dir", str(tmp_path / "a"), *once])
    start = str(tmp_path / "a" / "last.pth")
    train_cls([str(cls_config), "--work-dir", str(tmp_path / "b"), "--init-from", start, *once, "optimizer.lr=0"])
    models = [read_checkpoint(tmp_path / n / "last.pth")["model"] for n in "ab"]
    weights = [n for n in models[0] if n.endswith(("conv.weight", "bn.bias"))]
    assert weights
    assert all(torch.equal(models[0][n], models[1][n]) for n in weights)


def test_train_det_trains_evaluates_and_its_comp4_files_score_the_same(
    tmp_path: Path, det_config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work_dir, comp4 = tmp_path / "run", tmp_path / "comp4"
    train_det([str(det_config), "--work-dir", str(work_dir), *ON_CPU, "--json", str(tmp_path / "train.json")])
    printed = capsys.readouterr().out
    assert "mAP@.5" in printed
    assert read_checkpoint(work_dir / "last.pth")["step"] == 4
    assert (work_dir / "page.html").is_file()
    records = [r for r in read_scalars(work_dir / "scalars.json") if "loss" in r]
    assert [r["step"] for r in records] == [1, 2, 3, 4]
    assert {"loss_rpn_objectness", "loss_rpn_box", "loss_class", "loss_box"} <= records[0].keys()

    last = str(work_dir / "last.pth")
    low = ["--cfg-options", "model.head.score_floor=0.0", "--write-detections", str(comp4)]
    eval_voc([str(det_config), "--checkpoint", last, *ON_CPU, *low, "--json", str(tmp_path / "a.json")])
    files = ["--detections", str(comp4), "--voc-root", str(det_config.parent / "devkit"), "--year", "tiny"]
    eval_voc([*files, "--image-set", "test", "--json", str(tmp_path / "b.json")])
    a, b = (json.loads((tmp_path / n).read_text()) for n in ("a.json", "b.json"))
    assert a == b
    assert (a["images"], list(a["per_class"])) == (2, ["apple", "pear"])
    assert a["detections"] > 0


def test_detections_on_a_test_set_without_annotations_are_packed_for_the_server(
    tmp_path: Path, det_config: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As VOC 2012 test."""
    shutil.copytree(det_config.parent / "devkit", tmp_path / "devkit")
    shutil.rmtree(tmp_path / "devkit/VOCtiny/Annotations")
    options = [f"data.test.root={tmp_path / 'devkit'}", "data.test.annotated=False", "model.head.score_floor=0.0"]
    arguments = ["--write-submission", str(tmp_path / "results.tar.gz"), *ON_CPU, "--cfg-options", *options]
    eval_voc([str(det_config), "--checkpoint", str(checkpoint), *arguments])
    assert "nothing to score" in capsys.readouterr().out
    with tarfile.open(tmp_path / "results.tar.gz") as archive:
        names = sorted(name for name in archive.getnames() if name.endswith(".txt"))
        archive.extractall(tmp_path / "unpacked", filter="data")
    assert names == [f"results/VOCtiny/Main/comp4_det_test_{name}.txt" for name in ("apple", "pear")]
    found = read_comp4(tmp_path / "unpacked/results/VOCtiny/Main", "test", ("apple", "pear"), ["d", "e"])
    assert len(found) > 0
