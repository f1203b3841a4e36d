"""resdet eval-loc with an R-CNN stage: the last rows of the table, ensembles, combinations of scores."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers.commands import ON_CPU, call, eval_loc
from helpers.localizers import RCNN_PROPOSALS, RCNN_ROW, Trained, random_localizer
from resdet.data.localization.files import read_kaggle
from resdet.engine.checkpoint import save_checkpoint
from resdet.engine.run import Run
from resdet.localization.rcnn import Combine
from resdet.metrics.localization_error import Guesses, localization_error
from resdet.recipes.localization import evaluate
from resdet.recipes.localization.build import build_localization_data, load_localizer
from resdet.recipes.localization.rcnn_build import build_rcnn, load_rcnn
from resdet.recipes.localization.rcnn_inference import Rescored, RescoreSettings, rescore_all
from resdet.recipes.localization.rcnn_proposals import ProposalSpec
from resdet.recipes.sections import load_config


def random_rcnn(config: Path, path: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    model = build_rcnn(load_config(config), ["n01", "n02"])
    torch.nn.init.normal_(model.deltas.common_weight, std=0.2)
    torch.nn.init.normal_(model.scores.common_weight, std=0.2)
    save_checkpoint(path, {"model": model.state_dict(), "classes": ["n01", "n02"]})
    return path


def test_the_last_rows_equal_a_separate_rescoring(
    rcnn_config: Path, rcnn_run: Path, loc_classifier: Trained, tmp_path: Path
) -> None:
    checkpoints = [rcnn_run / "last.pth", "--rcnn", rcnn_run / "3_rcnn/last.pth"]
    views = ["--views", "1-crop", "dense", "--flip", "--classifier", *loc_classifier]
    out = ["--json", tmp_path / "e.json", "--write-predictions", tmp_path / "p.csv"]
    call(eval_loc, rcnn_config, "--checkpoint", *checkpoints, *views, *out, *ON_CPU)
    rows = json.loads((tmp_path / "e.json").read_text())
    tests = ["1-crop with flips", "dense with flips", "RPN + R-CNN, dense with flips"]
    others = [f"RPN + R-CNN ({rule}), dense with flips" for rule in ("odds", "keep")]
    names = [f"{test}, {what}" for what in ("true class", "top-2") for test in (*tests, *others)]
    assert list(rows)[2:] == ["whole-image box", *names]
    for what in ("true class", "top-2"):
        row, above = rows[f"{tests[2]}, {what}"], rows[f"{tests[1]}, {what}"]["localization_error"]
        assert row["difference"] == pytest.approx(row["localization_error"] - above)
    figures = json.loads(rcnn_run.with_name("train.json").read_text())
    assert rows[RCNN_ROW]["localization_error"] == figures["test/rcnn_localization_error"]

    cfg, run = load_config(rcnn_config), Run(tmp_path, torch.device("cpu"), "fp32")
    data = build_localization_data(cfg, train=False)
    rpn = load_localizer(cfg, data.test.classes, rcnn_run / "last.pth")
    rcnn = load_rcnn(cfg, data.test.classes, rcnn_run / "3_rcnn/last.pth")
    written = read_kaggle(tmp_path / "p.csv", data.test.ids, data.test.classes)
    truth = data.test.truth()
    labels = np.concatenate([truth.labels[:, None], written.labels[:, :2]], 1)
    spec = ProposalSpec(data.test_crops("dense"), mirrored=True, count=RCNN_PROPOSALS)
    found = rescore_all([rpn], [rcnn], data.test, labels, spec, run, RescoreSettings(workers=0))["replace"]
    np.testing.assert_allclose(written.boxes[:, :2], found.boxes[:, 1:], atol=1e-2)
    error = localization_error(Guesses(labels[:, :1], found.boxes[:, :1]), truth).localization
    assert rows[RCNN_ROW]["localization_error"] == pytest.approx(error)


def test_the_rows_of_all_rules_come_from_one_pass_and_the_files_hold_the_configs(
    rcnn_config: Path, rcnn_run: Path, loc_classifier: Trained, tmp_path: Path
) -> None:
    """Each rule's row is the one that a test with this rule alone has; the predictions are those of `rcnn.combine`."""
    checkpoints = [rcnn_run / "last.pth", "--rcnn", rcnn_run / "3_rcnn/last.pth", "--classifier", *loc_classifier]
    found, files = {}, {}
    for rule in ("replace", "odds", "keep"):
        out = ["--json", tmp_path / f"{rule}.json", "--write-predictions", tmp_path / f"{rule}.csv"]
        options = ["--cfg-options", f"rcnn.combine={rule}"]
        call(eval_loc, rcnn_config, "--checkpoint", *checkpoints, *out, *ON_CPU, *options)
        found[rule] = json.loads((tmp_path / f"{rule}.json").read_text())
        files[rule] = (tmp_path / f"{rule}.csv").read_text()
        about = json.loads((tmp_path / f"{rule}.csv.about.json").read_text())
        assert about["holds"] == "RPN + R-CNN, 1-crop, top-2"
        assert f"rcnn.combine={rule}" in about["command"]
    for what in ("true class", "top-2"):
        for rule in ("odds", "keep"):
            own = found[rule][f"RPN + R-CNN, 1-crop, {what}"]["localization_error"]
            assert found["replace"][f"RPN + R-CNN ({rule}), 1-crop, {what}"]["localization_error"] == own
    assert len(set(files.values())) > 1


