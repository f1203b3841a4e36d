"""Arguments that several subcommands share; those of tests are in testing.py."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from resdet.cli.arguments.numbers import add_number
from resdet.cli.arguments.outputs import add_output
from resdet.ranges import Seed

PRECISIONS = ("fp32", "tf32", "bf16", "fp16")  # engine/precision.Precision
COMPILE_MODES = ("default", "reduce-overhead", "max-autotune")  # of torch.compile
LAUNCHERS = ("auto", "none", "pytorch", "slurm")  # engine/launchers.launcher_of


def add_config(
    parser: argparse.ArgumentParser, default: str | None = None, optional: bool = False, checkpoint: bool = False
) -> None:
    """CONFIG, the first positional argument, and --print-config.

    Args:
        parser: gets the arguments.
        default: the config that the command takes where none is given, for the help.
        optional: whether the argument may be left out without a default.
        checkpoint: whether a checkpoint may take its place, for the help.
    """
    text = "a config file, or the name of a config that comes with resdet"
    text += "; or a checkpoint, which keeps the config of its training" if checkpoint else ""
    text += f" (default: {default})" if default else ""
    if default or optional:
        parser.add_argument("config", nargs="?", help=text)
    else:
        parser.add_argument("config", help=text)
    parser.add_argument(
        "--print-config",
        action="store_true",
        help="only print the config as it would be used, with --cfg-options and all defaults, as a config file",
    )


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """What the training commands share, from --dry-run to --json."""
    add_dry_run(parser, "run the whole job in seconds to see whether the config works")
    add_output(
        parser, "--work-dir", "DIR", "folder for checkpoints, logs, pictures and the page (default: runs/CONFIG)"
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="F",
        help="continue from checkpoint F; without F from the last one in --work-dir, or start if there is none. "
        "Without --resume an older run in --work-dir is set aside, in its folder older/",
    )
    parser.add_argument(
        "--init-from",
        metavar="F",
        help="weights to start from: a checkpoint of resdet, a file of torchvision, detectron2 or Caffe2, or a name "
        "that is downloaded, such as msra://R-101 or torchvision://ResNet50_Weights.IMAGENET1K_V1 (data/README.md); "
        "caffe:F and torchvision:F say whose preprocessing the net in file F has (default: the config's init_from)",
    )
    add_device_arguments(parser)
    add_compile(parser)
    add_launcher(parser)
    add_config_options(parser)
    parser.add_argument(
        "--tensorboard",
        dest="cfg_options",
        action="append_const",
        const="log_backends=tensorboard",
        help="also log to TensorBoard: short for --cfg-options log_backends=tensorboard",
    )
    add_json(parser)


def add_automatic(parser: argparse.ArgumentParser) -> None:
    """--auto-lr and --auto-images."""
    parser.add_argument(
        "--auto-lr",
        action="store_true",
        help="find optimizer.lr first, by a range test: 200 steps of a copy of the net with a rising rate; the value "
        "is a fifth of that at which the loss begins to rise. With --resume the run's value is kept",
    )
    parser.add_argument(
        "--auto-images",
        action="store_true",
        help="find data.images first: the largest number whose steps fit into memory (with loop.accumulate per pass); "
        "rate and schedule follow by their reference_images. With --resume the run's number is kept",
    )


def add_dry_run(parser: argparse.ArgumentParser, text: str) -> None:
    """--dry-run; `text` says what is run in seconds."""
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help=f"{text}: narrow nets, three steps, generated noise in the data sets' layouts, in a temporary folder "
        "unless --work-dir is given; the results mean nothing",
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """--device."""
    parser.add_argument(
        "--device", default="auto", help="auto (a GPU if there is one), cpu, cuda, cuda:1 ... (default: %(default)s)"
    )


def add_precision(parser: argparse.ArgumentParser) -> None:
    """--precision."""
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="precision of convolutions and matrix products (default: the fastest of the device, bf16 if it has it; "
        "otherwise fp16 on a GPU, fp32 on a CPU). On a GPU, tf32 is fp32 with inputs of products rounded to 10 bits",
    )


def add_device_arguments(parser: argparse.ArgumentParser) -> None:
    """--device, --seed, --precision."""
    add_device(parser)
    add_number(parser, "--seed", Seed, "seed of all random numbers", default=0)
    add_precision(parser)


def add_compile(parser: argparse.ArgumentParser) -> None:
    """--compile [MODE]."""
    parser.add_argument(
        "--compile",
        nargs="?",
        const="default",
        choices=COMPILE_MODES,
        help="compile the net with torch.compile in this mode (without a mode: default). For GPUs: the first steps "
        "take minutes; reduce-overhead replays CUDA graphs, which pays for small nets such as CIFAR's (default: off)",
    )


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """--launcher."""
    parser.add_argument(
        "--launcher",
        choices=LAUNCHERS,
        default="auto",
        help="what started the processes of a distributed run: torchrun (pytorch), srun (slurm), none to run alone, or "
        "auto, what the environment says (default: %(default)s)",
    )


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """--cfg-options: a list of "KEY=VALUE"; common/options.parse_options makes a dict of it."""
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action="extend",
        type=_assignment,
        default=[],
        metavar="K=V",
        help='values to change in the config, such as schedule.steps=100 data.images=4; quote lists: "a.b=[1,2]"',
    )


def add_path(parser: argparse._ActionsContainer, name: str, metavar: str, text: str, **options: Any) -> None:
    """An option whose value is the path of a file or a folder.

    Args:
        parser: a parser or a group of its arguments, which gets the option.
        name: the option: "--json".
        metavar: the path's name in the help: "FILE".
        text: its help.
        options: further options of `add_argument`: required, nargs, const.
    """
    parser.add_argument(name, type=Path, metavar=metavar, help=text, **options)


def add_json(parser: argparse.ArgumentParser) -> None:
    """--json."""
    add_output(parser, "--json", "FILE", "also write the results to FILE, as JSON")


def add_record(parser: argparse.ArgumentParser) -> None:
    """--record and --row."""
    text = "also add the results to FILE, a measurement of the ledger (results/*.json); those of other seeds are kept"
    add_output(parser, "--record", "FILE", text)
    text = "name of the system in FILE (default: the config's, or without CONFIG that of the checkpoint's folder)"
    parser.add_argument("--row", metavar="NAME", help=text)


def add_output_folder(parser: argparse.ArgumentParser, default: str, text: str) -> None:
    """--out: the folder that a command writes to; its help is `text` and the default."""
    add_output(parser, "--out", "DIR", f"{text} (default: %(default)s)", default=Path(default))


def _assignment(text: str) -> str:
    if "=" not in text:
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form KEY=VALUE")
    return text
