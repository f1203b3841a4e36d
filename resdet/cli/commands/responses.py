"""Run responses: measure the responses and gradients of classifiers' layers."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from resdet.classification.responses import gradient_norms, layer_responses
from resdet.cli.common.options import parse_options
from resdet.cli.common.output import distinct_names
from resdet.engine.config import Config
from resdet.engine.precision import precision_context
from resdet.engine.run import Run, RunOptions, start_run
from resdet.recipes.classification.build import build_data, load_classifier
from resdet.recipes.sections import load_config
from resdet.recipes.trained import trained_nets
from resdet.report.classifier_plots import response_plot
from resdet.report.plots import save_plot
from resdet.whole_files import whole_file


def run(args: argparse.Namespace) -> None:
    """Write responses.png and responses.csv."""
    started = start_run(args.out, RunOptions(args.device, args.precision, args.seed), log="responses")
    options = parse_options(args.cfg_options)
    checkpoints = [Path(checkpoint) for _, checkpoint in args.net]
    names = distinct_names([checkpoint.parent for checkpoint in checkpoints])
    nets: dict[str, dict[str, float]] = {}
    rows: list[list[object]] = []
    for name, checkpoint, (config, _) in zip(names, checkpoints, args.net, strict=True):
        cfg, _ = trained_nets(load_config(config, options), [checkpoint], options)[0]
        deviations, norms = _measure(cfg, checkpoint, args.images, started)
        nets[name] = deviations
        rows += [[name, layer, deviation, norms[layer]] for layer, deviation in deviations.items()]
    save_plot(response_plot(nets), args.out / "responses.png")
    with whole_file(args.out / "responses.csv") as partial, partial.open("w", newline="") as file:
        csv.writer(file).writerows([["net", "layer", "response_std", "gradient_norm"], *rows])
    print(f"{args.out / 'responses.png'} and {args.out / 'responses.csv'}: {len(nets)} nets")


def _measure(cfg: Config, checkpoint: Path, images: int, run: Run) -> tuple[dict[str, float], dict[str, float]]:
    """Standard deviations of responses over `images` test images, and gradient norms of one step, by layer."""
    data = build_data(cfg)
    classifier = load_classifier(cfg, data, checkpoint).to(run.device)
    tested = data.testing(_some(len(data.test), images, run.seed), run.device)
    assert data.train is not None
    step = next(iter(data.statistics(_some(len(data.train), data.images, run.seed), run.device)))
    with precision_context(run.precision, run.device):
        deviations = layer_responses(classifier, (batch.to(run.device) for batch in tested))
        return deviations, gradient_norms(classifier, step.to(run.device))


def _some(count: int, most: int, seed: int) -> np.ndarray:
    """At most `most` indices of images from all over a set, which may be sorted by class."""
    return np.random.default_rng(seed).permutation(count)[:most]
