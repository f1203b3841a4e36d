"""Speed of resdet's and torchvision's Faster R-CNN with the same weights on the same images.

comparison = compare(load_config("configs/voc07_r50.py"), device, Workload(proposals=300))
comparison.turns.medians()["resdet bf16"]                              # seconds per image
comparison.turns.ratio("torchvision fp32", "resdet bf16")              # how many times faster resdet is

The outputs of every stage must agree before anything is timed. The two run in turns, so that changes in the machine's
load affect both.
"""

from __future__ import annotations

import copy
import gc
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from resdet.benchmarks.detector_stages import Workload, random_batch, random_detector
from resdet.benchmarks.torchvision_peer import largest_differences, peer_inputs, torchvision_peer
from resdet.benchmarks.turns import Turns
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.detection.inference import Inference
from resdet.engine.config import Config, require
from resdet.engine.memory import forget_peak
from resdet.engine.precision import DTYPES, Precision, float32_products, precision_context
from resdet.errors import UserError
from resdet.nets.blocks import fold_for_inference
from resdet.structures import Batch

TOLERANCES = {"proposals": 1e-2, "boxes": 1e-2}  # pixels
TOLERANCE = 1e-3  # of the other outputs
STATUS = Path("/proc/self/status")  # on Linux


@dataclass
class Comparison:
    """Results by contender: "resdet fp32", "torchvision bf16" ...

    Attributes:
        differences: largest absolute difference of the outputs, by stage.
        turns: seconds per image in every turn.
        peaks: GiB of memory above that in use before a turn: activations, gradients, workspace.
    """

    differences: dict[str, float]
    turns: Turns
    peaks: dict[str, float]


def compare(
    cfg: Config,
    device: torch.device,
    workload: Workload,
    precisions: tuple[Precision, ...] = ("fp32", "bf16"),
) -> Comparison:
    """Time both implementations.

    Args:
        cfg: a detector's config; its data are not read.
        device: to compute on.
        workload: what is timed.
        precisions: each one is timed; torchvision's bf16 is by autocast.

    Raises:
        UserError: the outputs differ by more than 1e-3 (boxes: 0.01 pixels), or the numbers of proposals differ.
    """
    require(cfg, "a detector", "model")
    model = random_detector(cfg, workload.proposals, workload.mode).to(device).eval()
    peer = torchvision_peer(model).to(device)
    batch = random_batch(model.num_classes, workload.size, workload.images).to(device)
    with float32_products("fp32"):
        differences = largest_differences(model, peer.eval(), batch)
    for name, difference in differences.items():
        if difference > TOLERANCES.get(name, TOLERANCE):
            raise UserError(f"the outputs differ (in {name} by {difference:.2g}), so their speed cannot be compared")
    make = _inference if workload.mode == "infer" else _training
    contenders: dict[str, Callable[[], object]] = {}
    for precision in precisions:
        contenders |= make(model, peer, batch, precision)
    turns = Turns({name: [] for name in contenders})
    peaks: dict[str, float] = {}
    for turn in range(workload.repeats + 1):  # the first one is not counted
        for name, run in contenders.items():
            gc.collect()
            started = _start(device)
            run()
            seconds, peak = _stop(device, *started)
            if turn:
                turns[name].append(seconds / workload.images)
                peaks[name] = max(peak, peaks.get(name, 0.0))
    return Comparison(differences, turns, peaks)


def _inference(
    model: FasterRCNN, peer: nn.Module, batch: Batch, precision: Precision
) -> dict[str, Callable[[], object]]:
    device = batch.images.device
    detector = copy.deepcopy(model)
    fold_for_inference(detector, DTYPES[precision])
    ours = Inference([detector])
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
    """A function that makes a step of SGD on the sum of a detector's losses."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, 1e-5, momentum=0.9)

    def run() -> object:
        with float32_products(precision):
            with precision_context(precision, parameters[0].device):
                losses = torch.stack(list(model(*inputs).values())).sum()
            torch.autograd.backward(losses)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return losses

    return run


def _start(device: torch.device) -> tuple[float, float]:
    """Reset the peak of the memory. Returns the memory in use in GiB, and the time."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device) / 2**30, time.perf_counter()
    forget_peak(device)
    return _resident("VmRSS"), time.perf_counter()


def _stop(device: torch.device, before: float, started: float) -> tuple[float, float]:
    """Seconds since `started`, and the peak of the memory above `before` in GiB."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter() - started, torch.cuda.max_memory_allocated(device) / 2**30 - before
    return time.perf_counter() - started, _resident("VmHWM") - before


def _resident(name: str) -> float:
    """A value of /proc/self/status in GiB; NaN where there is no such file."""
    if not STATUS.exists():
        return math.nan
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 2**20
