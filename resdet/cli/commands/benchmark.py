"""Run benchmark: measure the speed of a net, or the accuracy of detectors."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

import torch

from resdet.benchmarks.accuracy import print_rows, summarize, train_contenders
from resdet.benchmarks.against_torchvision import compare
from resdet.benchmarks.classifier_speed import classifier_speed
from resdet.benchmarks.data_speed import classification_pipelines, data_speed, detection_pipelines
from resdet.benchmarks.detector_stages import Workload, benchmark
from resdet.benchmarks.parts import Contender
from resdet.cli.common.config import config_of
from resdet.cli.common.improvements import inference_settings, refuse_improvements
from resdet.cli.common.output import write_json
from resdet.cli.common.recording import Recording, refuse_record
from resdet.data.transforms import build_augmentation
from resdet.engine.allocator import keep_freed_memory
from resdet.engine.config import Config, build, require
from resdet.engine.distributed import join_processes
from resdet.engine.onnx_facts import is_onnx
from resdet.engine.precision import Precision, fast_precision
from resdet.engine.run import RunOptions, start_run
from resdet.errors import UserError
from resdet.report.tables import print_table, results_table
from resdet.weights.read import find_weights


def run(args: argparse.Namespace) -> None:
    """Print what was measured."""
    if is_onnx(args.config):
        why = "a benchmark builds the config's net in torch; 'resdet eval-voc' logs the time per image of such files"
        raise UserError(f"{args.config}: {why}")
    if args.mode == "accuracy":
        _accuracy(args)
        return
    refuse_record(args, "speeds")
    device = join_processes("none", args.device)
    keep_freed_memory(device)  # as trainings and tests do; torchvision's implementation runs in the same process
    cfg = config_of(args)
    if args.photos or args.against or args.mode == "train" or "net" in cfg:
        refuse_improvements(args, "this benchmark: it is for a detector's inference")
    if args.photos:
        _data(cfg, args)
    elif "net" in cfg:
        _classifier(cfg, device, args)
    else:
        require(cfg, "a detector or classifier", "data.resizer")
        args.mode, args.images = args.mode or "infer", args.images or 1
        measure = _compare if args.against else _stages
        measure(cfg, device, args)


def _stages(cfg: Config, device: torch.device, args: argparse.Namespace) -> None:
    precision = args.precision or fast_precision(device)
    report = benchmark(cfg, device, precision, _workload(args), args.compile, inference_settings(cfg, args))
    rows = [(n, f"{1000 * s:.0f}", f"{100 * s / report.seconds:.0f} %") for n, s in report.stages.items()]
    title = f"{args.mode}, {precision}, {args.size}, {args.proposals} regions, median of {args.repeats}"
    title += f", compiled ({args.compile})" if args.compile else ""
    print_table(results_table(title, ["stage", "ms per image", "share"], rows))
    print(
        f"{report.seconds:.3f} s per image   {report.gflop:.0f} GFLOP   {report.gflops:.0f} GFLOP/s   "
        f"peak memory {report.peak_gib:.2f} GiB"
    )
    write_json(args.json, asdict(report) | {"gflops": report.gflops, "precision": precision, "mode": args.mode})


def _accuracy(args: argparse.Namespace) -> None:
    if args.against is None:
        raise UserError("--mode accuracy: add --against torchvision, which it is compared with")
    refuse_improvements(args, "--mode accuracy: it tests plainly")
    contenders = [Contender.parse(text) for text in args.contenders]
    cfg = config_of(args)
    work_dir = args.work_dir or Path("runs") / f"accuracy_{Path(args.config).stem}"
    init_from = args.init_from or cfg.get("init_from")
    if init_from:
        find_weights(init_from)
    options = RunOptions(args.device, args.precision, init_from=init_from)
    run = start_run(work_dir, options)
    recording = Recording(args, cfg, run)
    trained, dataset = train_contenders(cfg, contenders, args.seeds, run), build(cfg.data.test)
    rows = summarize(trained, dataset, cfg.data.method, args.resamples)
    print_rows(rows, args.seeds)
    write_json(args.json, {"seeds": args.seeds, "rows": [row.plain() for row in rows]})
    recording.write_contenders(rows, dataset.table.ids.tolist())


def _classifier(cfg: Config, device: torch.device, args: argparse.Namespace) -> None:
    if args.mode == "infer":
        raise UserError("--mode infer: of a classifier, training is timed")
    precisions = _precisions(args, device)
    images, against = args.images or cfg.data.images, args.against is not None
    speed = classifier_speed(cfg, device, precisions, images, args.repeats, against)
    theirs = [f"torchvision {p}" for p in precisions] if against else []
    medians = speed.medians()
    rows = [(name, f"{value:.1f}", *(f"{speed.ratio(name, t):.2f}" for t in theirs)) for name, value in medians.items()]
    title = f"train, {images} images per step, medians of {args.repeats} turns"
    print_table(results_table(title, ["", "images per second", *(f"x {t}" for t in theirs)], rows))
    write_json(args.json, {"turns": speed, "medians": medians, "images": images})


def _data(cfg: Config, args: argparse.Namespace) -> None:
    if "net" in cfg:
        pipelines = classification_pipelines(cfg)
    else:
        require(cfg, "a detector", "data.resizer", "data.augment")
        pipelines = detection_pipelines(build(cfg.data.resizer), build_augmentation(build(cfg.data.augment)))
    ours, theirs = data_speed(args.photos, *pipelines, args.repeats)
    print(
        f"images per second on one core: resdet {ours:.1f}, torchvision's references {theirs:.1f}: {ours / theirs:.2f}x"
    )
    write_json(args.json, {"resdet": ours, "torchvision": theirs})


def _compare(cfg: Config, device: torch.device, args: argparse.Namespace) -> None:
    precisions = _precisions(args, device)
    result = compare(cfg, device, _workload(args), precisions)
    agreed = ", ".join(f"{name} {value:.1g}" for name, value in result.differences.items())
    print(f"largest differences of the outputs: {agreed}")
    theirs = [f"torchvision {p}" for p in precisions]
    seconds = result.turns.medians()
    rows = [
        (name, f"{value:.3f}", f"{result.peaks[name]:.2f}", *(f"{result.turns.ratio(t, name):.2f}" for t in theirs))
        for name, value in seconds.items()
    ]
    title = f"{args.mode}, {args.size}, {args.proposals} regions, medians of {args.repeats} turns"
    columns = ["", "s per image", "peak GiB", *(f"x {t}" for t in theirs)]
    print_table(results_table(title, columns, rows))
    write_json(args.json, asdict(result) | {"seconds": seconds, "mode": args.mode})


def _precisions(args: argparse.Namespace, device: torch.device) -> tuple[Precision, ...]:
    """The one that was asked for, or those that people use on this device."""
    if args.precision:
        return (args.precision,)
    return ("fp32", "tf32", "bf16") if device.type == "cuda" else ("fp32", "bf16")


def _workload(args: argparse.Namespace) -> Workload:
    return Workload(args.mode, _size(args.size), args.proposals, args.images, args.repeats)


def _size(text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(p.isdigit() and int(p) > 0 for p in parts):
        raise UserError(f"--size {text}: give height x width, as 600x1000")
    return int(parts[0]), int(parts[1])
