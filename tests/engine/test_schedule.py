"""Learning-rate schedules."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from helpers.runs import Scale, grey, run_in, weight
from resdet.engine.checkpoint import read_checkpoint
from resdet.engine.log import read_scalars
from resdet.engine.loop import LoopSettings, TrainLoop
from resdet.engine.schedule import Cosine, MultiStep, Plateau, WarmUntil


def test_multi_step_divides_by_ten_from_each_milestone_on() -> None:
    schedule = MultiStep(steps=100, milestones=(60, 80))
    factors = [schedule(s) for s in (0, 59, 60, 79, 80, 99)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    assert MultiStep(steps=10)(9) == 1


@pytest.mark.parametrize("schedule", [MultiStep(steps=100, warmup=20), Cosine(steps=10**9, warmup=20)])
def test_warm_up_is_linear_from_a_tenth_to_the_whole_rate(schedule: MultiStep | Cosine) -> None:
    assert [schedule(s) for s in (0, 5, 10, 15, 20, 21)] == pytest.approx([0.1, 0.325, 0.55, 0.775, 1, 1])


def test_warm_up_multiplies_the_rate_of_the_schedule() -> None:
    assert MultiStep(steps=100, milestones=(5,), warmup=10, warmup_factor=0.5)(5) == pytest.approx(0.1 * 0.75)


def test_cosine_goes_from_one_to_zero() -> None:
    schedule = Cosine(steps=60)
    assert [schedule(s) for s in (0, 20, 30, 40, 60)] == pytest.approx([1, 0.75, 0.5, 0.25, 0])


def test_plateau_divides_when_the_error_stops_falling() -> None:
    schedule = Plateau(steps=100, patience=2, margin=0.1)
    factors = []
    for error in (50, 40, 39.95, 39.96, 39.97, 30, 31, 32, 33):
        schedule.observe({"test/top1_error": error, "loss": 1})
        schedule.observe({"loss": 1})  # a line of the log, which has no such figure
        factors.append(schedule(0))
    assert factors == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01])
    resumed = Plateau(steps=100, patience=2, margin=0.1)
    resumed.restore(schedule.state())
    for each in (schedule, resumed):
        each.observe({"test/top1_error": 34})
    assert resumed(0) == schedule(0) == pytest.approx(0.001)


def test_resnet_110_warms_up_until_the_training_error_is_under_80_percent(tmp_path: Path) -> None:
    """Black images have 0 "top1_error" here, white ones 100; one line of the log every 2 steps."""

    def train(batches: list, steps: int, resume: bool) -> TrainLoop:
        model = Scale()
        schedule = WarmUntil(MultiStep(6, milestones=(5,)), figure="pixels", below=80)
        run = run_in(tmp_path)
        settings = LoopSettings(log_every=2, checkpoint_every=4)
        loop = TrainLoop(model, torch.optim.SGD(model.parameters(), lr=0.125), schedule, settings, run)
        if resume:
            loop.resume(read_checkpoint(tmp_path / "last.pth"))
        loop.steps = steps
        loop(batches)
        return loop

    levels = [grey(level) for level in (200, 100, 20, 90, 200, 200)]
    train(levels[:4], 4, resume=False)
    train(levels[4:], 6, resume=True)
    records = read_scalars(tmp_path / "scalars.json")
    assert [r["pixels"] for r in records] == [150, 55, 200]
    assert [r["lr"] for r in records] == pytest.approx([0.0125, 0.0125, 0.0125])  # of the last step of each line
    assert weight(tmp_path / "last.pth") == pytest.approx(2 - 0.125 * (4 * 0.1 + 1 + 0.1))
