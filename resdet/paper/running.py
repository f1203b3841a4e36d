"""Run the commands of a row one after the other, in processes of their own, and remember which have ended.

    run_commands([Command(words) for words in ...], Path("."), processes=8)

The record is runs/reproduced.json in the folder: a second call goes on with the first command that has not ended, and
that command, if it is a training, with --resume.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from resdet.engine.config import Config
from resdet.errors import UserError

RECORD = Path("runs/reproduced.json")
TRAIN, EVALUATE = "train-", "eval-"  # how the commands begin that several processes can run


@dataclass(frozen=True)
class Command:
    """A command of a row.

    Args:
        text: as the row has it; the record's key.
        words: what is run: the subcommand and its arguments.
    """

    text: str
    words: Sequence[str]

    @property
    def trains(self) -> bool:
        """Whether it trains, and can go on after an interruption."""
        return self.words[0].startswith(TRAIN)

    def line(self, processes: int = 1) -> list[str]:
        """What is to be executed, with `processes` processes where the command can have several."""
        words = [*self.words, *(["--resume"] if self.trains else [])]
        if processes == 1 or not self.words[0].startswith((TRAIN, EVALUATE)):
            return ["-m", "resdet", *words]
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        return [*torchrun, "-m", "resdet", *words]


def run_commands(commands: Sequence[Command], folder: Path, processes: int = 1) -> None:
    """Run what has not ended yet.

    Args:
        commands: in order.
        folder: the working directory of all of them; made if it does not exist.
        processes: of a training or a test.

    Raises:
        UserError: a command failed, with its own message above.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = _read_record(folder)
    for number, command in enumerate(commands, 1):
        where = f"[{number}/{len(commands)}]"
        if command.text in done:
            print(f"{where} ended {done[command.text]}: {command.text}", flush=True)
            continue
        print(f"{where} {command.text}", flush=True)
        code = subprocess.run([sys.executable, *command.line(processes)], cwd=folder, check=False).returncode
        if code:
            raise UserError(
                f"'{command.text}' ended with exit code {code}, for the reason above; once that is mended, the same "
                "command again begins with it, a training at its last checkpoint"
            )
        done[command.text] = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
        _write_record(folder, done)


def images_for(cfg: Config, processes: int) -> list[str]:
    """The --cfg-options that make the images of a step divisible by the number of processes; mostly none.

    Steps, milestones and rate follow from the number of images (`schedule.reference_images`,
    `optimizer.reference_images`).
    """
    unit = processes * int(cfg.get("loop", {}).get("accumulate", 1))
    found = images_of(cfg)
    return [f"{key}={-(-images // unit) * unit}" for key, images in found.items() if images % unit]


def images_of(cfg: Config) -> dict[str, int]:
    """The images or regions per optimizer step of each training of a config, by their keys: {"data.images": 8}."""
    own = ("alternating.rpn.images", "alternating.head.images") if cfg.get("alternating") else ("data.images",)
    found = {}
    for key in (*own, "rcnn.images"):
        node: Any = cfg
        for part in key.split("."):
            node = node.get(part) if isinstance(node, Mapping | Config) else None
        if isinstance(node, int):
            found[key] = node
    return found


def show(command: Command, processes: int = 1) -> str:
    """The command as it can be typed."""
    added = command.words[len(shlex.split(command.text)) - 1 :]
    text = " ".join([command.text, *map(shlex.quote, added)])
    if processes == 1 or not command.words[0].startswith((TRAIN, EVALUATE)):
        return text
    return f"torchrun --standalone --nproc-per-node {processes} -m {text}"


def _read_record(folder: Path) -> dict[str, str]:
    path = folder / RECORD
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {str(text): str(time) for text, time in found.items()}
    except (ValueError, AttributeError):
        raise UserError(f"{path} is no record of this command; delete it to run all commands again") from None


def _write_record(folder: Path, done: Mapping[str, str]) -> None:
    path = folder / RECORD
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(done, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)
