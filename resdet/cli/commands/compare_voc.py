"""Run compare-voc: compare two detectors by their comp4 files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from resdet.cli.common.output import write_json
from resdet.data.detection.usable import require_scorable
from resdet.metrics.bootstrap import BootstrapSettings, paired_bootstrap
from resdet.metrics.precision_recall import Method
from resdet.recipes.detection.score import score_comp4, truth_of


def run(args: argparse.Namespace) -> None:
    """Print both means, and the difference with its interval."""
    method: Method = args.method
    scored = {
        name: [score_comp4(f, args.voc_root, args.year, args.image_set, args.classes, method) for f in folders]
        for name, folders in (("ours", args.ours), ("theirs", args.theirs))
    }
    dataset = scored["ours"][0][1]
    require_scorable(dataset.table, f"{args.voc_root}, {args.image_set} of VOC{args.year}")
    means = {name: [evaluation.figures["mAP50"] for evaluation, _, _ in found] for name, found in scored.items()}
    for name, values in means.items():
        print(f"{name}: mAP@.5 {_spread(values)}")
    ours, theirs = ([detections for _, _, detections in scored[name]] for name in ("ours", "theirs"))
    difference = paired_bootstrap(
        ours, theirs, truth_of(dataset), len(dataset), len(dataset.classes), method,
        settings=BootstrapSettings(args.resamples, seed=args.seed),
    )  # fmt: skip
    low, high = 100 * difference.low, 100 * difference.high
    verdict = "more than chance" if low > 0 or high < 0 else "may be chance"
    print(
        f"ours - theirs {100 * difference.mean:+.1f}, 95 % of draws of the images {low:+.1f} .. {high:+.1f}: {verdict}"
    )
    write_json(args.json, {"mAP50": means, "difference": asdict(difference), "resamples": args.resamples})


def _spread(values: Sequence[float]) -> str:
    each = " ".join(f"{100 * v:.1f}" for v in values)
    deviation = f" +- {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{each}: {100 * np.mean(values):.1f}{deviation}"
