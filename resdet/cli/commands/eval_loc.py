"""Run eval-loc: score localizers, or a predictions file, by the rules of ILSVRC."""

from __future__ import annotations

import argparse

from resdet.cli.arguments.eval_loc import IN_RUN
from resdet.cli.common.config import net_of, nets_of, print_config, require_checkpoint, take_checkpoint
from resdet.cli.common.options import parse_options
from resdet.cli.common.output import say_what_it_holds, write_json
from resdet.cli.common.recording import Recording, refuse_record
from resdet.cli.common.run import run_options
from resdet.engine.config import Config, build_call
from resdet.engine.distributed import is_main_process
from resdet.engine.run import start_run
from resdet.errors import UserError
from resdet.recipes.localization.build import build_localization_data, require_localizer
from resdet.recipes.localization.evaluate import ClassChoice, evaluate_localizer
from resdet.recipes.localization.inference import InferenceMode
from resdet.recipes.localization.score import print_evaluation, score_files, server_numbers, write_predictions
from resdet.recipes.section_types import ClassifierSection
from resdet.recipes.trained import trained_nets
from resdet.report.image_files import save_image
from resdet.report.localization import guess_pictures, guess_sheet
from resdet.weights.folder import folder_of


def run(args: argparse.Namespace) -> None:
    """Print the errors, and write what the options ask for."""
    (_score_files if args.predictions else _localize_and_score)(args)


def _score_files(args: argparse.Namespace) -> None:
    refuse_record(args)
    if args.ground_truth is None:
        raise UserError("--predictions needs --ground-truth too: LOC_val_solution.csv of the set they are of")
    found = score_files(
        args.predictions, args.ground_truth, args.excluded, args.mapping, args.class_ids, args.image_list
    )
    print_evaluation(found)
    write_json(args.json, found.figures())


def _localize_and_score(args: argparse.Namespace) -> None:
    take_checkpoint(args)
    if not args.config and not args.checkpoint:
        raise UserError("which localizer? give runs/.../last.pth, or CONFIG and --checkpoint, or --predictions FILE")
    print_config(args, args.checkpoint)
    require_checkpoint(args.checkpoint)
    _refuse_idle_options(args)
    started = start_run(folder_of(args.checkpoint[0]), run_options(args), log="eval")
    localizers = nets_of(args, args.checkpoint)
    cfg = localizers[0][0]
    require_localizer(cfg, "data.test")
    localizers += [net_of(config, path) for config, path in args.net]
    rcnns = trained_nets(cfg, args.rcnn, parse_options(args.cfg_options))
    rcnns += [net_of(config, path) for config, path in args.rcnn_net]
    recording = Recording(args, cfg, started, [path for _, path in localizers])
    choice = _class_choice(args, cfg)
    modes = [InferenceMode(views, args.flip, args.scales and tuple(args.scales), args.vote) for views in args.views]
    data = build_localization_data(cfg, train=False)
    if not data.test.labelled:
        refuse_record(args, "images without ground truth")
        _refuse_what_needs_truth(args)
    if args.write_predictions:
        server_numbers(args.write_predictions, data.test.classes, args.class_ids)
    found = evaluate_localizer(data, started, localizers, modes, choice, args.excluded, rcnns)
    if not is_main_process():
        return
    print_evaluation(found)
    write_json(args.json, found.figures())  # first what took longest
    if args.write_predictions:
        write_predictions(args.write_predictions, found, args.class_ids)
        say_what_it_holds(args.write_predictions, found.written, args.words)
    if args.pictures:
        folder = started.work_dir / args.pictures.name if args.pictures == IN_RUN else args.pictures
        for name, pictures in guess_pictures(data.test, found.chosen).items():
            save_image(folder / f"{name}.jpg", guess_sheet(pictures))
        print(f"pictures: {folder}")
    recording.write({name: row.errors() for name, row in found.rows.items()}, found.ids)


def _class_choice(args: argparse.Namespace, cfg: Config) -> ClassChoice | None:
    """The classifiers of the command line, tested as the config's section `classifier` says; or also its nets."""
    if not args.classifier:
        return None
    section = build_call(ClassifierSection, cfg.get("classifier") or {})
    config, *files = args.classifier[0] or [None]
    if config is None and not section.nets:
        raise UserError(f"{cfg.filename} names no classifier: give --classifier CONFIG F")
    if config is not None and not files:
        raise UserError(f"--classifier {config}: give its checkpoints too")
    nets = [net_of(config, file) for file in files] if config else [net_of(own, file) for own, file in section.nets]
    nets += [net_of(other, file) for other, file in args.classifier_net]
    return ClassChoice(nets, args.classifier_views or section.views, section.scales)


def _refuse_idle_options(args: argparse.Namespace) -> None:
    """An option that would change nothing is a mistake: something else was meant."""
    if args.scales and "dense" not in args.views:
        raise UserError("--scales are the dense test's: give --views dense too, or leave --scales out")
    if len(args.classifier) > 1:
        raise UserError("--classifier is given twice: another config's is --classifier-net CONFIG F")
    for option, value in (("views", args.classifier_views), ("net", args.classifier_net)):
        if value and not args.classifier:
            raise UserError(f"--classifier-{option} needs --classifier CONFIG F, which names the classes")


def _refuse_what_needs_truth(args: argparse.Namespace) -> None:
    if not args.classifier or not args.write_predictions:
        raise UserError(
            "data.test has no truth to compare with: give --classifier CONFIG F, which names five classes for each "
            "image, and --write-predictions FILE"
        )
    if args.pictures or args.excluded:
        raise UserError("data.test has no truth: leave out --pictures, which draw it, and --excluded")
