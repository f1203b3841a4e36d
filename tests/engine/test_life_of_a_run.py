"""A run that is killed, refused or fails at any moment loses no finished step, mixes nothing and ends with equal bits.

Processes are killed by SIGKILL at every single file operation of a short training; test_random_kills.py kills the four
kinds of training at random moments.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from helpers.processes import SERVER
from helpers.runs import Scale, begin_scale, grey, run_in, weight
from resdet.engine.checkpoint import read_checkpoint
from resdet.engine.log import read_scalars
from resdet.engine.loop import TrainLoop
from resdet.engine.loop_settings import LoopSettings
from resdet.engine.schedule import MultiStep
from resdet.errors import Stopped, UserError
from resdet.structures import LabelledImages

every_operation = pytest.mark.parametrize("stride", [4, pytest.param(1, marks=pytest.mark.heavy)])
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
LEVELS = (10, 30, 50, 70)


def of_model(model: nn.Module, images: int = 0) -> dict[str, float]:
    return {"val/x": model.w.item()}  # type: ignore[operator, union-attr]


def train(folder: Path, resume: str | None, steps: int = 4) -> None:
    """A training with checkpoints at every step, validations and a best.pth."""
    run, every = run_in(folder, resume=resume), {"checkpoint_every": 1, "log_every": 1, "validate_every": 2}
    loop = begin_scale(run, steps, best="val/x", **every)
    loop.train(map(grey, LEVELS[loop.step : steps]), of_model)


def killed_at(event: int, folder: Path, resume: str | None) -> bool:
    """Train in a child that is killed just before its `event`-th file operation in the folder. False: it had fewer."""
    process = SERVER.Process(target=_train_until, args=(event, folder, resume))
    process.start()
    process.join(60)
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def _train_until(event: int, folder: Path, resume: str | None) -> None:
    def kill(name: str, arguments: tuple[object, ...]) -> None:
        nonlocal event
        is_write = name == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES
        if (is_write or name in ("os.rename", "os.remove", "os.mkdir")) and str(arguments[0]).startswith(str(folder)):
            event -= 1
            if event < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(kill)
    train(folder, resume)


def contents(folder: Path) -> dict[str, object]:
    """What a run has left: weights, optimizer and figures of its checkpoints, and the records of its log."""
    found: dict[str, object] = {"records": [(r["step"], r.get("loss"), r.get("val/x")) for r in _records(folder)]}
    for name in ("last.pth", "best.pth"):
        state = read_checkpoint(folder / name)
        momentum = [entry["momentum_buffer"].item() for entry in state["optimizer"]["state"].values()]
        groups = [{k: v for k, v in g.items() if k != "params"} for g in state["optimizer"]["param_groups"]]
        found[name] = (state["model"]["w"].item(), state["step"], state["best"], state["figures"], momentum, groups)
    return found


def _records(folder: Path) -> list[dict[str, float]]:
    return read_scalars(folder / "scalars.json")


@every_operation
def test_a_run_killed_at_any_file_operation_resumes_to_the_same_bits(tmp_path: Path, stride: int) -> None:
    train(tmp_path / "straight", None)
    expected = contents(tmp_path / "straight")
    kills = 0
    while killed_at(kills, tmp_path / str(kills), None):
        train(tmp_path / str(kills), "auto")
        assert contents(tmp_path / str(kills)) == expected, kills
        kills += stride
    assert kills >= 40


@every_operation
def test_a_new_run_killed_at_any_file_operation_is_never_mixed_with_the_older_one(tmp_path: Path, stride: int) -> None:
    """Killed before it has set the older run aside, the older one is what is resumed; after that the new one is."""
    older, longer, new = tmp_path / "older run", tmp_path / "longer", tmp_path / "straight"
    train(older, None, steps=3)
    shutil.copytree(older, longer)
    train(longer, "auto")
    train(new, None)
    expected = {True: contents(longer), False: contents(new)}
    first, kills, seen = read_checkpoint(older / "last.pth")["run"], 0, set()
    while True:
        folder = tmp_path / str(kills)
        shutil.copytree(older, folder)
        if not killed_at(kills, folder, None):
            break
        train(folder, "auto")
        found = contents(folder)
        run = read_checkpoint(folder / "last.pth")["run"]
        assert read_checkpoint(folder / "best.pth")["run"] == run
        assert found == expected[run == first]
        if run != first:
            (aside,) = (folder / "older").glob(f"*_{first}")
            assert contents(aside) == contents(older)
        seen.add(run == first)
        kills += stride
    assert seen == {True, False}


# Failures -------------------------------------------------------------------------------------------------------------


def failing(levels: list[int], after: int) -> Iterator[LabelledImages]:
    yield from map(grey, levels[:after])
    raise UserError("one.jpg cannot be read")


def test_an_image_that_cannot_be_read_costs_no_finished_step(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    begin_scale(run_in(tmp_path / "a"), 4, log_every=4).train(map(grey, LEVELS))
    run = run_in(tmp_path / "b", command="resdet train-det x.py --resume last.pth --seed 3")
    loop = begin_scale(run, 4, log_every=4)
    with pytest.raises(UserError, match=r"one\.jpg"):
        loop.train(failing(list(LEVELS), 3))
    assert read_checkpoint(tmp_path / "b" / "last.pth")["step"] == 3
    said = "the error came after step 3, which is saved; remove the cause, then run the command again with --resume"
    assert caplog.messages[-1] == said  # and not that the command, which fails again, is to be pasted
    loop = begin_scale(run_in(tmp_path / "b", resume="auto"), 4, log_every=4)
    loop.train(map(grey, LEVELS[loop.step :]))
    assert weight(tmp_path / "b" / "last.pth") == weight(tmp_path / "a" / "last.pth")
    means = [[(r["step"], r["loss"], r["pixels"]) for r in _records(tmp_path / n)] for n in "ab"]
    assert means[0] == means[1]  # the line of the log that was begun before the failure


class Noisy(nn.Module):
    """BN, dropout and an error on request: a failing forward pass has changed statistics and generators already."""

    def __init__(self, fails_at: int | None = None) -> None:
        super().__init__()
        self.bn, self.drop, self.last = nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Conv2d(3, 1, 1)
        self.calls, self.fails_at = 0, fails_at

    def forward(self, batch: LabelledImages) -> dict[str, Tensor]:
        if not self.training:
            return {}
        self.calls += 1
        values = self.last(self.drop(self.bn(batch.images.float())))
        if self.calls == self.fails_at:
            raise RuntimeError("a hook failed")
        return {"loss_x": values.square().mean()}


@pytest.mark.parametrize("accumulate", [1, 2])
def test_an_error_amid_a_step_is_undone_before_the_state_is_saved(tmp_path: Path, accumulate: int) -> None:
    random = torch.Generator().manual_seed(0)
    images = [torch.randint(256, (2, 3, 4, 4), generator=random, dtype=torch.uint8) for _ in range(8)]
    zeros = torch.zeros(2, dtype=torch.int64)
    batches = [LabelledImages(pixels, zeros, zeros, ["a", "b"]) for pixels in images]

    def loop_in(name: str, fails_at: int | None = None) -> TrainLoop[Noisy]:
        torch.manual_seed(4)
        model = Noisy(fails_at)
        settings = LoopSettings(log_every=3, accumulate=accumulate)
        sgd = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        return TrainLoop(model, sgd, MultiStep(8 // accumulate), settings, run_in(tmp_path / name))

    loop_in("a").train(batches)
    failed = loop_in("b", fails_at=3 * accumulate)  # in the last pass of the third step
    with pytest.raises(RuntimeError, match="a hook failed"):
        failed.train(batches)
    state = read_checkpoint(tmp_path / "b" / "last.pth")
    assert state["step"] == 2
    loop = loop_in("b")
    loop.resume(state)
    loop.train(batches[loop.passes :])
    one, other = (read_checkpoint(tmp_path / n / "last.pth") for n in "ab")
    assert all(torch.equal(value, other["model"][name]) for name, value in one["model"].items())
    assert torch.equal(one["rng"], other["rng"])
    assert [r["loss"] for r in _records(tmp_path / "a")] == [r["loss"] for r in _records(tmp_path / "b")]


class HalfStep(torch.optim.SGD):
    """Fails when it has changed the weights."""

    def step(self, closure: object = None) -> None:  # type: ignore[override]
        super().step()
        raise RuntimeError("no memory left")


def test_a_half_done_step_and_a_loss_that_is_not_finite_are_not_saved(tmp_path: Path) -> None:
    model = Scale()
    sgd = HalfStep(model.parameters(), lr=0.1)
    with pytest.raises(RuntimeError, match="no memory left"):
        TrainLoop(model, sgd, MultiStep(4), LoopSettings(), run_in(tmp_path / "a")).train([grey(9)] * 4)
    assert not (tmp_path / "a" / "last.pth").exists()

    loop = begin_scale(run_in(tmp_path / "b"), 9, log_every=100)
    with pytest.raises(UserError, match=r"one\.jpg"):  # before the log has looked at the losses
        loop.train(failing([9, 9, 0], 3))
    assert not (tmp_path / "b" / "last.pth").exists()


# Validation -----------------------------------------------------------------------------------------------------------


def broken(model: nn.Module, images: int = 0) -> dict[str, float]:
    raise RuntimeError("the test set is gone")


@pytest.mark.parametrize("step", [2, 4])
def test_a_validation_that_fails_costs_nothing_and_is_made_up_for(tmp_path: Path, step: int) -> None:
    settings = {"log_every": 1, "validate_every": 2, "best": "val/x"}
    begin_scale(run_in(tmp_path / "a"), 4, **settings).train(map(grey, LEVELS), of_model)
    failed = begin_scale(run_in(tmp_path / "b"), 4, **settings)
    with pytest.raises(RuntimeError, match="the test set is gone"):
        failed.train(map(grey, LEVELS), lambda model: (broken if failed.step == step else of_model)(model))
    state = read_checkpoint(tmp_path / "b" / "last.pth")
    assert (state["step"], state["validated"]) == (step, False)
    loop = begin_scale(run_in(tmp_path / "b", resume="auto"), 4, **settings)
    loop.train(map(grey, LEVELS[loop.step :]), of_model)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")  # with the learning rate in the optimizer's state
    assert read_checkpoint(tmp_path / "b" / "last.pth")["validated"]


@pytest.mark.parametrize("step", [2, 4])
def test_a_signal_stops_before_a_validation_which_is_made_up_for(tmp_path: Path, step: int) -> None:
    """A cluster waits for half a minute, a validation may take an hour."""
    settings = {"log_every": 1, "validate_every": 2, "best": "val/x"}
    begin_scale(run_in(tmp_path / "a"), 4, **settings).train(map(grey, LEVELS), of_model)
    loop = begin_scale(run_in(tmp_path / "b"), 4, **settings)

    def until_signal() -> Iterator[LabelledImages]:
        yield from map(grey, LEVELS[: step - 1])
        os.kill(os.getpid(), signal.SIGTERM)
        yield from map(grey, LEVELS[step - 1 :])

    validated = []
    with pytest.raises(Stopped, match=f"stopped at step {step}; go on with"):
        loop.train(until_signal(), lambda model: validated.append(loop.step) or of_model(model))
    assert validated == [2][: step // 2 - 1]
    loop = begin_scale(run_in(tmp_path / "b", resume="auto"), 4, **settings)
    loop.train(map(grey, LEVELS[loop.step :]), of_model)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_second_signal_ends_a_validation_at_once_and_says_what_is_saved(tmp_path: Path) -> None:
    def impatient(model: nn.Module, images: int = 0) -> dict[str, float]:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
        raise AssertionError("not reached")

    run = run_in(tmp_path, command="resdet train-det x.py")
    loop = begin_scale(run, 4, validate_every=2)
    saved = "step 2 is saved; go on with: resdet train-det x.py --resume"
    with pytest.raises(Stopped, match=f"^stopped at once; {saved}$") as caught:
        loop.train(map(grey, LEVELS), impatient)
    assert caught.value.exit_code == 143
    assert not read_checkpoint(tmp_path / "last.pth")["validated"]


def test_validations_on_the_way_use_a_sample_and_the_last_one_all_images(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The last step is compared with the others on the sample, and has the figures of all images."""
    seen = []

    def validate(model: nn.Module, images: int = 0) -> dict[str, float]:
        seen.append(images)
        return {"val/x": 0.5 + 0.1 * len(seen) if images else 0.1}

    loop = begin_scale(run_in(tmp_path), 4, validate_every=2, validate_images=50, best="val/x")
    with caplog.at_level("INFO", "resdet"):
        loop.train(map(grey, LEVELS), validate)
    assert seen == [50, 50, 0]
    best, last = (read_checkpoint(tmp_path / name) for name in ("best.pth", "last.pth"))
    assert (best["step"], best["best"], last["figures"]) == (4, 0.7, {"val/x": 0.1})
    assert "step 2 (sample of 50 test images)  val/x 0.6" in caplog.messages
    assert "step 4  val/x 0.1" in caplog.messages
