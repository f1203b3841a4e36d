"""Score by PASCAL VOC's rules, or ImageNet DET's: a detector on its config's test set, or comp4 files alone.

eval_voc.py CONFIG --checkpoint F
eval_voc.py CONFIG --checkpoint F F --refine --scales 400 600 800      an ensemble; App. B's improvements
eval_voc.py --detections DIR --voc-root data/VOCdevkit --year 2007 --image-set test --method 11-point
eval_voc.py                         the newest run on the embedded set
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import cast

from resdet.cli.common import add_test_arguments, folder_of, run_command, write_json
from resdet.cli.testing import add_checkpoints, add_testing, refuse_configs, refuse_testing, testing_of
from resdet.data.detection.annotations import DetectionDataset
from resdet.data.detection.imagenet_det import ImageNetDETDataset, write_det_submission
from resdet.data.detection.voc import VOCDataset, write_comp4, write_comp4_archive
from resdet.engine.config import load_config
from resdet.engine.distributed import is_main_process
from resdet.engine.run import start_run
from resdet.errors import UserError
from resdet.metrics.voc_ap import FlatDetections, Method
from resdet.recipes.detection.detect_with import detect_with
from resdet.recipes.detection.score import all_figures, print_evaluation, score, score_comp4

DEFAULT_CONFIG, DEFAULT_RUN = "shapes_det", Path("runs/shapes_det/last.pth")


def main(arguments: list[str] | None = None) -> None:
    """Entry point of tools/eval_voc.py and resdet-eval-voc."""
    run_command(_evaluate, arguments)


def _evaluate(arguments: list[str] | None) -> None:
    args = _parser().parse_args(arguments)
    if args.detections:
        _score_files(args)
    else:
        _detect_and_score(args)


def _score_files(args: argparse.Namespace) -> None:
    refuse_testing(args, "--detections, which are scored as they are")
    missing = [o for o in ("voc_root", "year", "image_set") if getattr(args, o) is None]
    if missing:
        raise UserError(f"--detections needs --{missing[0].replace('_', '-')} too: which images were these?")
    method: Method = args.method or "area"
    evaluation, dataset, detections = score_comp4(
        args.detections, args.voc_root, args.year, args.image_set, args.classes, method
    )
    print_evaluation(evaluation, dataset, detections)
    write_json(args.json, all_figures(evaluation, dataset, detections))


def _detect_and_score(args: argparse.Namespace) -> None:
    checkpoints = args.checkpoint or ([] if args.config else [_newest()])
    if not checkpoints:
        raise UserError("which weights? give --checkpoint runs/.../best.pth")
    refuse_configs(checkpoints)
    cfg = load_config(args.config or DEFAULT_CONFIG, args.cfg_options)
    run = start_run(folder_of(checkpoints[0]), args.device, args.precision, args.seed, args.launcher, log="eval")
    detections, data = detect_with(cfg, checkpoints, testing_of(cfg, args), run)
    if not is_main_process():
        return
    dataset, usual = data.test, "area" if data.method == "coco" else data.method
    evaluation = score(detections, dataset, args.method or usual)
    print_evaluation(evaluation, dataset, detections)
    if args.write_detections:
        write_comp4(
            args.write_detections, _image_set(cfg.data.test), dataset.classes, dataset.table.ids.tolist(), detections
        )
    if args.write_submission:
        _write_submission(args.write_submission, cfg.data.test, dataset, detections)
    write_json(args.json, all_figures(evaluation, dataset, detections))


def _write_submission(path: Path, node: dict, dataset: DetectionDataset, detections: FlatDetections) -> None:
    if hasattr(dataset, "class_ids"):  # an ImageNetDETDataset, or a part of one
        write_det_submission(path, cast(ImageNetDETDataset, dataset), detections)
        return
    if not isinstance(dataset, VOCDataset):
        raise UserError("--write-submission: data.test is neither VOC's nor ImageNet DET's; eval_coco.py writes COCO's")
    year, image_set = node["splits"][-1]
    write_comp4_archive(path, year, image_set, dataset.classes, dataset.table.ids.tolist(), detections)


def _image_set(node: dict) -> str:
    """The name in the files' names: VOC's own, "test" for sets of another form."""
    if node["type"] is VOCDataset:
        return node["splits"][-1][1]
    return node["image_set"] if isinstance(node.get("image_set"), str) else "test"


def _newest() -> Path:
    if not DEFAULT_RUN.is_file():
        raise UserError(f"{DEFAULT_RUN} is not there yet: run 'make demo', or give a CONFIG and --checkpoint")
    return DEFAULT_RUN


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", help="a config file or the name of one")
    add_checkpoints(parser)
    parser.add_argument("--write-detections", type=Path, metavar="DIR", help="also write comp4 files there")
    parser.add_argument(
        "--write-submission",
        type=Path,
        metavar="FILE",
        help="also write what the server takes: VOC's .tar.gz, DET's text",
    )
    files = parser.add_argument_group("scoring files alone")
    files.add_argument("--detections", type=Path, metavar="DIR", help="folder of comp4_det_<set>_<class>.txt files")
    files.add_argument("--voc-root", type=Path, metavar="ROOT", help="the folder that holds VOC<year>")
    files.add_argument("--year", help="2007, 2012, or whatever follows VOC in the folder's name")
    files.add_argument("--image-set", help="a name in ImageSets/Main: test, val ...")
    files.add_argument("--classes", nargs="+", help="default: VOC's twenty for a four-digit year, else those annotated")
    parser.add_argument(
        "--method",
        choices=["area", "11-point", "ilsvrc"],
        help="11-point as in 2007, area as since 2010; ImageNet DET's",
    )
    add_testing(parser)
    add_test_arguments(parser)
    return parser


if __name__ == "__main__":
    main()
