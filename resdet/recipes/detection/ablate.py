"""Table 9 on any data set: baseline, then box refinement, global context, multi-scale testing and an ensemble.

rows = ablate(cfg, [[Path("plain.pth"), Path("context.pth")]], run)
print_rows(rows)

Each row adds one improvement to the row above. With several trainings (seeds) a row shows mean and standard deviation.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from resdet.data.detection.settings import DetectionData
from resdet.data.detection.usable import require_scorable
from resdet.detection.inference import InferenceSettings
from resdet.detection.refinement import Refinement
from resdet.engine.config import Config, build_call, require
from resdet.engine.distributed import is_main_process
from resdet.engine.memory import forget_peak, peak_gib
from resdet.engine.run import Run
from resdet.errors import UserError
from resdet.metrics.bootstrap import BootstrapSettings, Difference, paired_bootstrap
from resdet.metrics.flat import FlatDetections
from resdet.metrics.precision_recall import Method
from resdet.recipes.detection.inference import detect_all, load_inference
from resdet.recipes.detection.load import read_detector_weights
from resdet.recipes.detection.score import score, truth_of
from resdet.recipes.trained import trained_nets
from resdet.report.ablation import TITLES as FIGURES
from resdet.report.tables import print_table, results_table
from resdet.weights.weights import has_global_context

logger = logging.getLogger("resdet")


@dataclass(frozen=True)
class Trial:
    """How one row is tested, for one training."""

    name: str
    checkpoints: tuple[Path, ...]
    testing: InferenceSettings


@dataclass
class Row:
    """A row of the table; every list has one value per training.

    Attributes:
        figures: by name (the keys of FIGURES), in 0..1.
        detections: number of detections in the test set.
        seconds: per image, from reading the file to the detections, without scoring.
        peak_gib: peak memory.
        lead: by name of the figure, the difference to the row above; empty for the first row, or without bootstrap.
    """

    name: str
    figures: dict[str, list[float]] = field(default_factory=dict)
    detections: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    peak_gib: list[float] = field(default_factory=list)
    lead: dict[str, Difference] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """The row as plain data, for JSON."""
        leads = {name: vars(difference) for name, difference in self.lead.items()}
        costs = {"detections": self.detections, "seconds": self.seconds, "peak_gib": self.peak_gib}
        return {**self.figures, **costs, "lead": leads}


def ablate(
    cfg: Config,
    trainings: Sequence[Sequence[Path]],
    run: Run,
    scales: Sequence[int] = (),
    resamples: int = 1000,
    options: Mapping[str, Any] | None = None,
) -> list[Row]:
    """Measure every row of Table 9 that the checkpoints allow.

    Args:
        cfg: a detector's config: its test set, and in `testing` the settings of box refinement.
        trainings: for each training (seed) the checkpoints of a plain detector, then optionally of a detector with
            global context, then of further detectors of the same kind as the last, for the ensemble. Global context
            is recognized by the weights.
        run: device and precision.
        scales: short sides of the image pyramid in pixels; (): those of the config, else 1/3, 2/3, ... 5/3 of
            `data.resizer.short`; in the paper 200, 400, ... 1000 for 600.
        resamples: draws of the paired bootstrap over the images, the trainings averaged; 0: no bootstrap.
        options: values that the user has set for this test (recipes/trained.py).

    Returns:
        The rows from top to bottom; their figures and leads only on the main process.

    Raises:
        UserError: a training has no plain detector, the trainings allow different rows, or the test set has no objects.
    """
    require(cfg, "a detector", "model", "data.test")
    nets = {path: own for own, path in trained_nets(cfg, list(dict.fromkeys(chain(*trainings))), options)}
    cfg = nets[trainings[0][0]]
    data = build_call(DetectionData, {key: value for key, value in cfg.data.items() if key != "train"})
    require_scorable(data.test.table, "data.test")
    base = build_call(InferenceSettings, cfg.get("testing", {}))
    scales = scales or base.scales or [round(data.resizer.short * step / 3) for step in range(1, 6)]
    plans = [plan(files, base, scales) for files in trainings]
    names = [trial.name for trial in plans[0]]
    if any([trial.name for trial in other] != names for other in plans):
        raise UserError("--checkpoint: every training needs the same kinds of detectors; these rows differ")
    rows = [Row(name) for name in names]
    found = [
        [_measure(nets, data, trial, run, row) for trial in trials]
        for row, trials in zip(rows, zip(*plans, strict=True), strict=True)
    ]
    # Only the main process does this: after the last row, so that no other one waits for it.
    if resamples and is_main_process():
        logger.info("bootstrap: %d resamples of the images for each row", resamples)
        for row, ours, theirs in zip(rows[1:], found[1:], found, strict=False):
            row.lead = {name: _lead(ours, theirs, data, resamples, name) for name in row.figures}
    return rows


def plan(files: Sequence[Path], base: InferenceSettings, scales: Sequence[int]) -> list[Trial]:
    """The rows that the checkpoints of one training allow, in the order of Table 9.

    Args:
        files: checkpoints of plain detectors and of detectors with global context.
        base: settings of box refinement and the proposal scales.
        scales: short sides of the image pyramid in pixels.

    Raises:
        UserError: there is no plain detector, or there are several although one has global context.
    """
    kinds = {file: has_global_context(read_detector_weights(file).state) for file in files}
    plain = tuple(file for file, context in kinds.items() if not context)
    wide = tuple(file for file, context in kinds.items() if context)
    if not plain:
        raise UserError(f"{files[0]} has global context: give a plain detector too, for the baseline")
    if wide and len(plain) > 1:
        raise UserError(
            f"{plain[1]}: a second detector without global context has no row beside {wide[0]}, which has it"
        )
    nothing = replace(base, refinement=None, scales=(), proposal_scales=(), flip=False, soft_nms=None)
    refined = replace(nothing, refinement=base.refinement or Refinement())
    proposing = tuple(scale for scale in base.proposal_scales if scale in scales)
    several = replace(refined, scales=tuple(scales), proposal_scales=proposing)
    last = wide or plain
    trials = [Trial("baseline", plain[:1], nothing), Trial("+ box refinement", plain[:1], refined)]
    if wide:
        trials.append(Trial("+ context", wide[:1], refined))
    trials.append(Trial("+ multi-scale testing", last[:1], several))
    if len(last) > 1:
        trials.append(Trial("ensemble", last, several))
    return trials


def print_rows(rows: Sequence[Row]) -> None:
    """Print every row's figures in percent, then its difference to the row above with a 95 % bootstrap interval."""
    lines = []
    for row in rows:
        figures = [_spread(row.figures.get(name, [])) for name in FIGURES]
        lines.append([row.name, *figures, f"{np.mean(row.seconds):.2f}", f"{max(row.peak_gib):.2f}"])
    print_table(results_table("Table 9 on these data", ["", *FIGURES.values(), "s/image", "GiB"], lines))
    leads = [[row.name, *(_interval(row.lead.get(name)) for name in FIGURES)] for row in rows if row.lead]
    if leads:
        title = "difference to the row above, with 95 % bootstrap intervals over the images"
        print_table(results_table(title, ["", *FIGURES.values()], leads))


