"""The R-CNN stage through the commands (App. C): three stages, killed and resumed; the last rows of the table."""

from __future__ import annotations

import json
import os
import shutil
import signal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from resdet.cli import eval_loc, train_cls, train_loc
from resdet.data.localization.files import read_kaggle
from resdet.data.localization.regions import RegionDraw, RegionSampler
from resdet.engine.checkpoint import read_checkpoint, save_checkpoint
from resdet.engine.config import load_config
from resdet.engine.log import read_scalars
from resdet.engine.run import Run
from resdet.metrics.localization_error import Guesses, localization_error
from resdet.recipes import evaluate_localizer, train_rcnn
from resdet.recipes.localization.build import build_localization_data, load_localizer
from resdet.recipes.localization.rcnn_build import build_rcnn, load_rcnn
from resdet.recipes.localization.rcnn_inference import Rescored, rescore_all
from resdet.recipes.localization.rcnn_proposals import _Folder, cache_proposals, weights_digest
from test_localizer import ON_CPU, call, random_localizer, refused
from test_processes import together
from tiny import CLASSIFIER, write_cls_loc, write_localizer_config

SECTION = """
from resdet.localization.rcnn import RCNNSettings

rcnn = dict(
    settings=dict(type=RCNNSettings, size=32, positive_iou=0.3), images=8, optimizer=dict(lr=0.05),
    proposals=dict(count=20, views="dense", flip=True), schedule=dict(type=MultiStep, steps=6, milestones=(4,)),
    combine="replace",
)
"""
COUNT = 20
RESCORED = "RPN + R-CNN, dense with flips, true class"


@pytest.fixture(scope="module")
def config(loc_config: Path) -> Path:
    path = loc_config.with_name("tiny_rcnn.py")
    path.write_text(loc_config.read_text() + SECTION)
    return path


@pytest.fixture
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three part files of the eleven images."""
    monkeypatch.setattr(train_rcnn, "cache_proposals", partial(cache_proposals, part=4, images=2))


@pytest.fixture(scope="module")
def classifier(loc_config: Path) -> tuple[Path, Path]:
    config = loc_config.with_name("rcnn_cls.py")
    config.write_text(CLASSIFIER.format(root=str(loc_config.parent / "images")))
    run = loc_config.parent / "rcnn_cls"
    call(train_cls.main, config, "--work-dir", run, *ON_CPU)
    return config, run / "last.pth"


@pytest.fixture(scope="module")
def trained(config: Path, classifier: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with all its stages; nothing may be written into it."""
    run = tmp_path_factory.mktemp("rcnn") / "run"
    figures = ["--init-from", classifier[1], "--json", run.with_name("train.json")]
    call(train_loc.main, config, "--work-dir", run, *ON_CPU, *figures)
    return run


