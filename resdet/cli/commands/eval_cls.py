"""Run eval-cls: test classifiers."""

from __future__ import annotations

import argparse

from resdet.cli.common.config import net_of, nets_of, print_config, require_checkpoint, take_checkpoint
from resdet.cli.common.output import say_what_it_holds, write_json
from resdet.cli.common.recording import Recording, refuse_record
from resdet.cli.common.run import run_options
from resdet.engine.distributed import is_main_process
from resdet.engine.run import start_run
from resdet.recipes.classification.evaluate import (
    evaluate_classifier,
    print_answers,
    write_predictions,
    write_submission,
)
from resdet.weights.folder import folder_of


def run(args: argparse.Namespace) -> None:
    """Print the errors, and write what the options ask for."""
    take_checkpoint(args)
    print_config(args, args.checkpoint)
    require_checkpoint(args.checkpoint)
    started = start_run(folder_of(args.checkpoint[0]), run_options(args), log="eval")
    nets = nets_of(args, args.checkpoint) + [net_of(config, path) for config, path in args.net]
    recording = Recording(args, nets[0][0], started, [path for _, path in nets])
    answers = evaluate_classifier(nets[0][0], started, nets, args.views)
    if not is_main_process():
        return
    if args.predictions:
        write_predictions(args.predictions, answers)
        say_what_it_holds(args.predictions, answers.written, args.words)
    if args.submission:
        write_submission(args.submission[0], answers, args.submission[1])
        say_what_it_holds(args.submission[0], answers.written, args.words)
    if not answers.labelled:
        refuse_record(args, "images without labels")
        print(f"{len(answers.labels)} images without labels: no errors to compute")
        return
    print_answers(answers)
    write_json(args.json, answers.figures() | {"confusion": answers.confusion().tolist()})
    recording.write({"": answers.figures()}, answers.image_ids)
