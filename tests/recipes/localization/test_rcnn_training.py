"""Training all stages of localization (App. C), the R-CNN stage included: killing, resuming, two processes."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers.commands import ON_CPU, call, error_line, eval_loc, train_loc
from helpers.configs import write_localizer_config
from helpers.datasets import write_cls_loc
from helpers.localizers import RCNN_PROPOSALS, RCNN_ROW, RCNN_SECTION, Trained
from helpers.processes import run_processes
from resdet.data.localization.regions import ProposalCache, RegionDraw, RegionSampler
from resdet.engine.checkpoint import read_checkpoint
from resdet.engine.log import read_scalars
from resdet.recipes.localization import rcnn_training
from resdet.recipes.localization.build import load_localizer
from resdet.recipes.localization.proposal_files import ProposalFiles
from resdet.recipes.localization.rcnn_proposals import CacheSettings, cache_proposals, weights_digest
from resdet.recipes.sections import load_config


@pytest.fixture
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cache the proposals of the eleven images in three part files."""

    def with_small_parts(*arguments: Any, settings: CacheSettings) -> ProposalCache:
        return cache_proposals(*arguments, settings=replace(settings, part=4, batch_size=2))

    monkeypatch.setattr(rcnn_training, "cache_proposals", with_small_parts)