def _measure(nets: Mapping[Path, Config], data: DetectionData, trial: Trial, run: Run, row: Row) -> FlatDetections:
    """Detect in the test set and add figures and costs to the row."""
    inference = load_inference([(nets[path], path) for path in trial.checkpoints], trial.testing, data, run)
    logger.info("%s: %s", trial.name, ", ".join(map(str, trial.checkpoints)))
    forget_peak(run.device)
    started = time.perf_counter()
    found = detect_all(inference, data.test, data.resizer, run, data.test_images, data.workers)
    row.seconds.append((time.perf_counter() - started) / len(data.test))
    row.peak_gib.append(peak_gib(run.device))
    row.detections.append(len(found))
    if is_main_process():
        evaluation = score(found, data.test, data.method)
        for name in FIGURES:
            if name in evaluation.figures:
                row.figures.setdefault(name, []).append(evaluation.figures[name])
    return found


def _lead(
    ours: list[FlatDetections], theirs: list[FlatDetections], data: DetectionData, resamples: int, figure: str
) -> Difference:
    method: Method = "11-point" if data.method == "11-point" else "area"
    dataset = data.test
    return paired_bootstrap(  # by VOC's rules also for COCO's data sets
        ours, theirs, truth_of(dataset), len(dataset), len(dataset.classes), method,
        over_thresholds=figure == "mAP50_95", settings=BootstrapSettings(resamples),
    )  # fmt: skip


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "-"
    deviation = f" +- {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):.1f}{deviation}"


def _interval(lead: Difference | None) -> str:
    return "" if lead is None else f"{100 * lead.mean:+.1f} ({100 * lead.low:+.1f} .. {100 * lead.high:+.1f})"
