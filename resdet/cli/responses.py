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
from resdet.cli.common import add_config_options, add_device_arguments, run_command
from resdet.engine.config import load_config
from resdet.engine.run import start_run
from resdet.recipes.build_classifier import build_data, load_classifier
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
    run = start_run(args.out, args.device, args.precision, args.seed, log="responses")
    nets: dict[str, dict[str, float]] = {}
    rows = []
    for config, checkpoint in args.net:
        cfg = load_config(config, args.cfg_options)
        data = build_data(cfg)
        classifier = load_classifier(cfg, data, Path(checkpoint)).to(run.device)
        order = np.arange(min(args.images, len(data.test)))
        name = Path(checkpoint).parent.name
        nets[name] = layer_responses(classifier, (batch.to(run.device) for batch in data.testing(order, run.device)))
        assert data.train is not None
        step = next(iter(data.statistics(np.arange(min(data.images, len(data.train))), run.device)))
        norms = gradient_norms(classifier, step.to(run.device))
        rows += [[name, layer, deviation, norms[layer]] for layer, deviation in nets[name].items()]
    save_figure(response_figure(nets), args.out / "responses.png")
    with (args.out / "responses.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["net", "layer", "response_std", "gradient_norm"], *rows])
    print(f"{args.out / 'responses.png'} and {args.out / 'responses.csv'}: {len(nets)} nets")


if __name__ == "__main__":
    main()
