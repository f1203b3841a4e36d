"""The learning-rate range test on losses whose largest stable rate is known."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from helpers.runs import CPU, run_in
from resdet.engine.loop_settings import LoopSettings
from resdet.engine.range_test import STEPS, RangeTest, range_test
from resdet.engine.schedule import MultiStep
from resdet.engine.training import Plan
from resdet.engine.trial import Trial, state_restored
from resdet.structures import LabelledImages


class Quadratic(nn.Module):
    """loss = sum of h (w - noise)^2 / 2, whose gradient descent is stable up to a rate of 2 (1 + momentum) / max h."""

    def __init__(self, curvatures: list[float], noise: float = 0.0) -> None:
        super().__init__()
        self.w, self.curvatures, self.noise = nn.Parameter(torch.ones(len(curvatures))), torch.tensor(curvatures), noise

    def forward(self, batch: LabelledImages) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(int(batch.seeds[0]))
        centre = self.noise * torch.randn(len(self.w), generator=generator)
        return {"loss_quadratic": (self.curvatures * (self.w - centre) ** 2).sum() / 2}


def numbered(_: int) -> Iterator[LabelledImages]:
    """Endless batches of two images, with the number of the batch as the seed of all draws."""
    zeros = torch.zeros(2, dtype=torch.int64)
    return (LabelledImages(torch.zeros(2, 3, 1, 1), zeros, zeros + i, ["a", "b"]) for i in itertools.count())


def trial_of(model: nn.Module, images: int = 2, **optimizer: float) -> Trial[nn.Module]:
    """A training of `model` at 2 images per reference step."""
    plan = Plan(images, {"reference_images": 2, "lr": 1.0, **optimizer}, MultiStep(10), LoopSettings(ema=0.9))
    return Trial(lambda: model, plan, numbered, lambda n: None, 10)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("curvatures", [[10.0, 0.1], [1.0, 100.0], [0.01, 1.0, 30.0], [1.0] * 20 + [50.0]])
def test_the_suggestion_is_stable_and_not_far_below_the_limit(
    curvatures: list[float], noise: float, momentum: float, tmp_path: Path
) -> None:
    """The steepest descent is at a thousandth of the limit here."""
    test = range_test(trial_of(Quadratic(curvatures, noise), momentum=momentum), run_in(tmp_path))
    limit = 2 * (1 + momentum) / max(curvatures)
    assert test.suggestion is not None
    assert limit / 50 <= test.suggestion < limit


def test_the_suggestion_is_in_units_of_the_config(tmp_path: Path) -> None:
    """With twice the reference images, the rate is twice optimizer.lr: the suggestion is half of that for as many."""
    once, twice = (range_test(trial_of(Quadratic([10.0]), images=n), run_in(tmp_path)) for n in (2, 4))
    assert once.losses == pytest.approx(twice.losses, rel=1e-5)
    assert twice.suggestion == pytest.approx(once.suggestion / 2, rel=0.05)  # two digits each


def test_it_ends_when_the_loss_diverges_or_is_not_finite(tmp_path: Path) -> None:
    gentle = range_test(trial_of(Quadratic([0.1])), run_in(tmp_path))
    steep = range_test(trial_of(Quadratic([1e4, 1.0]), momentum=0.0), run_in(tmp_path))
    explosive = range_test(trial_of(Quadratic([1e30, 1.0])), run_in(tmp_path))
    assert len(gentle.losses) == STEPS
    assert 10 < len(steep.losses) < STEPS
    assert all(np.isfinite(test.losses).all() for test in (gentle, steep, explosive))


def test_a_loss_that_does_not_fall_gives_no_suggestion(tmp_path: Path) -> None:
    """Noise alone has a minimum too."""
    solved = Quadratic([1.0, 3.0], noise=0.5)
    nn.init.zeros_(solved.w)
    assert range_test(trial_of(solved), run_in(tmp_path)).suggestion is None
    assert RangeTest([], []).suggestion is None


def test_what_follows_a_rise_does_not_count() -> None:
    """A classifier with random weights has such a curve: a hump, and then a valley at rates that no training stands."""
    lrs, at = np.geomspace(1e-4, 10, STEPS).tolist(), np.arange(STEPS)
    noise = 0.01 * np.random.default_rng(0).standard_normal(STEPS)
    hump = 2 + 0.3 * np.exp(-(((at - 120) / 20) ** 2)) - 0.8 * np.exp(-(((at - 180) / 10) ** 2)) + noise
    fall = 0.4 * np.exp(-(((at - 60) / 20) ** 2))
    assert RangeTest(lrs, hump.tolist()).suggestion is None
    found = RangeTest(lrs, (hump - fall).tolist()).suggestion
    assert found is not None
    assert lrs[50] / 5 < found < lrs[80] / 5


def test_afterwards_all_generators_are_as_before() -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.random()), float(torch.rand(()))

    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    expected = draw()
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])
    with state_restored(CPU):
        assert draw() == expected
        draw()
    assert draw() == expected
