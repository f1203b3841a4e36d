"""Accuracy of resdet's and torchvision's Faster R-CNN after the same training: trunk, settings, images, order, flips.

trained = train_contenders(cfg, [Contender.parse("torchvision"), Contender.parse("resdet")], seeds=[0, 1], run=run)
rows = summarize(trained, dataset, "area")

Each training has a folder, WORK_DIR/CONTENDER/seedS. A finished training is reused and an interrupted one resumed, so
that several processes may train different contenders and a last one compares them.
"""

from __future__ import annotations

import hashlib
import json
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from resdet.benchmarks.contender_result import ContenderResult
from resdet.benchmarks.parts import Contender
from resdet.data.detection.annotations import DetectionDataset
from resdet.data.detection.settings import Rule
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.detection.inference import Inference
from resdet.engine.checkpoint import LAST
from resdet.engine.config import Config, build, require
from resdet.engine.config_text import config_text
from resdet.engine.log import start_logging
from resdet.engine.run import Run, make_folder
from resdet.engine.run_folder import RunIdentity
from resdet.engine.training import Plan, begin
from resdet.errors import UserError
from resdet.metrics.bootstrap import BootstrapSettings, Difference, paired_bootstrap
from resdet.metrics.flat import FlatDetections
from resdet.metrics.precision_recall import Method
from resdet.recipes.detection.inference import Detects, detect_all
from resdet.recipes.detection.score import score, truth_of
from resdet.recipes.detection.trainer import DetectorTraining
from resdet.report.tables import format_ap, print_table, results_table
from resdet.whole_files import write_whole_file

DETECTIONS, RECORD = "detections.npz", "accuracy.json"
MOST_CLASSES = 5  # shown in the table
logger = logging.getLogger("resdet")


@dataclass
class Trained:
    """One contender's detections in the test set, for each seed."""

    contender: Contender
    detections: list[FlatDetections]


def train_contenders(cfg: Config, contenders: Sequence[Contender], seeds: Sequence[int], run: Run) -> list[Trained]:
    """Train every contender with every seed, or read the results of an earlier call in `run.work_dir`.

    Args:
        cfg: a detector's config.
        contenders: the detectors to train.
        seeds: a training of each contender per seed.
        run: folder, device and precision; `init_from` has the weights that all start from.

    Raises:
        UserError: there is no `init_from`, or a folder is of another config, seed or trunk.
    """
    require(cfg, "a detector", "model", "data.train", "data.test", "optimizer", "schedule", "loop")
    if not run.init_from:
        raise UserError("--init-from is missing: give the trunk that all contenders start from")
    found: dict[str, list[FlatDetections]] = {contender.name: [] for contender in contenders}
    for seed in seeds:
        for contender in contenders:
            folder = run.work_dir / contender.name.replace(":", "_") / f"seed{seed}"
            own = replace(run, work_dir=folder, seed=seed, identity=RunIdentity())
            found[contender.name].append(_trained(contender, cfg, own))
    return [Trained(contender, found[contender.name]) for contender in contenders]


def summarize(
    trained: Sequence[Trained], dataset: DetectionDataset, rule: Rule, resamples: int = 1000
) -> list[ContenderResult]:
    """Compute the AP of every training, and differences to the first contender with 95 % intervals.

    Args:
        trained: contenders, each with the same seeds.
        dataset: the test set.
        rule: how AP is computed.
        resamples: of the bootstrap, which draws images and seeds.
    """
    return [_row(one, trained[0], dataset, rule, resamples) for one in trained]


