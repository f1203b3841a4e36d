"""The config that a command line names, with the values that --cfg-options changes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from mmengine.config import DictAction

from resdet.engine.config import Config
from resdet.errors import UserError
from resdet.recipes.sections import load_config


def config_of(args: argparse.Namespace, default: str = "") -> Config:
    """Load the config of `args.config`, changed by `args.cfg_options`.

    Args:
        args: the parsed arguments.
        default: the config to take where none is given.

    Raises:
        UserError: there is no such config, it cannot be read, or an option is not in it.
    """
    return load_config(args.config or default, parse_options(args.cfg_options))


def parse_options(assignments: Sequence[str]) -> dict[str, Any]:
    """Parse the values of --cfg-options as mmengine does.

    Args:
        assignments: "KEY=VALUE" each; the last one of a key counts.

    Returns:
        The values by key: numbers, booleans, None, lists and tuples where the text is one, else strings.

    Raises:
        UserError: brackets do not match.
    """
    found = argparse.Namespace(options={})
    try:
        DictAction(["--cfg-options"], "options", nargs="+")(argparse.ArgumentParser(), found, list(assignments))
    except AssertionError as error:
        raise UserError(f"--cfg-options: {error}") from error
    options: dict[str, Any] = found.options
    return options