def test_several_rcnns_form_an_ensemble(rcnn_config: Path, tmp_path: Path) -> None:
    rpn = random_localizer(rcnn_config, tmp_path / "rpn.pth")
    a, b = (random_rcnn(rcnn_config, tmp_path / f"{name}.pth", seed) for seed, name in enumerate("ab"))
    lists = {"one": [a], "same": [a, a], "two": [a, b], "net": [a, "--rcnn-net", rcnn_config, b]}
    for name, given in lists.items():
        out = ["--json", tmp_path / f"{name}.json", "--write-predictions", tmp_path / f"{name}.csv"]
        call(eval_loc, rcnn_config, "--checkpoint", rpn, "--rcnn", *given, *out, *ON_CPU)
    texts = {name: (tmp_path / f"{name}.csv").read_text() for name in lists}
    assert texts["same"] == texts["one"] != texts["two"]
    assert texts["net"] == texts["two"]
    rows = json.loads((tmp_path / "two.json").read_text())
    rcnns = [f"RPN + R-CNN{rule}, 1-crop, true class, all 2" for rule in ("", " (odds)", " (keep)")]
    assert list(rows)[3:] == ["1-crop, true class", *rcnns]


def test_the_config_section_sets_combination_and_number_of_boxes(
    rcnn_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rpn, rcnn = random_localizer(rcnn_config, tmp_path / "rpn.pth"), random_rcnn(rcnn_config, tmp_path / "a.pth", 0)
    seen: list[tuple[int, str, float | None]] = []

    def spy(*arguments: Any) -> dict[Combine, Rescored]:
        *_, spec, _, settings = arguments
        seen.append((spec.count, settings.rules[0], settings.vote))
        return rescore_all(*arguments)

    monkeypatch.setattr(evaluate, "rescore_all", spy)
    for options in ([], ["--vote", 0.6, "--cfg-options", "rcnn.combine=product", "rcnn.proposals.count=5"]):
        call(eval_loc, rcnn_config, "--checkpoint", rpn, "--rcnn", rcnn, *ON_CPU, *options)
    assert seen == [(RCNN_PROPOSALS, "replace", None), (5, "product", 0.6)]


def test_an_rcnn_of_another_localizer_gives_a_warning(rcnn_config: Path, rcnn_run: Path, tmp_path: Path) -> None:
    says = "3_rcnn/last.pth was trained on the proposals of another localizer"
    rcnn = ["--rcnn", rcnn_run / "3_rcnn/last.pth"]
    for name, warned in (("own", False), ("other", True), ("both", False)):
        first = tmp_path / name / "last.pth"
        first.parent.mkdir()
        if name == "other":
            random_localizer(rcnn_config, first)
        else:
            shutil.copyfile(rcnn_run / "last.pth", first)
        more = ["--net", rcnn_config, random_localizer(rcnn_config, tmp_path / "b.pth")] if name == "both" else []
        call(eval_loc, rcnn_config, "--checkpoint", first, *more, *rcnn, *ON_CPU)
        assert (says in (first.parent / "eval.log").read_text()) == warned