def print_rows(rows: Sequence[ContenderResult], seeds: Sequence[int]) -> None:
    """Print mAP of every seed, means, AP per class and the differences to the first contender, in percent."""
    lines = []
    for row in rows:
        each = " ".join(f"{100 * value:.1f}" for value in row.map50)
        classes = " ".join(format_ap(float(np.mean(values))) for values in list(row.per_class.values())[:MOST_CLASSES])
        lines.append([row.name, each, _spread(row.map50), _spread(row.map50_95), classes, _interval(row.lead)])
    names = list(rows[0].per_class)[:MOST_CLASSES]
    columns = ["", "mAP@.5 by seed", "mAP@.5", "mAP@[.5,.95]", ", ".join(names), f"mAP@.5 less {rows[0].name}'s"]
    print_table(results_table(f"seeds {', '.join(map(str, seeds))}", columns, lines))


def _spread(values: Sequence[float]) -> str:
    deviation = f" +- {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):.1f}{deviation}"


def _interval(lead: Difference | None) -> str:
    return "" if lead is None else f"{100 * lead.mean:+.1f} ({100 * lead.low:+.1f} .. {100 * lead.high:+.1f})"


def _row(one: Trained, first: Trained, dataset: DetectionDataset, rule: Rule, resamples: int) -> ContenderResult:
    evaluations = [score(found, dataset, rule) for found in one.detections]
    method: Method = "11-point" if rule == "11-point" else "area"
    lead = None
    if one is not first:
        lead = paired_bootstrap(
            one.detections, first.detections, truth_of(dataset), len(dataset), len(dataset.classes), method,
            settings=BootstrapSettings(resamples, over_trainings=True),
        )  # fmt: skip
    return ContenderResult(
        one.contender.name,
        [e.figures["mAP50"] for e in evaluations],
        [e.figures["mAP50_95"] for e in evaluations],
        {name: [e.classes[k].ap for e in evaluations] for k, name in enumerate(dataset.classes)},
        lead,
    )


def _trained(contender: Contender, cfg: Config, run: Run) -> FlatDetections:
    """The detections of one training in the test set, from its folder if it is finished."""
    metadata = {"seed": run.seed, "init_from": _digest(run.init_from), "config": config_text(cfg)}
    record = run.work_dir / RECORD
    if record.is_file():
        _refuse_others(json.loads(record.read_text()), metadata, record)
        if (run.work_dir / DETECTIONS).is_file():
            return _read(run.work_dir / DETECTIONS)
    make_folder(run.work_dir)
    write_whole_file(record, json.dumps(metadata).encode())  # a kill leaves no half of it
    start_logging(run.work_dir)
    logger.info("%s, seed %d", contender.name, run.seed)
    found = _train(contender, contender.config(cfg), run)
    partial = run.work_dir / f"partial_{DETECTIONS}"
    np.savez(partial, **vars(found))
    partial.replace(run.work_dir / DETECTIONS)
    return found


def _train(contender: Contender, cfg: Config, run: Run) -> FlatDetections:
    random.seed(run.seed)
    torch.manual_seed(run.seed)
    job = DetectorTraining(cfg, run)
    model = job.new_model()
    job.load_pretrained(model)
    detector = contender.detector(model).to(run.device)
    plan = Plan(job.data.images, cfg.optimizer, build(cfg.schedule), job.settings)
    interrupted = (run.work_dir / LAST).is_file()
    loop = begin(detector, plan, replace(run, resume="auto" if interrupted else None))
    loop.train(job.batches(job.data.images, loop.passes))
    inference: Detects = Inference([detector]) if isinstance(detector, FasterRCNN) else detector
    return detect_all(inference, job.data.test, job.data.resizer, run, job.data.test_images, job.data.workers)


def _refuse_others(before: dict[str, Any], now: dict[str, Any], record: Path) -> None:
    differing = [name for name in now if before.get(name) != now[name]]
    if differing:
        raise UserError(
            f"{record.parent} has a training with another {differing[0]}; give another --work-dir, or delete it"
        )


def _digest(init_from: str | None) -> str:
    """SHA-256 of the file of weights; if it is the name of torchvision's weights, that name."""
    path = Path(init_from or "")
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else str(init_from)


def _read(path: Path) -> FlatDetections:
    with np.load(path) as file:
        return FlatDetections(**file)
