"""Run new-config: write a config for one's own data."""

from __future__ import annotations

import argparse

from resdet.engine.log import warnings_once
from resdet.engine.run import make_folder
from resdet.errors import UserError


def run(args: argparse.Namespace) -> None:
    """Write the config, and print what was chosen and why.

    Raises:
        UserError: the file exists, or the data set cannot be read.
    """
    if args.out.exists():
        raise UserError(f"{args.out} is there already; choose another file")
    if args.out.suffix != ".py":
        raise UserError(f"{args.out}: a config is a Python file; choose a name that ends in .py")
    from resdet.recipes.detection.new_config import new_config, trunk_of  # imports torch: after the checks

    with warnings_once():
        found = new_config(args.data, str(args.out), trunk_of(args.init_from, args.depth, args.crop))
    make_folder(args.out.parent)
    args.out.write_text(found.text, encoding="utf-8")
    print("\n".join(found.choices))
    print(f"{args.out} is written; check the data with resdet inspect-data {args.out}")
