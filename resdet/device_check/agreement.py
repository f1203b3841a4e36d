"""Outputs, losses and gradients on the device, in every precision, beside those of the CPU in fp32.

A difference is the norm of the difference over the norm of the CPU's tensor. Of the gradient, it is that of all
parameters together, and the largest of a single one (whose norm counts as at least 1 % of the whole gradient's).
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from resdet.device_check.check import Found, Setting
from resdet.device_check.families import Family, families
from resdet.engine.precision import Precision, float32_products, precision_context

LOSS_SCALE = {"fp16": 256.0}  # small gradients would become 0, as in training, where a GradScaler scales


class Tolerance(NamedTuple):
    """Largest differences allowed."""

    outputs: float
    gradient: float  # of all parameters together; twice that of a single one


# On an H200 gradients through BN over few images differ by up to .0054, .078, .33 and .10.
TOLERANCES: dict[Precision, Tolerance] = {
    "fp32": Tolerance(1e-3, 1e-2),
    "tf32": Tolerance(2e-2, 0.15),
    "bf16": Tolerance(8e-2, 0.5),
    "fp16": Tolerance(2e-2, 0.2),
}


class Answer(NamedTuple):
    """What a model gives, as float32 on the CPU."""

    outputs: dict[str, Tensor]
    gradient: dict[str, Tensor]  # by parameter; empty without losses


def check_agreement(setting: Setting, found: Found) -> None:
    """Compare all families in all precisions."""
    found.figures["tolerances"] = "; ".join(f"{p}: outputs {t[0]:g}, gradient {t[1]:g}" for p, t in TOLERANCES.items())
    for family in families():
        torch.manual_seed(0)
        model = family.model()
        expected = answer(family, model, torch.device("cpu"), "fp32")
        for precision in setting.precisions:
            name = f"{family.name}, {precision}"
            found.try_part(name, partial(_one_precision, setting, found, family, model, expected, precision))


def answer(family: Family, model: nn.Module, device: torch.device, precision: Precision) -> Answer:
    """Outputs and gradients of a copy of `model` on a device."""
    model, batch = deepcopy(model).to(device), family.batch().to(device)
    with precision_context(precision, device):
        outputs = family.outputs(model, batch)
    losses = [value for name, value in outputs.items() if name.startswith("loss_")]
    scale = LOSS_SCALE.get(precision, 1.0)
    if losses:
        with float32_products(precision):
            torch.autograd.backward(torch.stack(losses).sum() * scale)
    gradients = {name: p.grad.float().cpu() / scale for name, p in model.named_parameters() if p.grad is not None}
    return Answer({name: value.detach().float().cpu() for name, value in outputs.items()}, gradients)


def difference(actual: Tensor, expected: Tensor) -> float:
    """The norm of the difference over the norm of `expected`."""
    return float((actual - expected).norm() / expected.norm().clamp(min=1e-12))


def _one_precision(
    setting: Setting, found: Found, family: Family, model: nn.Module, expected: Answer, precision: Precision
) -> None:
    actual = answer(family, model, setting.device, precision)
    _compare(found, f"{family.name}, {precision}", expected, actual, TOLERANCES[precision])


def _compare(found: Found, name: str, expected: Answer, actual: Answer, tolerance: Tolerance) -> None:
    apart = {key: difference(actual.outputs[key], value) for key, value in expected.outputs.items()}
    for key, value in apart.items():
        found.expect(value <= tolerance.outputs, f"{name}: {key} differs by {value:.2g}, above {tolerance.outputs:g}")
    found.figures[name] = f"outputs {max(apart.values()):.1e}"
    if not expected.gradient:
        return
    found.expect(actual.gradient.keys() == expected.gradient.keys(), f"{name}: other parameters have gradients")
    whole, largest = gradient_differences(actual.gradient, expected.gradient)
    found.figures[name] += f", gradient {whole:.1e}, of one parameter at most {largest:.1e}"
    limit = tolerance.gradient
    found.expect(whole <= limit, f"{name}: the gradient differs by {whole:.2g}, above {limit:g}")
    found.expect(largest <= 2 * limit, f"{name}: a parameter's gradient differs by {largest:.2g}, above {2 * limit:g}")


def gradient_differences(actual: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> tuple[float, float]:
    """The difference of all gradients together, and the largest of a single parameter's."""
    norm = torch.stack([value.norm() for value in expected.values()]).norm()
    apart = torch.stack([(actual[name] - value).norm() for name, value in expected.items()])
    own = torch.stack([value.norm() for value in expected.values()]).clamp(min=float(norm) / 100)
    return float(apart.norm() / norm), float((apart / own).max())
