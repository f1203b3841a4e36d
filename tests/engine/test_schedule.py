"""Learning-rate schedules."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from helpers.runs import Scale, grey, run_in, weight
from resdet.engine.checkpoint import read_checkpoint
from resdet.engine.config import build
from resdet.engine.log import read_scalars
from resdet.engine.loop import TrainLoop
from resdet.engine.loop_settings import LoopSettings
from resdet.engine.schedule import Cosine, MultiStep, Plateau, WarmUntil
from resdet.engine.training import Plan, begin
from resdet.errors import UserError
from resdet.recipes.sections import load_config


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


def test_plateau_divides_three_times_and_then_keeps_the_rate_to_the_end() -> None:
    schedule = Plateau(steps=100, patience=1)
    for _ in range(20):
        schedule.observe({"test/top1_error": 50})
    assert schedule(0) == schedule(99) == pytest.approx(1e-3)


def test_plateau_divides_when_a_detectors_map_stops_rising() -> None:
    schedule, factors = Plateau(steps=100, figure="val/mAP50", patience=2), []
    for value in (0.1, 0.2, 0.3, 0.29, 0.3005, 0.4):
        schedule.observe({"val/mAP50": value})
        factors.append(schedule(0))
    assert factors == pytest.approx([1, 1, 1, 1, 0.1, 0.1])
    assert schedule.in_words() == "x 0.1 where val/mAP50 stops rising, 3 times at most"


def test_a_schedule_needs_a_figure_that_is_validated() -> None:
    loop, names = LoopSettings(validate_every=10), ["val/mAP50", "val/mAP50_small"]
    loop.check_figures(names, Plateau(10, figure="val/mAP50"))
    loop.check_figures(names, MultiStep(10))
    with pytest.raises(UserError, match=r"schedule\.figure is 'test/top1_error'; wanted: val/mAP50"):
        loop.check_figures(names, WarmUntil(Plateau(10)))
    with pytest.raises(UserError, match=r"depends on val/mAP50, but .* set loop\.validate_every"):
        LoopSettings(validate_every=0).check_figures(names, Plateau(10, figure="val/mAP50"))


@pytest.mark.parametrize("name", ["imagenet_r50", "imagenet_plain34_3x"])
def test_imagenets_rate_falls_at_a_quarter_a_half_and_three_quarters(name: str) -> None:
    """150k, 300k and 450k of 600k steps of 256 images: epochs 30, 60 and 90 of 120, whatever a log says (Fig. 4)."""
    cfg = load_config(name)
    schedule = build(cfg.schedule)
    epochs = [m * cfg.data.images / 1_281_167 for m in (*schedule.milestones, schedule.steps)]
    times = 3 if name.endswith("3x") else 1
    assert epochs == pytest.approx([30 * times, 60 * times, 90 * times, 120 * times], rel=0.002)
    before = [schedule(step) for step in range(0, schedule.steps, 5000)]
    for error in (90, 90, 90, 90, 90, 90, 90):
        schedule.observe({"test/top1_error": error})
    assert [schedule(step) for step in range(0, schedule.steps, 5000)] == before


def test_the_kind_of_schedule_is_chosen_from_the_command_line() -> None:
    """What the other kind takes too is kept, its own values can be set, and a wrong name is one line."""
    cfg = load_config("imagenet_r50", {"schedule.type": "Plateau", "schedule.patience": 3})
    assert vars(build(cfg.schedule)) == vars(Plateau(600_000, patience=3))
    assert build(load_config("voc07_r101", {"schedule.type": "Cosine"}).schedule) == Cosine(80_000)
    with pytest.raises(UserError, match=r"there is no type 'Plateu'.*did you mean Plateau"):
        load_config("imagenet_r50", {"schedule.type": "Plateu"})


# Another number of images per step ------------------------------------------------------------------------------------


def test_a_schedule_sees_as_many_images_in_steps_of_another_size() -> None:
    """README's example: 80,000 steps of two images are 10,000 of sixteen, with 500 steps of warm-up."""
    schedule = build(load_config("voc07_r101").schedule)
    large = schedule.for_images(16)
    assert (large.steps, large.milestones, large.warmup) == (10_000, (7_500,), 500)
    small = schedule.for_images(1)
    assert (small.steps, small.milestones, small.warmup) == (160_000, (120_000,), 0)
    assert schedule.for_images(2) is schedule
    assert MultiStep(10).for_images(64) == MultiStep(10)  # without reference_images


@pytest.mark.parametrize(
    ("steps", "warmup", "images", "expected"),
    [(1_000, 100, 8, 25), (1_000, 100, 4, 50), (2_400, 100, 4, 120), (2_400, 0, 16, 30), (80_000, 500, 16, 500)],
)
def test_a_short_training_is_not_all_warm_up(steps: int, warmup: int, images: int, expected: int) -> None:
    """The warm-up of larger steps is a tenth of the training at most, or the share that the config's own is."""
    large = MultiStep(steps, warmup=warmup, reference_images=2).for_images(images)
    assert large.warmup == expected <= large.steps / 10


# A row of the paper: its images per step, as the config has them.
OF_THE_PAPER = {"voc07_r101": 2, "voc12_r101": 2, "coco_r101": 8, "det_r101": 8, "imagenet_r50": 256,
                "cifar10_r20": 128, "cifar10_r110": 128, "loc_r101": 256}  # fmt: skip


@pytest.mark.parametrize("name", OF_THE_PAPER)
def test_a_configs_own_images_change_nothing_and_twice_as_many_halve_its_steps(name: str) -> None:
    cfg = load_config(name)
    schedule = build(cfg.schedule)
    assert cfg.data.images == OF_THE_PAPER[name]
    assert schedule.for_images(cfg.data.images).steps == schedule.steps
    assert schedule.for_images(2 * cfg.data.images).steps == schedule.steps // 2


def test_rate_and_steps_of_a_training_follow_its_images(tmp_path: Path) -> None:
    plan = Plan(4, {"lr": 0.1, "reference_images": 2}, MultiStep(8, (6,), reference_images=2), LoopSettings())
    loop = begin(Scale(), plan, run_in(tmp_path))
    assert loop.steps == 4
    assert loop.rates == pytest.approx([0.2])


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
        loop.train(batches)
        return loop

    levels = [grey(level) for level in (200, 100, 20, 90, 200, 200)]
    train(levels[:4], 4, resume=False)
    train(levels[4:], 6, resume=True)
    records = read_scalars(tmp_path / "scalars.json")
    assert [r["pixels"] for r in records] == [150, 55, 200]
    assert [r["lr"] for r in records] == pytest.approx([0.0125, 0.0125, 0.0125])  # of the last step of each line
    assert weight(tmp_path / "last.pth") == pytest.approx(2 - 0.125 * (4 * 0.1 + 1 + 0.1))
