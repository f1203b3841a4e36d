"""The training loop: losses, logging, checkpoints and resuming."""

from __future__ import annotations

import math
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from helpers.runs import Scale, grey, run_in, weight
from resdet.classification.classifier import Classifier
from resdet.engine.checkpoint import read_checkpoint
from resdet.engine.log import Scalars, clock, read_scalars
from resdet.engine.loop import TrainLoop
from resdet.engine.loop_settings import LoopSettings
from resdet.engine.optimizer import build_sgd
from resdet.engine.schedule import MultiStep, WarmUntil
from resdet.errors import Stopped, UserError
from resdet.nets.frozen_bn import freeze_batch_norm
from resdet.nets.resnet import ResNet
from resdet.recipes.classification.training import train_classifier
from resdet.recipes.sections import load_config
from resdet.structures import LabelledImages


def scale_loop(work_dir: Path, steps: int, **settings: object) -> TrainLoop:
    model = Scale()
    sgd = torch.optim.SGD(model.parameters(), lr=0.125)
    return TrainLoop(model, sgd, MultiStep(steps), LoopSettings(**settings), run_in(work_dir))  # type: ignore[arg-type]


def test_only_losses_are_minimised(tmp_path: Path) -> None:
    model = scale_loop(tmp_path, 4).train([grey(9)] * 4)
    assert isinstance(model, Scale)
    assert model.w.item() == 2 - 4 * 0.125  # the gradient of the loss alone is 1


def test_scalars_are_means_since_the_last_log_line(tmp_path: Path) -> None:
    scale_loop(tmp_path, 5, log_every=2).train([grey(level) for level in (10, 30, 50, 70, 90)])
    records = read_scalars(tmp_path / "scalars.json")
    assert [r["step"] for r in records] == [2, 4, 5]
    assert [r["iteration"] for r in records] == [2, 4, 5]
    assert [r["pixels"] for r in records] == [20, 60, 90]
    assert [r["loss"] for r in records] == [(2 + 1.875) / 2, (1.75 + 1.625) / 2, 1.5]
    assert all(r["loss"] == r["loss_scale"] for r in records)
    assert {r["lr"] for r in records} == {0.125}
    assert all(r["images_per_second"] > 0 for r in records)


def test_the_first_steps_are_logged_at_once_and_change_no_figure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """On a CPU a line every 20 steps leaves the screen empty for minutes."""
    caplog.set_level("INFO", "resdet")
    levels = [10.0 * k for k in range(1, 13)]
    scale_loop(tmp_path, 12, log_every=12).train(map(grey, levels))
    assert re.findall(r"step +(\d+)/12 ", caplog.text) == ["1", "2", "5", "10", "12"]
    assert "pixels 15.000" in caplog.text  # the mean of steps 1 and 2
    (record,) = read_scalars(tmp_path / "scalars.json")
    assert (record["step"], record["pixels"]) == (12, 65)


def test_a_loss_that_is_not_finite_names_its_images_and_saves_nothing(tmp_path: Path) -> None:
    batches = [grey(9, "fine"), grey(9, "good"), grey(0, "black"), grey(9, "late")]
    with pytest.raises(UserError, match=r"not finite .*nan.* for images black0, black1; .*optimizer\.lr") as caught:
        scale_loop(tmp_path, 4, checkpoint_every=2).train(batches)
    assert "\n" not in str(caught.value)
    assert read_checkpoint(tmp_path / "last.pth")["step"] == 2
    assert weight(tmp_path / "last.pth") == 1.75


def test_a_loss_that_is_not_finite_does_not_reach_a_first_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="black0"):
        scale_loop(tmp_path, 1).train([grey(0, "black")])
    assert not (tmp_path / "last.pth").exists()


def test_clip_bounds_the_step(tmp_path: Path) -> None:
    model = scale_loop(tmp_path, 1, clip=0.5).train([grey(9)])
    assert model.w.item() == pytest.approx(2 - 0.125 * 0.5, abs=1e-6)  # type: ignore[union-attr]
    model = scale_loop(tmp_path, 1, clip=3.0).train([grey(9)])
    assert model.w.item() == 2 - 0.125  # type: ignore[union-attr]


