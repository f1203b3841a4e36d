"""Standard deviations of every 3x3 layer's response over the test set, as the paper's Fig. 7 draws them.

responses.py --net cifar10_plain20 runs/cifar10_plain20/last.pth --net cifar10_r20 runs/cifar10_r20/last.pth --out DIR

Writes responses.png and responses.csv, which also has the norm of each layer's gradient in one training step.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from resdet.classification.responses import gradient_norms, layer_responses
from resdet.cli.common import add_config_options, add_device_arguments, distinct_names, run_command
from resdet.engine.config import load_config
from resdet.engine.precision import precision_context
from resdet.engine.run import start_run
from resdet.errors import UserError
from resdet.recipes.classification.build import build_data, load_classifier
from resdet.report.errors import response_figure
from resdet.report.figures import save_figure


def main(arguments: list[str] | None = None) -> None:
    """Entry point of tools/responses.py and resdet-responses."""
    run_command(_responses, arguments)


def _responses(arguments: list[str] | None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", nargs=2, action="append", required=True, metavar=("CONFIG", "CHECKPOINT"))
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--images", type=int, default=10_000, help="of the test set, at most")
    add_device_arguments(parser)
    add_config_options(parser)
    args = parser.parse_args(arguments)
    if args.images < 1:
        raise UserError(f"--images {args.images}: give a number of images, 1 or more")
    run = start_run(args.out, args.device, args.precision, args.seed, log="responses")
    nets: dict[str, dict[str, float]] = {}
    rows = []
    checkpoints = [Path(checkpoint) for _, checkpoint in args.net]
    names = distinct_names([checkpoint.parent for checkpoint in checkpoints])
    for name, checkpoint, (config, _) in zip(names, checkpoints, args.net, strict=True):
        cfg = load_config(config, args.cfg_options)
        data = build_data(cfg)
        classifier = load_classifier(cfg, data, checkpoint).to(run.device)
        tested = data.testing(_some(len(data.test), args.images, run.seed), run.device)
        assert data.train is not None
        step = next(iter(data.statistics(_some(len(data.train), data.images, run.seed), run.device)))
        with precision_context(run.precision, run.device):
            nets[name] = layer_responses(classifier, (batch.to(run.device) for batch in tested))
            norms = gradient_norms(classifier, step.to(run.device))
        rows += [[name, layer, deviation, norms[layer]] for layer, deviation in nets[name].items()]
    save_figure(response_figure(nets), args.out / "responses.png")
    with (args.out / "responses.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["net", "layer", "response_std", "gradient_norm"], *rows])
    print(f"{args.out / 'responses.png'} and {args.out / 'responses.csv'}: {len(nets)} nets")


def _some(count: int, most: int, seed: int) -> np.ndarray:
    """Images from all over a set, which may be sorted by class."""
    return np.random.default_rng(seed).permutation(count)[:most]


if __name__ == "__main__":
    main()
