"""The largest number of images whose steps fit into memory."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from helpers.classifiers import noise
from helpers.runs import CPU, run_in
from resdet.classification.classifier import Classifier
from resdet.engine import batch_fit
from resdet.engine.batch_fit import SHARE, images_that_fit, largest_fit
from resdet.engine.loop_settings import LoopSettings
from resdet.engine.memory import can_measure_steps, forget_peak, held_peak_gib, usable_gib
from resdet.engine.schedule import MultiStep
from resdet.engine.training import Plan
from resdet.engine.trial import Trial, TrialLoop
from resdet.errors import UserError
from resdet.nets.resnet import ResNet
from resdet.structures import LabelledImages

needs_proc = pytest.mark.skipif(not can_measure_steps(CPU), reason="no /proc, or the peak cannot be reset")


class Memory:
    """A step of n images takes base + fixed (from the first step on) + n * each GiB; asked for more than there is: inf.

    Attributes:
        asked: the numbers of images that were tried.
    """

    def __init__(self, base: float, fixed: float, each: float, total: float = math.inf) -> None:
        self.base, self.fixed, self.each, self.total, self.asked = base, fixed, each, total, list[int]()

    def __call__(self, images: int) -> float:
        self.asked.append(images)
        used = self.base + (self.fixed + images * self.each if images else 0)
        return used if used <= self.total else math.inf


@pytest.mark.parametrize("fixed", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("each", [0.01, 0.3, 1.0, 2.9])
def test_all_memory_that_may_be_used_is_used_and_never_more(each: float, fixed: float) -> None:
    memory = Memory(1.0, fixed, each)
    fit = largest_fit(memory, 8.001, most=10_000)
    assert fit.images == int((8.001 - 1.0 - fixed) / each)
    assert fit.gib == pytest.approx(1 + fixed + each * fit.images)
    assert memory(max(memory.asked)) <= 8.001 / SHARE  # on a CPU the system would end the process
    assert len(memory.asked) < 40


def test_more_memory_never_fits_fewer_images() -> None:
    fits = [largest_fit(Memory(1.0, 0.5, 0.37), limit, most=50).images for limit in (1.0, 2.0, 2.5, 4.0, 9.0, 99.0)]
    assert fits == sorted(fits)
    assert (fits[0], fits[-1]) == (0, 50)  # not even one; the whole set


def test_a_number_that_exhausts_the_memory_all_the_same_is_halved() -> None:
    """Some algorithms of cuDNN need more memory from some size on."""

    def peak(images: int) -> float:
        return math.inf if images > 21 else 1 + 0.1 * images

    assert largest_fit(peak, 8.0, most=1000).images == 21


def resnet_trial(side: int, length: int = 400, accumulate: int = 1) -> Trial[Classifier]:
    """The training of a small ResNet on images of `side` pixels."""
    plan = Plan(8, {"lr": 0.1, "reference_images": 8}, MultiStep(10), LoopSettings(accumulate=accumulate))

    def largest(images: int) -> LabelledImages:
        zeros = torch.zeros(images, dtype=torch.int64)
        pixels = noise(images, 3, side, side).to(memory_format=torch.channels_last)
        return LabelledImages(pixels, zeros, zeros, ["a"] * images)

    return Trial(lambda: Classifier(ResNet(18, 5, width=0.25)), plan, lambda n: (), largest, length, least=2)


@needs_proc
def test_what_it_finds_fits_and_twice_as_many_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured on a net with 0.06 GiB of room."""
    trial, run = resnet_trial(160), run_in(tmp_path)
    loop = TrialLoop(trial, run, 0.0, MultiStep(1))
    loop.try_step([trial.largest(2)])
    forget_peak(CPU)
    room = held_peak_gib(CPU) + 0.06
    monkeypatch.setattr(batch_fit, "usable_gib", lambda device: room / SHARE)
    fit = images_that_fit(trial, run, fixed=True)
    assert 4 < fit.images < 400
    assert fit.gib <= fit.limit == pytest.approx(room)
    forget_peak(CPU)
    loop.try_step([trial.largest(2 * fit.images)])
    assert held_peak_gib(CPU) > fit.limit


@needs_proc
def test_with_room_for_all_a_pass_has_its_part_of_the_set_and_no_draw_is_made(tmp_path: Path) -> None:
    trial, state = resnet_trial(32, 40, accumulate=4), torch.get_rng_state()
    fit = images_that_fit(trial, run_in(tmp_path), fixed=True)
    assert fit.images == 10  # a quarter of the set per pass
    assert torch.equal(torch.get_rng_state(), state)


@needs_proc
def test_a_memory_too_small_for_one_image_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_fit, "usable_gib", lambda device: 0.01)
    with pytest.raises(UserError, match=r"a step of 2 images takes .* GiB, and 0.0 GiB may be used"):
        images_that_fit(resnet_trial(32), run_in(tmp_path), fixed=True)


@needs_proc
def test_the_room_is_no_more_than_the_machine_has() -> None:
    forget_peak(CPU)
    total = int(next(line for line in Path("/proc/meminfo").read_text().splitlines() if "MemTotal" in line).split()[1])
    assert held_peak_gib(CPU) < usable_gib(CPU) <= total / 2**20


@needs_proc
def test_a_limit_of_the_addresses_counts() -> None:
    """Batch systems set it (ulimit -v); it is set in a process of its own."""
    script = """
import resource
import torch
from resdet.engine.memory import usable_gib

cpu = torch.device("cpu")
before = usable_gib(cpu)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**27, resource.RLIM_INFINITY))
assert usable_gib(cpu) < before - 0.1, (before, usable_gib(cpu))
resource.setrlimit(resource.RLIMIT_AS, (used, resource.RLIM_INFINITY))
assert 0 < usable_gib(cpu) < before
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr


@needs_proc
def test_an_allocation_that_the_system_refuses_is_a_memory_too_small(tmp_path: Path) -> None:
    class Huge(Classifier):
        def forward(self, batch: LabelledImages) -> dict[str, torch.Tensor]:
            return {"loss": torch.empty(2**50).sum()}

    trial = replace(resnet_trial(32), new_model=lambda: Huge(ResNet(18, 5, width=0.25)))
    with pytest.raises(UserError, match="a step of 2 images takes more than there is"):
        images_that_fit(trial, run_in(tmp_path), fixed=True)