def test_the_ema_is_validated_and_saved(tmp_path: Path) -> None:
    seen = []

    def validate(model: nn.Module) -> dict[str, float]:
        seen.append(model.w.item())  # type: ignore[union-attr]
        return {"val/w": seen[-1]}

    scale_loop(tmp_path, 3, ema=0.5).train([grey(9)] * 3, validate)
    average = 1.875  # w is 1.875, 1.75, 1.625; the average starts at the first
    for w in (1.75, 1.625):
        average = 0.5 * average + 0.5 * w
    assert seen == [average]
    assert weight(tmp_path / "last.pth") == average
    assert weight(tmp_path / "last.pth", "raw_model") == 1.625


def test_best_pth_has_the_highest_figure(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    figures = iter([0.3, 0.7, math.nan, 0.5])
    loop = scale_loop(tmp_path, 4, validate_every=1, best="val/x")
    with caplog.at_level("INFO", "resdet"):
        loop.train([grey(9)] * 4, lambda _: {"val/x": next(figures)})
    assert [m for m in caplog.messages if "val/x" in m] == [
        f"step {i}  val/x {text}" for i, text in enumerate(["0.3", "0.7", "-", "0.5"], 1)
    ]
    best = read_checkpoint(tmp_path / "best.pth")
    assert (best["step"], best["best"], best["figures"]) == (2, 0.7, {"val/x": 0.7})
    assert read_checkpoint(tmp_path / "last.pth")["best"] == 0.7
    assert [r["step"] for r in read_scalars(tmp_path / "scalars.json") if "val/x" in r] == [1, 2, 4]  # JSON has no NaN


def test_patience_ends_a_training_after_validations_without_a_new_best(tmp_path: Path) -> None:
    values = [0.3, 0.7, 0.5, 0.7, 0.9]  # as good as the best is no new best

    def loop_of(patience: int) -> TrainLoop:
        return scale_loop(tmp_path, 9, validate_every=1, best="val/x", patience=patience)

    loop = loop_of(2)
    loop.train([grey(9)] * 9, lambda _: {"val/x": values[loop.step - 1]})
    assert (loop.step, read_checkpoint(tmp_path / "best.pth")["step"]) == (4, 2)

    resumed = loop_of(2)
    resumed.resume(read_checkpoint(tmp_path / "last.pth"))
    resumed.train([grey(9)] * 9)
    assert resumed.step == 4

    patient = loop_of(3)
    patient.resume(read_checkpoint(tmp_path / "last.pth"))
    patient.train([grey(9)] * 9, lambda _: {"val/x": values[4]})
    assert patient.step == 8  # step 5 was the best, 6 to 8 are as good


@pytest.mark.parametrize("other", [{"best": "val/x"}, {"validate_every": 1}])
def test_patience_without_validations_or_their_figure_is_refused(other: dict[str, object]) -> None:
    with pytest.raises(UserError, match=r"set loop\.best and loop\.validate_every"):
        LoopSettings(patience=2, **other)  # type: ignore[arg-type]


def test_a_run_stopped_between_two_log_lines_completes_the_line_after_resuming(tmp_path: Path) -> None:
    """A schedule that looks at the log must see the same means; here 3 dark images and 7 bright ones make one line."""
    levels = [20, 20, 20, *[90] * 7, *[90] * 10]

    def loop_in(name: str) -> TrainLoop:
        model, schedule = Scale(), WarmUntil(MultiStep(20), figure="pixels", below=60)
        settings = LoopSettings(log_every=10, checkpoint_every=20)
        return TrainLoop(
            model, torch.optim.SGD(model.parameters(), lr=0.125), schedule, settings, run_in(tmp_path / name)
        )

    def interrupted() -> Iterator[LabelledImages]:
        yield from map(grey, levels[:2])
        os.kill(os.getpid(), signal.SIGINT)
        yield from map(grey, levels[2:])

    loop_in("a").train(map(grey, levels))
    with pytest.raises(Stopped, match="stopped at step 3"):
        loop_in("b").train(interrupted())
    loop = loop_in("b")
    loop.resume(read_checkpoint(tmp_path / "b" / "last.pth"))
    loop.train(map(grey, levels[3:]))
    assert weight(tmp_path / "a" / "last.pth") == weight(tmp_path / "b" / "last.pth")
    means = [[(r["step"], r["pixels"], r["lr"]) for r in read_scalars(tmp_path / n / "scalars.json")] for n in "ab"]
    assert means[0] == means[1]
    assert means[0][0] == (10, 69, 0.0125)


@pytest.mark.parametrize("ema", [None, 0.5])
def test_an_interrupted_run_saves_and_resumes_exactly(tmp_path: Path, ema: float | None) -> None:
    levels = [10, 30, 50, 70, 90, 110]

    def interrupted() -> Iterator[LabelledImages]:
        yield from map(grey, levels[:2])
        os.kill(os.getpid(), signal.SIGINT)  # while step 3 is under way: it is finished first
        yield from map(grey, levels[2:])

    scale_loop(tmp_path / "a", 6, log_every=1, ema=ema).train(map(grey, levels))
    with pytest.raises(Stopped, match=r"stopped at step 3; go on with resume='auto' in .*b"):
        scale_loop(tmp_path / "b", 6, log_every=1, ema=ema).train(interrupted())
    loop = scale_loop(tmp_path / "b", 6, log_every=1, ema=ema)
    loop.resume(read_checkpoint(tmp_path / "b" / "last.pth"))
    assert loop.step == 3
    loop.train(map(grey, levels[3:]))
    assert weight(tmp_path / "a" / "last.pth") == weight(tmp_path / "b" / "last.pth")
    losses = [[(r["step"], r["loss"]) for r in read_scalars(tmp_path / n / "scalars.json")] for n in "ab"]
    assert losses[0] == losses[1]


def test_a_resumed_run_follows_the_current_config(tmp_path: Path) -> None:
    scale_loop(tmp_path, 2).train([grey(9)] * 2)
    model = Scale()
    sgd = torch.optim.SGD(model.parameters(), lr=0.5, weight_decay=0.5)
    loop = TrainLoop(model, sgd, MultiStep(4, milestones=(3,), gamma=0.5), LoopSettings(), run_in(tmp_path))
    loop.resume(read_checkpoint(tmp_path / "last.pth"))
    loop.train([grey(9)] * 2)
    w = 1.75
    for lr in (0.5, 0.25):
        w -= lr * (1 + 0.5 * w)
    assert model.w.item() == w


def test_a_changed_config_is_named_and_another_seed_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    loop = scale_loop(tmp_path, 2)
    loop.metadata["config"] = "a = 1\nsteps = 2\n"
    loop.train([grey(9)] * 2)
    state = read_checkpoint(tmp_path / "last.pth")
    longer = scale_loop(tmp_path, 4)
    longer.metadata["config"] = "a = 1\nsteps = 4\n"
    longer.resume(state)
    assert "differs from the checkpoint's and is used as it is now: steps was 2 and is 4" in caplog.text
    sgd = torch.optim.SGD(Scale().parameters(), lr=0.125)
    other = TrainLoop(Scale(), sgd, MultiStep(4), LoopSettings(), run_in(tmp_path, seed=1))
    with pytest.raises(UserError, match=r"--seed 1: the run to resume has --seed 0"):
        other.resume(state)


def test_records_after_the_checkpoint_are_dropped_when_resuming(tmp_path: Path) -> None:
    scalars = Scalars(tmp_path)
    for step in (1, 2, 3, 4):
        scalars.add(step, {"loss": float(step)})
    with (tmp_path / "scalars.json").open("a") as file:
        file.write('{"loss": 5')  # killed while writing
    scalars.forget_after(2)
    scalars.add(3, {"loss": 30.0})
    assert [r["loss"] for r in read_scalars(tmp_path / "scalars.json")] == [1, 2, 30]


def test_an_unknown_log_back_end_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'neptune' is unknown; .*tensorboard"):
        Scalars(tmp_path, ["neptune"])


def test_durations_are_printed_as_a_clock() -> None:
    assert [clock(s) for s in (0, 9.6, 61, 3600, 3723)] == ["0:00", "0:10", "1:01", "1:00:00", "1:02:03"]


def classifier() -> Classifier:
    torch.manual_seed(0)
    net = ResNet(18, num_classes=3, width=1 / 8)
    return Classifier(freeze_batch_norm(net))  # type: ignore[arg-type]


def test_cuda_graphs_cannot_accumulate_gradients(tmp_path: Path) -> None:
    """On an H200 the second backward pass of a step failed: its replay had overwritten the first one's gradients."""
    model = Scale()
    sgd, run = torch.optim.SGD(model.parameters(), lr=0.125), replace(run_in(tmp_path), compile="reduce-overhead")
    with pytest.raises(UserError, match=r"set loop\.accumulate to 1"):
        TrainLoop(model, sgd, MultiStep(1), LoopSettings(accumulate=2), run)
    TrainLoop(model, sgd, MultiStep(1), LoopSettings(accumulate=2), replace(run, compile="default"))


def test_two_half_batches_accumulated_are_one_batch(tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(0)
    images = torch.randint(256, (8, 3, 32, 32), generator=random).to(torch.uint8)
    labels, ids = torch.arange(8) % 3, [str(i) for i in range(8)]
    whole = [LabelledImages(images, labels, labels, ids)] * 2
    parts = [slice(0, 4), slice(4, 8)]
    halves = [LabelledImages(images[p], labels[p], labels[p], ids[p]) for p in parts] * 2
    trained = []
    for accumulate, batches in ((1, whole), (2, halves)):
        model = classifier()
        optimizer = build_sgd(model, lr=1e-3, images=8, reference_images=8)
        settings = LoopSettings(accumulate=accumulate, log_every=1)
        loop = TrainLoop(model, optimizer, MultiStep(2), settings, run_in(tmp_path / str(accumulate)))
        loop.train(batches)
        trained.append(dict(model.named_parameters()))
    start = dict(classifier().named_parameters())
    for name, parameter in trained[0].items():
        moved = (parameter - start[name]).abs().max().item()
        assert moved > 0, name
        torch.testing.assert_close(trained[1][name], parameter, rtol=0, atol=max(1e-3 * moved, 1e-7))
    losses = [[r["loss"] for r in read_scalars(tmp_path / n / "scalars.json")] for n in "12"]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


@pytest.mark.parametrize("ema", [None, 0.9])
def test_six_steps_equal_three_and_three_more_bit_for_bit(tmp_path: Path, cls_config: Path, ema: object) -> None:
    def train(steps: int, work_dir: Path, resume: str | None = None) -> None:
        torch.manual_seed(1 if resume is None else 2)  # a resumed run must not depend on its new start
        options = {"schedule.steps": steps, "loop.log_every": 1, "loop.ema": ema, "precise_bn.images": 0}
        train_classifier(load_config(cls_config, options), run_in(work_dir, resume=resume))

    train(6, tmp_path / "straight")
    train(3, tmp_path / "parts")
    train(6, tmp_path / "parts", resume="auto")
    straight, parts = (read_checkpoint(tmp_path / n / "last.pth") for n in ("straight", "parts"))
    assert parts["step"] == straight["step"] == 6
    assert parts["model"].keys() == straight["model"].keys()
    for name, value in straight["model"].items():
        assert torch.equal(parts["model"][name], value), name
    losses = [
        [(r["step"], r["loss"], r["lr"]) for r in read_scalars(tmp_path / n / "scalars.json") if "loss" in r]
        for n in ("straight", "parts")
    ]
    assert [step for step, *_ in losses[0]] == [1, 2, 3, 4, 5, 6]
    assert losses[0] == losses[1]
    assert straight["classes"] == ["dark", "light"]
    assert "steps=6" in straight["config"]
    assert set(straight["figures"]) == {"test/top1_error"}