def random_rcnn(config: Path, path: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    model = build_rcnn(load_config(config), ["n01", "n02"])
    torch.nn.init.normal_(model.deltas.common_weight, std=0.2)
    torch.nn.init.normal_(model.scores.common_weight, std=0.2)
    save_checkpoint(path, {"model": model.state_dict(), "classes": ["n01", "n02"]})
    return path


def files_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Contents and times of writing; a loop writes scalars.json again, without the steps that will be done again."""
    return {
        path.name: (0 if path.name == "scalars.json" else path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.iterdir()
    }


def same_weights(one: Path, other: Path) -> bool:
    a, b = (read_checkpoint(path) for path in (one, other))
    assert a["step"] == b["step"]
    return all(torch.equal(value, b["model"][name]) for name, value in a["model"].items())


# Training ------------------------------------------------------------------------------------------------------------


def test_three_stages_and_their_figures(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {"1_rpn", "2_proposals", "3_rcnn", "last.pth", "page.html"} <= {path.name for path in trained.iterdir()}
    assert (trained / "1_rpn/last.pth").read_bytes() == (trained / "last.pth").read_bytes()
    assert np.load(trained / "2_proposals/boxes.npy").shape == (11, COUNT, 4)
    state = read_checkpoint(trained / "3_rcnn/last.pth")
    assert (state["step"], state["classes"]) == (6, ["n01", "n02"])
    records = read_scalars(trained / "3_rcnn/scalars.json")
    assert {"loss_class", "loss_box"} <= set(records[0])
    assert records[0]["lr"] == pytest.approx(0.05 * 8 / 64)  # the section's rate, for the section's regions
    figures = json.loads(trained.with_name("train.json").read_text())
    assert list(figures) == ["test/localization_error", "test/rcnn_localization_error"]
    assert f"{figures['test/rcnn_localization_error']:.2f} %" in (trained / "page.html").read_text()
    log = (trained / "run.log").read_text()
    assert "new: objectness.*, deltas.*; unused: fc.*" in log
    assert "new: scores.*, deltas.*; unused: fc.*" in log  # from the same classification weights


def test_the_rcnn_changes_nothing_of_the_first_stage(trained: Path, loc_config: Path, tmp_path: Path) -> None:
    classes = loc_config.parent / "rcnn_cls/last.pth"
    call(train_loc.main, loc_config, "--work-dir", tmp_path, "--init-from", classes, *ON_CPU)
    assert same_weights(tmp_path / "last.pth", trained / "last.pth")


@pytest.mark.usefixtures("_small_parts")
@pytest.mark.parametrize("where", ["2_proposals", "3_rcnn killed", "3_rcnn stopped"])
def test_a_run_that_ends_in_any_stage_goes_on_to_the_same_bits(
    where: str,
    config: Path,
    trained: Path,
    classifier: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    command = [config, "--work-dir", run, "--init-from", classifier[1], *ON_CPU]
    with pytest.MonkeyPatch.context() as patch:
        if where == "2_proposals":
            patch.setattr(_Folder, "write", _one_part)
        else:
            patch.setattr(RegionSampler, "step", _killed if where == "3_rcnn killed" else _terminated)
        with pytest.raises(SystemExit) as caught:
            call(train_loc.main, *command)
    error = capsys.readouterr().err
    if where == "3_rcnn stopped":
        assert (caught.value.code, f"stopped at step 4; go on with --work-dir {run} --resume" in error) == (2, True)
    else:
        assert (caught.value.code, error) == (130, "interrupted\n")

    first, second = files_of(run / "1_rpn"), files_of(run / "2_proposals")
    if where == "2_proposals":
        assert sorted(second) == ["manifest.json", "part-00000.npz"]
    else:
        assert read_checkpoint(run / "3_rcnn/last.pth")["step"] == 4
    call(train_loc.main, *command, "--resume")
    assert files_of(run / "1_rpn") == first
    if where != "2_proposals":
        assert files_of(run / "2_proposals") == second
    for name in ("boxes", "scores", "valid", "sizes"):
        arrays = [np.load(folder / f"2_proposals/{name}.npy") for folder in (run, trained)]
        np.testing.assert_allclose(*arrays, atol=1e-3)  # `trained` proposed in larger batches
    straight = tmp_path / "straight"
    call(train_loc.main, config, "--work-dir", straight, *command[3:])
    assert (run / "2_proposals/boxes.npy").read_bytes() == (straight / "2_proposals/boxes.npy").read_bytes()
    assert same_weights(run / "3_rcnn/last.pth", straight / "3_rcnn/last.pth")
    steps = [[r["step"] for r in read_scalars(f / "3_rcnn/scalars.json") if "loss" in r] for f in (run, straight)]
    assert steps == [[2, 4, 6], [2, 4, 6]]


def _one_part(self: _Folder, number: int, columns: list, write=_Folder.write) -> None:
    if list(self.folder.glob("part-*.npz")):
        raise KeyboardInterrupt
    write(self, number, columns)


def _killed(self: RegionSampler, step: int, draw=RegionSampler.step) -> list[RegionDraw]:
    if step == 5:
        raise KeyboardInterrupt
    return draw(self, step)


def _terminated(self: RegionSampler, step: int, draw=RegionSampler.step) -> list[RegionDraw]:
    if step == 3:
        os.kill(os.getpid(), signal.SIGTERM)
    return draw(self, step)


def test_a_finished_run_is_not_redone_and_a_new_one_begins_anew(config: Path, trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    stages = ("1_rpn", "2_proposals", "3_rcnn")
    before = [files_of(run / name) for name in stages]
    figures = tmp_path / "again.json"
    call(train_loc.main, config, "--work-dir", run, *ON_CPU, "--resume", "--json", figures)
    assert [files_of(run / name) for name in stages] == before
    assert json.loads(figures.read_text()) == json.loads(trained.with_name("train.json").read_text())
    longer = ["--cfg-options", "rcnn.schedule.steps=8"]
    call(train_loc.main, config, "--work-dir", run, *ON_CPU, "--resume", *longer)
    assert read_checkpoint(run / "3_rcnn/last.pth")["step"] == 8
    assert [files_of(run / name) for name in stages[:2]] == before[:2]
    call(train_loc.main, config, "--work-dir", run, *ON_CPU)  # from other weights: the old proposals do not count
    assert read_checkpoint(run / "3_rcnn/last.pth")["step"] == 6
    assert files_of(run / "2_proposals")["boxes.npy"][1] != before[1]["boxes.npy"][1]


def test_stages_of_another_localizer_are_refused(
    config: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    resumed = [config, "--work-dir", run, *ON_CPU, "--resume", "--cfg-options", "schedule.steps=8"]
    error = refused(train_loc.main, capsys, *resumed)
    assert f"{run / '2_proposals'} has the proposals of another checkpoint" in error
    assert "delete it" in error
    shutil.rmtree(run / "2_proposals")
    error = refused(train_loc.main, capsys, *resumed)
    assert f"{run / '3_rcnn'} was trained on the proposals of another checkpoint: delete it" in error
    shutil.rmtree(run / "3_rcnn")
    call(train_loc.main, *resumed)
    assert read_checkpoint(run / "3_rcnn/last.pth")["step"] == 6


def test_a_run_without_the_stage_leaves_none_of_an_older_one(
    config: Path, loc_config: Path, trained: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    call(train_loc.main, loc_config, "--work-dir", run, *ON_CPU)
    assert not list(run.glob("3_rcnn/*.pth"))
    assert not list(run.glob("2_proposals/*.np[yz]"))
    assert sorted(path.name for path in run.glob("*.pth")) == ["last.pth"]
    call(train_loc.main, config, "--work-dir", run, *ON_CPU, "--resume")  # it adds stages of its own
    digest = weights_digest([load_localizer(load_config(config), ["n01", "n02"], run / "last.pth")])
    assert read_checkpoint(run / "3_rcnn/last.pth")["proposals"] == digest


def test_a_damaged_image_can_be_passed_over_in_all_stages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = write_cls_loc(tmp_path / "images")
    config = write_localizer_config(tmp_path / "own_rcnn.py", images)
    config.write_text(config.read_text() + SECTION)
    damaged = images / "ILSVRC/Data/CLS-LOC/train/n02/n02_3.JPEG"
    damaged.write_bytes(damaged.read_bytes()[:-200])
    command = [config, "--work-dir", tmp_path / "run", *ON_CPU]
    assert "n02_3.JPEG: the image is cut short" in refused(train_loc.main, capsys, *command)
    call(train_loc.main, *command, "--cfg-options", "data.skip_unreadable=True")
    cache = {name: np.load(tmp_path / f"run/2_proposals/{name}.npy") for name in ("boxes", "valid", "sizes")}
    empty = [place for place in range(11) if not cache["valid"][place].any()]
    assert empty == [2]  # n02_3; the list begins with n02_1, as n01_0 has no box
    assert not cache["boxes"][2].any()
    assert cache["sizes"][[1, 2]].tolist() == [[40, 60], [0, 0]]
    log = (tmp_path / "run/run.log").read_text()
    assert (
        "1 of 11 training images could not be read and have no proposals (first: ILSVRC/Data/CLS-LOC/train/n02/n02_3"
        in log
    )
    assert read_checkpoint(tmp_path / "run/3_rcnn/last.pth")["step"] == 6


def test_two_processes_have_the_gradient_of_one(config: Path, tmp_path: Path) -> None:
    options = ["rcnn.schedule.steps=1", "schedule.steps=0", "rcnn.optimizer.lr=1", "optimizer.reference_images=8"]
    options += ["optimizer.weight_decay=0", "rcnn.settings.frozen_bn=True", "loop.accumulate=2"]
    for world in (1, 2):
        together(world, "train_loc", config, "--work-dir", tmp_path / str(world), "--cfg-options", *options)
    one, two = (read_checkpoint(tmp_path / n / "3_rcnn/last.pth")["model"] for n in "12")
    boxes = [np.load(tmp_path / n / "2_proposals/boxes.npy") for n in "12"]
    np.testing.assert_allclose(*boxes, atol=1e-3)
    assert one["deltas.bias"].abs().max() > 1e-4
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=0, atol=1e-4, msg=name)


def test_two_processes_train_all_stages_and_test_what_they_save(config: Path, tmp_path: Path) -> None:
    run, figures = tmp_path / "run", [tmp_path / f"{name}.json" for name in ("train", "again", "eval")]
    for path, more in zip(figures[:2], ([], ["--resume"]), strict=True):
        together(2, "train_loc", config, "--work-dir", run, "--json", path, *more)
    rcnn = ["--rcnn", run / "3_rcnn/last.pth", "--views", "dense", "--flip", "--json", figures[2]]
    call(eval_loc.main, config, "--checkpoint", run / "last.pth", *rcnn, *ON_CPU)
    trained, again, tested = (json.loads(path.read_text()) for path in figures)
    assert trained == again
    assert tested[RESCORED]["localization_error"] == trained["test/rcnn_localization_error"]


# Testing -------------------------------------------------------------------------------------------------------------


def test_the_last_rows_are_what_rescoring_finds(
    config: Path, trained: Path, classifier: tuple[Path, Path], tmp_path: Path
) -> None:
    checkpoints = [trained / "last.pth", "--rcnn", trained / "3_rcnn/last.pth"]
    views = ["--views", "1-crop", "dense", "--flip", "--classifier", *classifier]
    out = ["--json", tmp_path / "e.json", "--write-predictions", tmp_path / "p.csv"]
    call(eval_loc.main, config, "--checkpoint", *checkpoints, *views, *out, *ON_CPU)
    rows = json.loads((tmp_path / "e.json").read_text())
    tests = ["1-crop with flips", "dense with flips", "RPN + R-CNN, dense with flips"]
    names = [f"{test}, {what}" for what in ("true class", "top-2") for test in tests]
    assert list(rows)[2:] == ["whole-image box", *names]
    for what in ("true class", "top-2"):
        row, above = rows[f"{tests[2]}, {what}"], rows[f"{tests[1]}, {what}"]["localization_error"]
        assert row["difference"] == pytest.approx(row["localization_error"] - above)
    figures = json.loads(trained.with_name("train.json").read_text())
    assert rows[RESCORED]["localization_error"] == figures["test/rcnn_localization_error"]

    cfg, run = load_config(config), Run(tmp_path, torch.device("cpu"), "fp32")
    data = build_localization_data(cfg, train=False)
    rpn = load_localizer(cfg, data.test.classes, trained / "last.pth")
    rcnn = load_rcnn(cfg, data.test.classes, trained / "3_rcnn/last.pth")
    written = read_kaggle(tmp_path / "p.csv", data.test.ids, data.test.classes)
    truth = data.test.truth()
    labels = np.concatenate([truth.labels[:, None], written.labels[:, :2]], 1)
    found = rescore_all(rpn, rcnn, data.test, labels, data.views_of("dense"), run, True, COUNT, workers=0)
    np.testing.assert_allclose(written.boxes[:, :2], found.boxes[:, 1:], atol=1e-2)
    error = localization_error(Guesses(labels[:, :1], found.boxes[:, :1]), truth).localization
    assert rows[RESCORED]["localization_error"] == pytest.approx(error)


def test_several_rcnns_are_an_ensemble(config: Path, tmp_path: Path) -> None:
    rpn = random_localizer(config, tmp_path / "rpn.pth")
    a, b = (random_rcnn(config, tmp_path / f"{name}.pth", seed) for seed, name in enumerate("ab"))
    lists = {"one": [a], "same": [a, a], "two": [a, b], "net": [a, "--rcnn-net", config, b]}
    for name, given in lists.items():
        out = ["--json", tmp_path / f"{name}.json", "--write-predictions", tmp_path / f"{name}.csv"]
        call(eval_loc.main, config, "--checkpoint", rpn, "--rcnn", *given, *out, *ON_CPU)
    texts = {name: (tmp_path / f"{name}.csv").read_text() for name in lists}
    assert texts["same"] == texts["one"] != texts["two"]
    assert texts["net"] == texts["two"]
    rows = json.loads((tmp_path / "two.json").read_text())
    assert list(rows)[3:] == ["1-crop, true class", "RPN + R-CNN, 1-crop, true class, all 2"]


def test_the_section_says_how_scores_are_combined_and_how_many_boxes_compete(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rpn, rcnn = random_localizer(config, tmp_path / "rpn.pth"), random_rcnn(config, tmp_path / "a.pth", 0)
    seen: list[tuple[int, str, float | None]] = []

    def spy(*arguments: Any, combine: str, vote: float | None, **options: Any) -> Rescored:
        seen.append((arguments[7], combine, vote))
        return rescore_all(*arguments, combine=combine, vote=vote, **options)

    monkeypatch.setattr(evaluate_localizer, "rescore_all", spy)
    for options in ([], ["--vote", 0.6, "--cfg-options", "rcnn.combine=product", "rcnn.proposals.count=5"]):
        call(eval_loc.main, config, "--checkpoint", rpn, "--rcnn", rcnn, *ON_CPU, *options)
    assert seen == [(COUNT, "replace", None), (5, "product", 0.6)]


def test_an_rcnn_beside_another_localizer_is_named(config: Path, trained: Path, tmp_path: Path) -> None:
    says = "3_rcnn/last.pth learned from the proposals of another localizer"
    rcnn = ["--rcnn", trained / "3_rcnn/last.pth"]
    for name, warned in (("own", False), ("other", True), ("both", False)):
        first = tmp_path / name / "last.pth"
        first.parent.mkdir()
        if name == "other":
            random_localizer(config, first)
        else:
            shutil.copyfile(trained / "last.pth", first)
        more = ["--net", config, random_localizer(config, tmp_path / "b.pth")] if name == "both" else []
        call(eval_loc.main, config, "--checkpoint", first, *more, *rcnn, *ON_CPU)
        assert (says in (first.parent / "eval.log").read_text()) == warned


# Mistakes ------------------------------------------------------------------------------------------------------------


def test_checkpoints_of_the_other_stage(
    config: Path, loc_config: Path, trained: Path, classifier: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    rpn, rcnn = trained / "last.pth", trained / "3_rcnn/last.pth"

    def evaluated(checkpoint: Path, *more: object, cfg: Path = config) -> str:
        return refused(eval_loc.main, capsys, cfg, "--checkpoint", checkpoint, *more, *ON_CPU)

    assert "is an R-CNN stage, no localizer: give it as --rcnn" in evaluated(rcnn)
    assert "is a per-class RPN: give it as --checkpoint" in evaluated(rpn, "--rcnn", rpn)
    assert "is no R-CNN stage; give 3_rcnn/last.pth of a run" in evaluated(rpn, "--rcnn", classifier[1])
    assert "'rcnn' is not set, as in a config of a localizer with an R-CNN stage" in evaluated(
        rpn, "--rcnn", rcnn, cfg=loc_config
    )
    wide = ["--rcnn", rcnn, "--cfg-options", "rcnn.net.width=0.25"]
    assert "'net' is not in" in evaluated(rpn, *wide)
    other = rcnn.parent.with_name("other.pth")
    save_checkpoint(other, {**read_checkpoint(rcnn), "classes": ["n02", "n01"]})
    assert "other.pth and data.test have different classes" in evaluated(rpn, "--rcnn", other)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("rcnn.images=7", "rcnn.images=7 cannot be shared by 2 passes"),
        ("rcnn.proposals.views=sparse", "rcnn.proposals.views is 'sparse': give one of 1-crop, dense"),
        ("rcnn.proposals.count=0", "rcnn.proposals.count is 0"),
        ("rcnn.combine=sum", "rcnn.combine is 'sum': give one of replace, product, odds, keep"),
        ("rcnn.schedule=None", "rcnn.schedule is None: give a schedule"),
        ("rcnn.settings.context=200", "rcnn.settings.context is 200"),
        ("rcnn.settings.size=0", "rcnn.settings.size is 0"),
        ("rcnn.settings.positive_iou=0", "rcnn.settings.positive_iou is 0"),
        ("rcnn.settings.positive_fraction=2", "rcnn.settings.positive_fraction is 2"),
        ("rcnn.settings.delta_weights=(10,10)", "rcnn.settings.delta_weights is (10, 10)"),
    ],
)
def test_a_mistake_in_the_section_is_named_before_the_first_stage(
    option: str, message: str, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [config, "--work-dir", tmp_path, *ON_CPU, "--cfg-options", option, "loop.accumulate=2"]
    assert message in refused(train_loc.main, capsys, *command)
    assert not (tmp_path / "1_rpn").exists()


def test_a_crop_regression_proposes_nothing(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = config.with_name("pcr_rcnn.py")
    path.write_text(config.read_text() + "\nmodel = dict(type=CropRegression, net=NET, num_classes=2)\n")
    assert "a crop regression has one" in refused(train_loc.main, capsys, path, "--work-dir", tmp_path, *ON_CPU)
