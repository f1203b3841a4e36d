"""Arguments that several subcommands have."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

PRECISIONS = ("fp32", "bf16", "fp16")  # engine/precision.Precision
COMPILE_MODES = ("default", "reduce-overhead", "max-autotune")  # of torch.compile
LAUNCHERS = ("auto", "none", "pytorch", "slurm")  # engine/launchers.launcher_of
AP_METHODS = ("area", "11-point")  # metrics/voc_ap.Method
SOFT_NMS_DECAYS = ("linear", "gaussian")  # boxes/soft_nms.Decay
CLASSIFIER_VIEWS = ("center", "ten-crop", "dense")  # recipes/classification/evaluate

NO_SOFT_NMS = "none"


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
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="run the whole job in seconds to see whether the config works: a narrow net, three steps, generated noise "
        "in the data set's layout, in a temporary folder unless --work-dir is given; the figures mean nothing",
    )
    add_path(parser, "--work-dir", "DIR", "folder for checkpoints, logs, pictures and the page (default: runs/CONFIG)")
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
    add_json(parser)


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
        "otherwise fp16 on a GPU, fp32 on a CPU)",
    )


def add_device_arguments(parser: argparse.ArgumentParser) -> None:
    """--device, --seed, --precision."""
    add_device(parser)
    parser.add_argument("--seed", type=int, default=0, help="seed of all random numbers (default: %(default)s)")
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


def add_test_arguments(parser: argparse.ArgumentParser) -> None:
    """What the commands that test a checkpoint share: --launcher, --device ... --json."""
    add_launcher(parser)
    add_device_arguments(parser)
    add_config_options(parser)
    add_json(parser)


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
    add_path(parser, "--json", "FILE", "also write the figures to FILE, as JSON")


def add_checkpoints(parser: argparse.ArgumentParser, text: str, **options: Any) -> None:
    """--checkpoint F ...: one or more files of weights.

    Args:
        parser: gets the argument.
        text: its help.
        options: further options of `add_argument`: required, default, action.
    """
    parser.add_argument("--checkpoint", type=Path, nargs="+", metavar="F", help=text, **options)


def add_detector_checkpoints(parser: argparse.ArgumentParser) -> None:
    """--checkpoint of the commands that test a detector."""
    text = "weights of CONFIG's detector, of resdet or of a detectron2 C4 model; several files, also of nets of "
    add_checkpoints(parser, text + "different depths, are tested as an ensemble", default=[])


def add_ensemble_member(
    parser: argparse._ActionsContainer, name: str, text: str, metavar: tuple[str, str] = ("CONFIG", "F")
) -> None:
    """A repeatable option that adds a net of another config to an ensemble; its value is a list of [config, weights].

    Args:
        parser: a parser or a group of its arguments, which gets the option.
        name: the option: "--net".
        text: its help.
        metavar: names of the config and of the weights in the help.
    """
    parser.add_argument(name, nargs=2, action="append", default=[], metavar=metavar, help=text)


def add_views(parser: argparse.ArgumentParser, choices: tuple[str, ...], text: str) -> None:
    """--views: one or more ways to test images; the first of `choices` is the default."""
    text = f"how images are tested, one row each: {text} (default: {choices[0]})"
    parser.add_argument("--views", nargs="+", choices=choices, default=[choices[0]], help=text)


def add_output_folder(parser: argparse.ArgumentParser, default: str, text: str) -> None:
    """--out: the folder that a command writes to; its help is `text` and the default."""
    parser.add_argument("--out", type=Path, default=Path(default), metavar="DIR", help=f"{text} (default: %(default)s)")


def add_resamples(parser: argparse._ActionsContainer, text: str) -> None:
    """--resamples: the number of bootstrap draws; its help is `text` and the default."""
    parser.add_argument("--resamples", type=int, default=1000, help=f"{text} (default: %(default)s)")


def add_improvements(parser: argparse.ArgumentParser) -> None:
    """--refine, --scales, --proposal-scales, --flip, --soft-nms: they override the config's section `testing`."""
    group = parser.add_argument_group("improvements (App. B), which override the config's section testing")
    group.add_argument(
        "--refine",
        type=int,
        nargs="?",
        const=1,
        metavar="ROUNDS",
        help="refine boxes this many times and vote (without a number: once; 0: do not)",
    )
    group.add_argument(
        "--scales",
        type=int,
        nargs="*",
        metavar="PX",
        help="test at these short sides, in pixels (without numbers: at the config's one size)",
    )
    group.add_argument(
        "--proposal-scales",
        type=int,
        nargs="+",
        metavar="PX",
        help="those of --scales from which proposals are taken (default: the one nearest to the training size)",
    )
    group.add_argument(
        "--flip", action="store_true", help="average the predictions with those of the mirror image (not in the paper)"
    )
    group.add_argument(
        "--soft-nms",
        choices=[*SOFT_NMS_DECAYS, NO_SOFT_NMS],
        nargs="?",
        const="gaussian",
        help="lower the scores of overlapping boxes instead of removing them (without a name: gaussian; not in the "
        "paper)",
    )


def _assignment(text: str) -> str:
    if "=" not in text:
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form KEY=VALUE")
    return text
