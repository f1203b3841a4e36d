"""--auto-lr and --auto-images."""

from __future__ import annotations

import argparse

from resdet.cli.common.options import parse_options
from resdet.engine.config_text import leaves
from resdet.errors import UserError
from resdet.recipes.automatic import Automatic


def automatic_of(args: argparse.Namespace) -> Automatic:
    """Which values the training is to find by itself.

    Raises:
        UserError: a value is given as well, or the run is a dry run.
    """
    wanted, given = Automatic(args.auto_lr, args.auto_images), leaves(parse_options(args.cfg_options))
    for key in wanted.keys:
        option = "--auto-lr" if key == "optimizer.lr" else "--auto-images"
        if key in given:
            raise UserError(f"{option} finds {key}, which --cfg-options gives; leave one of the two out")
        if args.dry_run:
            raise UserError(f"{option} would measure the small net of the dry run; leave one of the two out")
    return wanted