def files_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    """{file: (modification time, content)}; 0 as time for scalars.json, which a resumed loop writes again."""
    return {
        path.name: (0 if path.name == "scalars.json" else path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.iterdir()
    }


def same_weights(one: Path, other: Path) -> bool:
    a, b = (read_checkpoint(path) for path in (one, other))
    assert a["step"] == b["step"]
    return all(torch.equal(value, b["model"][name]) for name, value in a["model"].items())


def test_training_runs_three_stages_and_reports_their_figures(
    rcnn_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert {"1_rpn", "2_proposals", "3_rcnn", "last.pth", "page.html"} <= {path.name for path in rcnn_run.iterdir()}
    assert (rcnn_run / "1_rpn/last.pth").read_bytes() == (rcnn_run / "last.pth").read_bytes()
    assert np.load(rcnn_run / "2_proposals/boxes.npy").shape == (11, RCNN_PROPOSALS, 4)
    state = read_checkpoint(rcnn_run / "3_rcnn/last.pth")
    assert (state["step"], state["classes"]) == (6, ["n01", "n02"])
    records = read_scalars(rcnn_run / "3_rcnn/scalars.json")
    assert {"loss_class", "loss_box"} <= set(records[0])
    assert records[0]["lr"] == pytest.approx(0.05 * 8 / 64)  # the section's rate, for the section's regions
    figures = json.loads(rcnn_run.with_name("train.json").read_text())
    assert list(figures) == ["test/localization_error", "test/rcnn_localization_error"]
    assert f"{figures['test/rcnn_localization_error']:.2f} %" in (rcnn_run / "page.html").read_text()
    log = (rcnn_run / "run.log").read_text()
    assert "new: objectness.*, deltas.*; unused: fc.*" in log
    assert "new: scores.*, deltas.*; unused: fc.*" in log  # from the same classification weights


def test_the_rcnn_changes_nothing_of_the_first_stage(
    rcnn_run: Path, loc_config: Path, loc_classifier: Trained, tmp_path: Path
) -> None:
    call(train_loc, loc_config, "--work-dir", tmp_path, "--init-from", loc_classifier.checkpoint, *ON_CPU)
    assert same_weights(tmp_path / "last.pth", rcnn_run / "last.pth")


@pytest.mark.usefixtures("_small_parts")
@pytest.mark.parametrize("where", ["2_proposals", "3_rcnn killed", "3_rcnn stopped"])
def test_a_run_killed_in_any_stage_resumes_to_the_same_bits(
    where: str,
    rcnn_config: Path,
    rcnn_run: Path,
    loc_classifier: Trained,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    command = [rcnn_config, "--work-dir", run, "--init-from", loc_classifier.checkpoint, *ON_CPU]
    with pytest.MonkeyPatch.context() as patch:
        if where == "2_proposals":
            patch.setattr(ProposalFiles, "write", _one_part)
        else:
            patch.setattr(RegionSampler, "step", _killed if where == "3_rcnn killed" else _terminated)
        with pytest.raises(SystemExit) as caught:
            call(train_loc, *command)
    error = capsys.readouterr().err
    if where == "3_rcnn stopped":
        again = shlex.join(["resdet", "train-loc", *map(str, command), "--resume"])
        assert (caught.value.code, f"stopped at step 4; go on with: {again}\n" in error) == (143, True)
    else:
        assert (caught.value.code, error) == (130, "interrupted\n")

    first, second = files_of(run / "1_rpn"), files_of(run / "2_proposals")
    if where == "2_proposals":
        assert sorted(second) == ["manifest.json", "part-00000.npz"]
    else:
        assert read_checkpoint(run / "3_rcnn/last.pth")["step"] == 4
    call(train_loc, *command, "--resume")
    assert files_of(run / "1_rpn") == first
    if where != "2_proposals":
        assert files_of(run / "2_proposals") == second
    for name in ("boxes", "scores", "valid", "sizes"):
        arrays = [np.load(folder / f"2_proposals/{name}.npy") for folder in (run, rcnn_run)]
        np.testing.assert_allclose(*arrays, atol=1e-3)  # `rcnn_run` proposed in larger batches
    straight = tmp_path / "straight"
    call(train_loc, rcnn_config, "--work-dir", straight, *command[3:])
    assert (run / "2_proposals/boxes.npy").read_bytes() == (straight / "2_proposals/boxes.npy").read_bytes()
    assert same_weights(run / "3_rcnn/last.pth", straight / "3_rcnn/last.pth")
    steps = [[r["step"] for r in read_scalars(f / "3_rcnn/scalars.json") if "loss" in r] for f in (run, straight)]
    assert steps == [[2, 4, 6], [2, 4, 6]]


def _one_part(self: ProposalFiles, part: int, columns: list, write=ProposalFiles.write) -> None:
    if list(self.folder.glob("part-*.npz")):
        raise KeyboardInterrupt
    write(self, part, columns)


def _killed(self: RegionSampler, step: int, draw=RegionSampler.step) -> list[RegionDraw]:
    if step == 5:
        raise KeyboardInterrupt
    return draw(self, step)


def _terminated(self: RegionSampler, step: int, draw=RegionSampler.step) -> list[RegionDraw]:
    if step == 3:
        os.kill(os.getpid(), signal.SIGTERM)
    return draw(self, step)


def test_a_finished_run_is_not_repeated_and_a_new_one_starts_over(
    rcnn_config: Path, rcnn_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(rcnn_run, run)
    stages = ("1_rpn", "2_proposals", "3_rcnn")
    before = [files_of(run / name) for name in stages]
    figures = tmp_path / "again.json"
    call(train_loc, rcnn_config, "--work-dir", run, *ON_CPU, "--resume", "--json", figures)
    assert [files_of(run / name) for name in stages] == before
    assert json.loads(figures.read_text()) == json.loads(rcnn_run.with_name("train.json").read_text())
    longer = ["--cfg-options", "rcnn.schedule.steps=8"]
    call(train_loc, rcnn_config, "--work-dir", run, *ON_CPU, "--resume", *longer)
    assert read_checkpoint(run / "3_rcnn/last.pth")["step"] == 8
    assert [files_of(run / name) for name in stages[:2]] == before[:2]
    call(train_loc, rcnn_config, "--work-dir", run, *ON_CPU)  # from other weights: the old proposals do not count
    assert read_checkpoint(run / "3_rcnn/last.pth")["step"] == 6
    assert files_of(run / "2_proposals")["boxes.npy"][1] != before[1]["boxes.npy"][1]


def test_stages_of_another_localizer_are_refused(
    rcnn_config: Path, rcnn_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(rcnn_run, run)
    resumed = [rcnn_config, "--work-dir", run, *ON_CPU, "--resume", "--cfg-options", "schedule.steps=8"]
    error = error_line(train_loc, resumed, capsys)
    assert f"{run / '2_proposals'} has the proposals of another checkpoint" in error
    assert "delete it" in error
    shutil.rmtree(run / "2_proposals")
    error = error_line(train_loc, resumed, capsys)
    assert f"{run / '3_rcnn'} was trained on the proposals of another checkpoint: delete it" in error
    shutil.rmtree(run / "3_rcnn")
    call(train_loc, *resumed)
    assert read_checkpoint(run / "3_rcnn/last.pth")["step"] == 6


def test_a_run_without_the_stage_sets_that_of_an_older_run_aside(
    rcnn_config: Path, loc_config: Path, rcnn_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(rcnn_run, run)
    call(train_loc, loc_config, "--work-dir", run, *ON_CPU)
    assert not list(run.glob("3_rcnn/*.pth"))
    assert not list(run.glob("2_proposals/*.np[yz]"))
    assert sorted(path.name for path in run.glob("*.pth")) == ["last.pth"]
    assert len(list(run.glob("older/*/3_rcnn/last.pth"))) == 1
    call(train_loc, rcnn_config, "--work-dir", run, *ON_CPU, "--resume")  # it adds stages of its own
    digest = weights_digest([load_localizer(load_config(rcnn_config), ["n01", "n02"], run / "last.pth")])
    assert read_checkpoint(run / "3_rcnn/last.pth")["proposals"] == digest


def test_an_unreadable_image_can_be_skipped_in_all_stages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = write_cls_loc(tmp_path / "images")
    config = write_localizer_config(tmp_path / "own_rcnn.py", images)
    config.write_text(config.read_text() + RCNN_SECTION)
    damaged = images / "ILSVRC/Data/CLS-LOC/train/n02/n02_3.JPEG"
    damaged.write_bytes(damaged.read_bytes()[:-200])
    command = [config, "--work-dir", tmp_path / "run", *ON_CPU]
    assert "n02_3.JPEG: the image is truncated" in error_line(train_loc, command, capsys)
    call(train_loc, *command, "--cfg-options", "data.skip_unreadable=True")
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


def test_two_processes_have_the_gradient_of_one(rcnn_config: Path, tmp_path: Path) -> None:
    options = ["rcnn.schedule.steps=1", "schedule.steps=0", "rcnn.optimizer.lr=1", "optimizer.reference_images=8"]
    options += ["optimizer.weight_decay=0", "rcnn.settings.frozen_bn=True", "loop.accumulate=2"]
    for world in (1, 2):
        run_processes(world, "train-loc", rcnn_config, "--work-dir", tmp_path / str(world), "--cfg-options", *options)
    one, two = (read_checkpoint(tmp_path / n / "3_rcnn/last.pth")["model"] for n in "12")
    boxes = [np.load(tmp_path / n / "2_proposals/boxes.npy") for n in "12"]
    np.testing.assert_allclose(*boxes, atol=1e-3)
    assert one["deltas.bias"].abs().max() > 1e-4
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=0, atol=1e-4, msg=name)


def test_two_processes_train_all_stages_and_test_what_they_save(rcnn_config: Path, tmp_path: Path) -> None:
    run, figures = tmp_path / "run", [tmp_path / f"{name}.json" for name in ("train", "again", "eval")]
    for path, more in zip(figures[:2], ([], ["--resume"]), strict=True):
        run_processes(2, "train-loc", rcnn_config, "--work-dir", run, "--json", path, *more)
    rcnn = ["--rcnn", run / "3_rcnn/last.pth", "--views", "dense", "--flip", "--json", figures[2]]
    call(eval_loc, rcnn_config, "--checkpoint", run / "last.pth", *rcnn, *ON_CPU)
    trained, again, tested = (json.loads(path.read_text()) for path in figures)
    assert trained == again
    assert tested[RCNN_ROW]["localization_error"] == trained["test/rcnn_localization_error"]
