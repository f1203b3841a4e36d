"""The report of `resdet check-gpu`: report.md and report.json, written anew after every check."""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import platform
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from resdet import __version__
from resdet.device_check.check import Check, Found
from resdet.whole_files import write_whole_file

LIBRARIES = ("torchvision", "triton", "numpy", "opencv-python", "opencv-python-headless", "albumentations", "mmengine")


@dataclass
class Result:
    """How a check ended.

    Args:
        name, summary: of the check.
        status: "passed", "failed" or "skipped".
        seconds: from its start to its end.
        found: what it found.
        reason: of a failed check the traceback, of a skipped one the reason; "" otherwise.
    """

    name: str
    summary: str
    status: str
    seconds: float
    found: Found
    reason: str = ""

    def line(self) -> str:
        """One line for the screen."""
        if self.status == "skipped":
            return f"{self.name:11} skipped: {self.reason}"
        more = f" (and {len(self.found.problems) - 1} more)" if len(self.found.problems) > 1 else ""
        told = f": {self.found.problems[0]}{more}" if self.found.problems else ""
        return f"{self.name:11} {self.status} in {self.seconds:.1f} s{told}"


class Report:
    """Collects results and rewrites both files after each.

    Args:
        folder: gets report.md and report.json.
        machine: of `describe`.
        asked: names of the checks that are to run.
    """

    def __init__(self, folder: Path, machine: Mapping[str, str], asked: list[str]) -> None:
        self.folder, self.machine, self.asked = folder, machine, asked
        self.results: dict[str, Result] = {}
        self._started, self._lock = time.perf_counter(), threading.Lock()

    def add(self, result: Result) -> None:
        """Note a result and write the files."""
        with self._lock:
            self.results[result.name] = result
            self.write()

    def write(self) -> None:
        """Write report.md and report.json."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole_file(self.folder / "report.md", self._markdown().encode())
        write_whole_file(self.folder / "report.json", json.dumps(self._plain(), indent=2, default=str).encode())

    def count(self, status: str) -> int:
        """How many checks ended so."""
        return sum(result.status == status for result in self.results.values())

    def _in_order(self) -> list[Result]:
        return [self.results[name] for name in self.asked if name in self.results]

    def _seconds(self) -> float:
        return time.perf_counter() - self._started

    def _plain(self) -> dict[str, Any]:
        missing = [name for name in self.asked if name not in self.results]
        results = [asdict(result) for result in self._in_order()]
        for result in results:
            result["found"]["figures"] = {name: _finite(value) for name, value in result["found"]["figures"].items()}
        return {"machine": self.machine, "seconds": self._seconds(), "unfinished": missing, "checks": results}

    def _markdown(self) -> str:
        missing = [name for name in self.asked if name not in self.results]
        counts = ", ".join(f"{self.count(status)} {status}" for status in ("passed", "failed", "skipped"))
        lines = ["# resdet check-gpu", "", f"{counts}; {self._seconds():.0f} s."]
        lines += [f"Unfinished: {', '.join(missing)}."] if missing else []
        lines += ["", *(f"- {name}: {value}" for name, value in self.machine.items()), ""]
        lines += ["| check | | result | s |", "|---|---|---|--:|"]
        lines += [f"| {r.name} | {r.summary} | {r.status} | {r.seconds:.1f} |" for r in self._in_order()]
        for result in self._in_order():
            lines += ["", f"## {result.name}: {result.status}", "", *_details(result)]
        return "\n".join(lines) + "\n"


def _details(result: Result) -> list[str]:
    """The rest of a result's section: problems, figures, texts, the traceback."""
    lines = [f"- **{problem}**" for problem in result.found.problems]
    lines += [result.reason] if result.status == "skipped" else []
    if result.found.figures:
        lines += ["", "| | |", "|---|---|"]
        lines += [f"| {name} | {_figure(value)} |" for name, value in result.found.figures.items()]
    texts = result.found.texts | ({"traceback": result.reason} if result.status == "failed" and result.reason else {})
    for title, text in texts.items():
        lines += ["", f"{title}:", "", "```", text.strip("\n"), "```"]
    return lines


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _figure(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value).replace("|", "\\|")


def make_result(check: Check, found: Found, seconds: float, status: str = "", reason: str = "") -> Result:
    """A result; without a status, "failed" if there are problems, else "passed"."""
    return Result(
        check.name, check.summary, status or ("failed" if found.problems else "passed"), seconds, found, reason
    )


def describe(device: torch.device) -> dict[str, str]:
    """The machine and the versions that matter."""
    lines = {"device": "CPU"}
    if device.type == "cuda":
        card = torch.cuda.get_device_properties(device)
        gib = card.total_memory / 2**30
        lines = {"device": f"{card.name}, {gib:.0f} GiB, compute capability {card.major}.{card.minor}"}
        lines["CUDA"] = str(torch.version.cuda or torch.version.hip)
        lines["cuDNN"] = str(torch.backends.cudnn.version())  # type: ignore[no-untyped-call]
    lines |= {"cores": str(os.cpu_count()), "system": platform.platform(), "Python": platform.python_version()}
    lines |= {"resdet": __version__, "torch": torch.__version__}
    for name in LIBRARIES:
        try:
            lines[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return lines
