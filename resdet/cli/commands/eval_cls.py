"""Run eval-cls: test classifiers."""

from __future__ import annotations

import argparse
from pathlib import Path

from resdet.cli.common.config import config_of
from resdet.cli.common.output import write_json
from resdet.cli.common.run import folder_of_weights, run_options
from resdet.engine.distributed import is_main_process
from resdet.engine.run import start_run
from resdet.recipes.classification.evaluate import (
    evaluate_classifier,
    print_answers,
    write_predictions,
    write_submission,
)
from resdet.recipes.sections import load_config


def run(args: argparse.Namespace) -> None:
    """Print the errors, and write what the options ask for."""
    cfg = config_of(args)
    started = start_run(folder_of_weights(args.checkpoint[0]), run_options(args), log="eval")
    nets = [(cfg, path) for path in args.checkpoint]
    nets += [(load_config(config), Path(path)) for config, path in args.net]
    answers = evaluate_classifier(cfg, started, nets, args.views)
    if not is_main_process():
        return
    if args.predictions:
        write_predictions(args.predictions, answers)
    if args.submission:
        write_submission(args.submission[0], answers, args.submission[1])
    if not answers.labelled:
        print(f"{len(answers.labels)} images without labels: no errors to compute")
        return
    print_answers(answers)
    write_json(args.json, answers.figures() | {"confusion": answers.confusion().tolist()})
