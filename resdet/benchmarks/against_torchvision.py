"""Ours and torchvision's Faster R-CNN beside each other: the same weights, the same image, run in turns.

comparison = compare(load_config("configs/voc07_r50.py"), device, mode="infer", proposals=300)
comparison.seconds["resdet bf16"]         # the median of the turns
comparison.speedup("resdet bf16", "torchvision fp32")

Before anything is timed, the outputs of every stage have to agree. Taking turns, both see the same machine.
"""

from __future__ import annotations

import copy
import gc
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from resdet.benchmarks.detector_stages import random_batch, random_detector
from resdet.benchmarks.torchvision_peer import largest_differences, peer_inputs, torchvision_peer
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.engine.config import Config, require
from resdet.engine.precision import DTYPES, Precision, precision_context
from resdet.errors import UserError
from resdet.nets.blocks import fold_for_inference
from resdet.structures import Batch

TOLERANCES = {"proposals": 1e-2, "boxes": 1e-2}  # pixels
TOLERANCE = 1e-3  # of all else
FORGET_PEAK = Path("/proc/self/clear_refs")  # Linux; a 5 written there resets VmHWM


@dataclass
class Comparison:
    """What each contender ("resdet fp32", "torchvision bf16" ...) took in every turn."""

    differences: dict[str, float]  # of the outputs, by stage
    turns: dict[str, list[float]]  # seconds an image
    peaks: dict[str, float]  # GiB above what was held before: activations, gradients, workspace

    @property
    def seconds(self) -> dict[str, float]:
        """Medians over the turns."""
        return {name: statistics.median(values) for name, values in self.turns.items()}

    def speedup(self, ours: str, theirs: str) -> float:
        """The median over the turns of their time over ours."""
        return statistics.median(b / a for a, b in zip(self.turns[ours], self.turns[theirs], strict=True))


def compare(
    cfg: Config,
    device: torch.device,
    mode: str = "infer",
    size: tuple[int, int] = (600, 1000),
    proposals: int = 300,
    images: int = 1,
    repeats: int = 5,
    precisions: tuple[Precision, ...] = ("fp32", "bf16"),
) -> Comparison:
    """Time both in every precision; torchvision's bf16 is autocast. The arguments are `benchmark`'s.

    Raises:
        UserError: the outputs differ by more than 1e-3 (boxes: .01 pixels), or one has other than `proposals` regions.
    """
    require(cfg, "a detector", "model")
    model = random_detector(cfg, proposals, mode).to(device).eval()
    peer = torchvision_peer(model).to(device)
    batch = random_batch(model.num_classes, size, images).to(device)
    differences = largest_differences(model, peer.eval(), batch)
    for name, difference in differences.items():
        if difference > TOLERANCES.get(name, TOLERANCE):
            raise UserError(f"the outputs differ (in {name} by {difference:.2g}): there is nothing to compare")
    make = _inference if mode == "infer" else _training
    contenders: dict[str, Callable[[], object]] = {}
    for precision in precisions:
        contenders |= make(model, peer, batch, precision)
    turns: dict[str, list[float]] = {name: [] for name in contenders}
    peaks: dict[str, float] = {}
    for turn in range(repeats + 1):  # the first is not counted
        for name, run in contenders.items():
            gc.collect()
            started = _start(device)
            run()
            seconds, peak = _stop(device, *started)
            if turn:
                turns[name].append(seconds / images)
                peaks[name] = max(peak, peaks.get(name, 0.0))
    return Comparison(differences, turns, peaks)


def _inference(
    model: FasterRCNN, peer: nn.Module, batch: Batch, precision: Precision
) -> dict[str, Callable[[], object]]:
    device = batch.images.device
    ours = copy.deepcopy(model)
    fold_for_inference(ours, DTYPES[precision])
    images, _ = peer_inputs(batch)

    def run_ours() -> object:
        with precision_context(precision, device):
            return ours.detect(batch)

    def run_theirs() -> object:
        with torch.inference_mode(), precision_context(precision, device):
            return peer(images)

    return {f"resdet {precision}": run_ours, f"torchvision {precision}": run_theirs}


def _training(
    model: FasterRCNN, peer: nn.Module, batch: Batch, precision: Precision
) -> dict[str, Callable[[], object]]:
    images, targets = peer_inputs(batch)
    ours, theirs = copy.deepcopy(model).train(), copy.deepcopy(peer).train()
    return {
        f"resdet {precision}": _step(ours, precision, batch),
        f"torchvision {precision}": _step(theirs, precision, images, targets),
    }


def _step(model: nn.Module, precision: Precision, *inputs: Any) -> Callable[[], object]:
    """One step of SGD on the sum of a detector's losses."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, 1e-5, momentum=0.9)

    def run() -> object:
        with precision_context(precision, parameters[0].device):
            losses = torch.stack(list(model(*inputs).values())).sum()
        losses.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return losses

    return run


def _start(device: torch.device) -> tuple[float, float]:
    """Forget the highest use of memory so far. Returns the memory in use and the time."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device) / 2**30, time.perf_counter()
    if FORGET_PEAK.exists():
        FORGET_PEAK.write_text("5")
    return _resident("VmRSS"), time.perf_counter()


def _stop(device: torch.device, before: float, started: float) -> tuple[float, float]:
    """Seconds, and the highest use of memory above `before`."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter() - started, torch.cuda.max_memory_allocated(device) / 2**30 - before
    return time.perf_counter() - started, _resident("VmHWM") - before


def _resident(name: str) -> float:
    """GiB; NaN where the system does not tell."""
    if not FORGET_PEAK.exists():
        return math.nan
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 2**20
