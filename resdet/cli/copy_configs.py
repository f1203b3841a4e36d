"""Copy the configs that come with resdet into a folder, to change and to inherit from."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from resdet.cli.common import run_command
from resdet.engine.config import packaged_configs
from resdet.errors import UserError


def main(arguments: list[str] | None = None) -> None:
    """Entry point of resdet-copy-configs."""
    run_command(_copy, arguments)


def _copy(arguments: list[str] | None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    args = parser.parse_args(arguments)
    if args.folder.exists():
        raise UserError(f"{args.folder} is there already; choose a folder that is not")
    shutil.copytree(packaged_configs(), args.folder, ignore=shutil.ignore_patterns("__pycache__"))
    print(f"configs in {args.folder}; a copy of one inherits from {args.folder / '_base_'}")


if __name__ == "__main__":
    main()
