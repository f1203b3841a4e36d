"""The config that a command line names, with the values that --cfg-options changes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from resdet.cli.common.options import parse_options
from resdet.engine.config import Config
from resdet.engine.config_text import config_text
from resdet.engine.kept_config import is_checkpoint
from resdet.errors import UserError
from resdet.recipes.plans import check_nets, milestones_left, plans_in_words
from resdet.recipes.sections import load_config
from resdet.recipes.trained import trained_nets

Nets = list[tuple[Config, Path]]  # configs of trained nets, and their files of weights


def config_of(args: argparse.Namespace, default: str = "", training: bool = False) -> Config:
    """Load the config of `args.config`, changed by `args.cfg_options`.

    Args:
        args: the parsed arguments.
        default: the config to take where none is given.
        training: it will be trained; --print-config then adds comments that say what will run.

    Raises:
        UserError: there is no such config, it cannot be read, or an option is not in it.
        SystemExit: --print-config asked for its text, which is now printed.
    """
    print_config(args, default=default, training=training)
    return _load(args, default)


def nets_of(args: argparse.Namespace, checkpoints: Sequence[Path], default: str = "") -> Nets:
    """The configs of checkpoints to be tested, each with what its net was trained with; differences are logged.

    Args:
        args: the parsed arguments: with `config`, which says on what and how the nets are tested, or else the config
            that the first checkpoint keeps; and `cfg_options`, which come before all others.
        checkpoints: the files of one net or of an ensemble.
        default: the config to take where none is given.

    Returns:
        A config and the path of each checkpoint.

    Raises:
        UserError: there is no such config or checkpoint, or an option is not in it.
    """
    options = parse_options(args.cfg_options)
    return trained_nets(load_config(_named(args, default) or checkpoints[0], options), checkpoints, options)


def print_config(
    args: argparse.Namespace, checkpoints: Sequence[Path] = (), default: str = "", training: bool = False
) -> None:
    """End the program with the text of the resolved config if --print-config asks for it.

    Args:
        args, checkpoints, default: as `nets_of` takes them; without checkpoints as `config_of` does.
        training: as `config_of` takes it.

    Raises:
        SystemExit: the text is printed.
        UserError: as `nets_of` and `config_of`.
    """
    if args.print_config:
        cfg = nets_of(args, checkpoints, default)[0][0] if checkpoints else _load(args, default)
        if training:
            check_nets(cfg)
        print(config_text(cfg), end="")
        for line in [*plans_in_words(cfg), *milestones_kept(args, default)] if training else []:
            print(f"# {line}")
        raise SystemExit(0)


def milestones_kept(args: argparse.Namespace, default: str) -> list[str]:
    """Warnings of milestones that --cfg-options leave where they were, for other steps."""
    return milestones_left(_named(args, default), parse_options(args.cfg_options))


def _load(args: argparse.Namespace, default: str) -> Config:
    return load_config(_named(args, default), parse_options(args.cfg_options))


def _named(args: argparse.Namespace, default: str) -> str:
    """The config's name; an empty one, of a shell variable that is not set, is not taken for none."""
    if args.config == "":
        raise UserError("the config's name is empty; is a variable not set?")
    return args.config or default


def take_checkpoint(args: argparse.Namespace) -> None:
    """A checkpoint in the place of CONFIG keeps its own config: it becomes the first of `args.checkpoint`."""
    if args.config is not None and is_checkpoint(args.config):
        args.checkpoint, args.config = [Path(args.config), *(args.checkpoint or [])], None


def require_checkpoint(checkpoints: Sequence[Path]) -> None:
    """Check that there are weights to test.

    Raises:
        UserError: there are none, neither in the place of CONFIG nor as --checkpoint.
    """
    if not checkpoints:
        raise UserError("which weights? give --checkpoint runs/.../last.pth, or a checkpoint in the place of CONFIG")


def net_of(config: str, checkpoint: str) -> tuple[Config, Path]:
    """A further net of an ensemble, of a config that --cfg-options do not change."""
    return trained_nets(load_config(config), [checkpoint])[0]
