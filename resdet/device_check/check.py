"""What a check is: a function that gets a `Setting` and writes what it finds into a `Found`."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch

from resdet.device_check.commands import Commands
from resdet.engine.precision import Precision


class Kind(StrEnum):
    """Where a check runs."""

    HERE = "in this process"  # one after the other
    COMMANDS = "as commands"  # all at a time
    ALONE = "as commands, while nothing else runs"


class Skipped(Exception):  # noqa: N818 - not an error
    """Raised by a check that cannot run on this machine; the text says why."""


def one_line(error: Exception) -> str:
    """The error's type and the first line of its text."""
    return f"{type(error).__name__}: {error}".splitlines()[0]


@dataclass(frozen=True)
class Setting:
    """What every check is given.

    Args:
        device: what is checked.
        folder: for the files that checks make.
        commands: runs `resdet` in processes of their own.
    """

    device: torch.device
    folder: Path
    commands: Commands

    @property
    def on_gpu(self) -> bool:
        """Whether a GPU is checked."""
        return self.device.type == "cuda"

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """What the device has; bf16 is emulated by some CPUs and by GPUs before Ampere."""
        return ("fp32", "tf32", "bf16", "fp16") if self.on_gpu else ("fp32", "bf16")

    @property
    def trained_precisions(self) -> tuple[Precision, ...]:
        """Those that short trainings run in."""
        return ("fp32", "bf16", "fp16") if self.on_gpu else ("fp32",)


@dataclass
class Found:
    """What a check found, filled while it runs, so that a check that fails keeps what it had.

    Attributes:
        figures: name -> a number, a string or a bool.
        texts: title -> output of a command.
        problems: one line each; with any of them the check has failed.
    """

    figures: dict[str, Any] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def expect(self, holds: bool, problem: str) -> None:
        """Note a problem unless `holds`; the check goes on."""
        if not holds:
            self.problems.append(problem)

    def try_part(self, name: str, part: Callable[[], None]) -> None:
        """Run a part of a check. An error becomes a problem with its traceback, so that the other parts run."""
        try:
            part()
        except Exception as error:
            self.problems.append(f"{name}: {one_line(error)}")
            self.texts[f"{name}: traceback"] = "".join(traceback.format_exception(error))

    def at_most(self, name: str, value: float, limit: float) -> None:
        """Note a figure, and a problem if it is above its limit, or NaN."""
        self.figures[name] = value
        self.expect(value <= limit, f"{name}: {value:.2g}, above {limit:g}")


@dataclass(frozen=True)
class Check:
    """One check.

    Args:
        name: for --only and --skip.
        summary: one line.
        run: raises, or notes problems, if the check fails.
        kind: where it runs.
    """

    name: str
    summary: str
    run: Callable[[Setting, Found], None]
    kind: Kind = Kind.HERE
