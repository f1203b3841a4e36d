"""How fast a config's net is, on random pixels: a detector stage by stage with achieved GFLOP/s and peak memory, a
classifier in images of training a second. Or, with --mode accuracy, how well a detector learns beside torchvision's.

benchmark.py voc07_r50 --mode train --proposals 512
benchmark.py voc07_r50 --refine --scales 200 400 600 800 1000       with App. B's improvements
benchmark.py voc07_r50 --against torchvision      beside torchvision's Faster R-CNN with the same weights, in turns
benchmark.py voc07_r50 --photos DIR               decoding, flipping, resizing: images a second on one core
benchmark.py cifar10_r20 --against torchvision    training beside the loop of torchvision's references
benchmark.py compare_fruit_r18 --mode accuracy --against torchvision --init-from runs/trunk/last.pth --seeds 0 1 2 3
    train torchvision's Faster R-CNN and ours from one trunk with one set of settings; add contenders with single parts
    exchanged by --contenders torchvision resdet resdet:align torchvision:siblings,padding
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

import torch

from resdet.benchmarks.accuracy import print_rows, summarize, train_contenders
from resdet.benchmarks.against_torchvision import compare
from resdet.benchmarks.classifier_speed import classifier_speed
from resdet.benchmarks.data_speed import classification_pipelines, data_speed, detection_pipelines
from resdet.benchmarks.detector_stages import benchmark
from resdet.benchmarks.parts import PARTS, Contender
from resdet.cli.common import add_compile, add_config_options, add_json, run_command, write_json
from resdet.cli.testing import add_testing, refuse_testing, testing_of
from resdet.data.transforms import build_augmentation
from resdet.engine.config import Config, build, load_config, require
from resdet.engine.distributed import join_processes
from resdet.engine.precision import Precision, fast_precision
from resdet.engine.run import start_run
from resdet.errors import UserError
from resdet.report.tables import print_table, results_table

PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")


def main(arguments: list[str] | None = None) -> None:
    """Entry point of tools/benchmark.py and resdet-benchmark."""
    run_command(_benchmark, arguments)


def _benchmark(arguments: list[str] | None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="a config file or the name of one")
    parser.add_argument("--mode", choices=["infer", "train", "accuracy"], help="default: infer; classifiers: train")
    parser.add_argument("--precision", choices=["fp32", "bf16", "fp16"])
    parser.add_argument("--size", default="600x1000", help="height x width of the network's input")
    parser.add_argument("--proposals", type=int, default=300, help="regions an image that the head sees")
    parser.add_argument("--images", type=int, help="in a batch (1; of a classifier, data.images)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--photos", type=Path, metavar="DIR", help="time the data path on a folder of images instead")
    parser.add_argument("--against", choices=["torchvision"], help="take turns with another implementation")
    _add_accuracy(parser)
    add_testing(parser)
    add_compile(parser)
    add_config_options(parser)
    add_json(parser)
    args = parser.parse_args(arguments)
    if args.mode == "accuracy":
        _accuracy(args)
        return
    device = join_processes("none", args.device)
    precision = args.precision or fast_precision(device)
    cfg = load_config(args.config, args.cfg_options)
    if args.photos or args.against or args.mode == "train" or "net" in cfg:
        refuse_testing(args, "this benchmark: it is for a detector's inference")
    if args.photos:
        _data(cfg, args)
        return
    if "net" in cfg:
        _classifier(cfg, device, args)
        return
    require(cfg, "a detector or classifier", "data.resizer")
    args.mode, args.images = args.mode or "infer", args.images or 1
    if args.against:
        _compare(cfg, device, args)
        return
    report = benchmark(
        cfg, device, precision, args.mode, _size(args.size), args.proposals, args.images, args.repeats, args.compile,
        testing_of(cfg, args),
    )  # fmt: skip
    rows = [(n, f"{1000 * s:.0f}", f"{100 * s / report.seconds:.0f} %") for n, s in report.stages.items()]
    title = f"{args.mode}, {precision}, {args.size}, {args.proposals} regions, median of {args.repeats}"
    title += f", compiled ({args.compile})" if args.compile else ""
    print_table(results_table(title, ["stage", "ms an image", "share"], rows))
    print(
        f"{report.seconds:.3f} s an image   {report.gflop:.0f} GFLOP   {report.gflops:.0f} GFLOP/s   "
        f"peak memory {report.peak_gib:.2f} GiB"
    )
    write_json(args.json, asdict(report) | {"gflops": report.gflops, "precision": precision, "mode": args.mode})


def _add_accuracy(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("accuracy", "with --mode accuracy")
    parts = "; ".join(f"{name}: {what}" for name, what in PARTS.items())
    group.add_argument("--init-from", metavar="F", help="the trunk that all contenders start from")
    group.add_argument("--work-dir", type=Path, help="a folder for each training goes here (runs/accuracy_CONFIG)")
    group.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3], metavar="S")
    group.add_argument("--resamples", type=int, default=1000, help="draws of the test images and seeds")
    group.add_argument(
        "--contenders",
        nargs="+",
        default=["torchvision", "resdet"],
        metavar="SIDE[:PART,PART]",
        help=f"resdet or torchvision, with these parts of the other; differences are to the first one. {parts}",
    )


def _accuracy(args: argparse.Namespace) -> None:
    if args.against is None:
        raise UserError("--mode accuracy: add --against torchvision, which it is compared with")
    refuse_testing(args, "--mode accuracy: it tests plainly")
    contenders = [Contender.parse(text) for text in args.contenders]
    cfg = load_config(args.config, args.cfg_options)
    work_dir = args.work_dir or Path("runs") / f"accuracy_{Path(args.config).stem}"
    run = start_run(work_dir, args.device, args.precision, init_from=args.init_from or cfg.get("init_from"))
    trained = train_contenders(cfg, contenders, args.seeds, run)
    rows = summarize(trained, build(cfg.data.test), cfg.data.method, args.resamples)
    print_rows(rows, args.seeds)
    write_json(args.json, {"seeds": args.seeds, "rows": [row.plain() for row in rows]})


def _classifier(cfg: Config, device: torch.device, args: argparse.Namespace) -> None:
    if args.mode == "infer":
        raise UserError("--mode infer: of a classifier, training is timed")
    precisions = (args.precision,) if args.precision else PRECISIONS
    images, against = args.images or cfg.data.images, args.against is not None
    speed = classifier_speed(cfg, device, precisions, images, args.repeats, against)
    theirs = [f"torchvision {p}" for p in precisions] if against else []
    rows = [(name, f"{v:.1f}", *(f"{speed.speedup(name, t):.2f}" for t in theirs)) for name, v in speed.medians.items()]
    title = f"train, {images} images a step, medians of {args.repeats} turns"
    print_table(results_table(title, ["", "images a second", *(f"x {t}" for t in theirs)], rows))
    write_json(args.json, {"turns": speed.turns, "medians": speed.medians, "images": images})


def _data(cfg: Config, args: argparse.Namespace) -> None:
    if "net" in cfg:
        pipelines = classification_pipelines(cfg)
    else:
        require(cfg, "a detector", "data.resizer", "data.augment")
        pipelines = detection_pipelines(build(cfg.data.resizer), build_augmentation(build(cfg.data.augment)))
    ours, theirs = data_speed(args.photos, *pipelines, args.repeats)
    print(
        f"images a second on one core: resdet {ours:.1f}, torchvision's references {theirs:.1f}: {ours / theirs:.2f}x"
    )
    write_json(args.json, {"resdet": ours, "torchvision": theirs})


def _compare(cfg: Config, device: torch.device, args: argparse.Namespace) -> None:
    precisions = (args.precision,) if args.precision else PRECISIONS
    result = compare(
        cfg, device, args.mode, _size(args.size), args.proposals, args.images, args.repeats, precisions
    )  # fmt: skip
    agreed = ", ".join(f"{name} {value:.1g}" for name, value in result.differences.items())
    print(f"largest differences of the outputs: {agreed}")
    theirs = [f"torchvision {p}" for p in precisions]
    rows = [
        (name, f"{seconds:.3f}", f"{result.peaks[name]:.2f}", *(f"{result.speedup(name, t):.2f}" for t in theirs))
        for name, seconds in result.seconds.items()
    ]
    title = f"{args.mode}, {args.size}, {args.proposals} regions, medians of {args.repeats} turns"
    columns = ["", "s an image", "peak GiB", *(f"x {t}" for t in theirs)]
    print_table(results_table(title, columns, rows))
    write_json(args.json, asdict(result) | {"seconds": result.seconds, "mode": args.mode})


def _size(text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(p.isdigit() and int(p) > 0 for p in parts):
        raise UserError(f"--size {text}: give height x width, as 600x1000")
    return int(parts[0]), int(parts[1])


if __name__ == "__main__":
    main()
