"""Figures as JSON, and short names for paths."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resdet.engine.distributed import is_main_process
from resdet.errors import UserError
from resdet.whole_files import whole_file


def write_json(path: Path | None, figures: Mapping[str, Any]) -> None:
    """Write figures where --json asks for them, on the main process only.

    Args:
        path: the file; None: nothing is written.
        figures: plain values; NaN and infinity, which JSON does not have, become null.

    Raises:
        UserError: the file cannot be written.
    """
    if path is None or not is_main_process():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial:
            partial.write_text(json.dumps(_finite(figures), indent=2, allow_nan=False) + "\n")
    except OSError as error:
        raise UserError(f"--json {path} cannot be written: {error.strerror}") from error


def say_what_it_holds(path: Path, row: str, words: Sequence[str]) -> None:
    """Print which row of the table a file of predictions holds, and write it to PATH.about.json beside the file.

    The file's own format has no place for it.

    Args:
        path: the file.
        row: the name of the row.
        words: the subcommand and its arguments.
    """
    write_json(path.with_name(f"{path.name}.about.json"), {"holds": row, "command": shlex.join(["resdet", *words])})
    print(f"{path} holds the row '{row}'")


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of paths that tell them apart: "seed0"; or "cifar10_r20/seed0" and "cifar10_r56/seed0".

    Raises:
        UserError: a path is there twice.
    """
    parts = [path.resolve().parts for path in paths]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(own[-length:]) for own in parts]
        if len(set(names)) == len(names):
            return names
    raise UserError(f"{paths[-1]}: one of these is there twice: {', '.join(map(str, paths))}; give each once")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
