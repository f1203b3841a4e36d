"""Run copy-configs: copy the configs that come with resdet, or list them."""

from __future__ import annotations

import argparse
import shutil

from resdet.engine.config import config_names, packaged_configs
from resdet.errors import UserError


def run(args: argparse.Namespace) -> None:
    """Make the folder, or print the names."""
    if args.list:
        print("\n".join(config_names()))
        return
    if args.folder is None:
        raise UserError("where to? give a folder to make, or --list")
    if args.folder.exists():
        raise UserError(
            f"{args.folder} is there already; choose a folder that is not (a config of yours that inherits from "
            "another one belongs into the new folder, beside its _base_/)"
        )
    shutil.copytree(packaged_configs(), args.folder, ignore=shutil.ignore_patterns("__pycache__"))
    print(f"configs in {args.folder}; a copy of one inherits from {args.folder / '_base_'}")
