"""Logs: text to the terminal and to run.log, figures to scalars.json and to other back ends, by mmengine.

Back ends: "local" (scalars.json, one JSON object per line; always on), "tensorboard", "wandb", "mlflow".
"""

from __future__ import annotations

import json
import logging
import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.logging.logger import MMFormatter

from resdet.engine.distributed import is_main_process
from resdet.errors import UserError

if TYPE_CHECKING:  # imported where a run records figures: it takes a second, which predict and tests save
    from mmengine.visualization.vis_backend import BaseVisBackend, TensorboardVisBackend

BACKENDS = {"tensorboard": "TensorboardVisBackend", "wandb": "WandbVisBackend", "mlflow": "MLflowVisBackend"}


def start_logging(work_dir: Path, name: str = "run") -> logging.Logger:
    """Send the "resdet" logger to the terminal, in colour, and to `work_dir`/NAME.log, with the date.

    Processes other than the main one log errors only.
    """
    logger = logging.getLogger("resdet")
    logger.handlers, logger.propagate = [_with_format(logging.StreamHandler(sys.stdout), "%H:%M:%S")], False
    if is_main_process():
        file = _LogFile(work_dir / f"{name}.log", encoding="utf-8", errors="backslashreplace")
        logger.addHandler(_with_format(file, "%Y-%m-%d %H:%M:%S"))
    logger.setLevel(logging.INFO if is_main_process() else logging.ERROR)
    return logger


class _LogFile(logging.FileHandler):
    """Says once that lines are missing in the file, as on a full disk, where `logging` prints a traceback for each."""

    incomplete = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self.incomplete:
            self.incomplete = True
            print(f"{self.baseFilename} is incomplete: {error.strerror}", file=sys.stderr, flush=True)

    def close(self) -> None:
        with suppress(OSError):  # what could not be written is tried once more, and the file is closed all the same
            super().close()


class _EachWarningOnce(logging.Filter):
    """Lets a warning by that has not been logged before, as every validation may log the same ones."""

    def __init__(self) -> None:
        super().__init__()
        self.logged: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING:
            return True
        text = record.getMessage()
        new = text not in self.logged
        self.logged.add(text)
        return new


@contextmanager
def warnings_once() -> Iterator[None]:
    """Let the "resdet" logger give each warning once, for commands that read a data set twice and keep no log."""
    logger, once = logging.getLogger("resdet"), _EachWarningOnce()
    logger.addFilter(once)
    try:
        yield
    finally:
        logger.removeFilter(once)


def _with_format(handler: logging.StreamHandler[Any], date: str) -> logging.StreamHandler[Any]:
    formatter = MMFormatter(color=_has_colour(handler), datefmt=date)
    formatter.err_format = formatter.err_format.replace("%(pathname)s - %(funcName)s - %(lineno)d - ", "")
    handler.setFormatter(formatter)
    handler.addFilter(_EachWarningOnce())
    return handler


def log_to_file(text: str) -> None:
    """Write what is too long for the terminal to the log file alone, on the main process."""
    logger = logging.getLogger("resdet")
    if logger.isEnabledFor(logging.INFO):
        record = logger.makeRecord(logger.name, logging.INFO, __name__, 0, text, (), None)
        for handler in logger.handlers:
            if isinstance(handler, logging.FileHandler):
                handler.handle(record)


class Scalars:
    """Records figures by step in every back end, on the main process.

    Args:
        work_dir: folder of the run.
        backends: names of back ends besides "local".

    Raises:
        UserError: an unknown back end, or its package is not installed.
    """

    def __init__(self, work_dir: Path, backends: Sequence[str] = ()) -> None:
        self.path = work_dir / "scalars.json"
        self.backends: list[BaseVisBackend] = []
        if not is_main_process():
            return
        unknown = [b for b in backends if b != "local" and b not in BACKENDS]
        if unknown:
            raise UserError(f"log back end '{unknown[0]}' is unknown; there are local, {', '.join(BACKENDS)}")
        from mmengine.visualization.vis_backend import LocalVisBackend

        self.backends = [LocalVisBackend(str(work_dir), scalar_save_file=self.path.name)]
        self.backends += [_start_backend(b, work_dir) for b in backends if b != "local"]

    def add(self, step: int, values: dict[str, float]) -> None:
        """Record `values` at `step`; what is not finite, as the AP of no objects, has no place in JSON: left out."""
        values = {name: value for name, value in values.items() if math.isfinite(value)}
        for backend in self.backends:
            backend.add_scalars({"iteration": step, **values}, step)

    def forget_after(self, step: int, validated: bool = True) -> None:
        """Remove what an interrupted process of this run recorded after `step`, from scalars.json and TensorBoard.

        Args:
            step: of the checkpoint that the run goes on from.
            validated: False: figures of its validation, which is to be done again, are removed too.
        """
        if not self.backends or not self.path.is_file():
            return
        from mmengine.visualization.vis_backend import TensorboardVisBackend

        for backend in self.backends:
            if isinstance(backend, TensorboardVisBackend):
                _hide_events(backend, step + 1)
        kept = [r for r in read_scalars(self.path) if r["iteration"] <= step]
        if not validated:
            kept = [r for r in kept if r["iteration"] < step or "lr" in r]
        partial = self.path.with_suffix(".partial")
        partial.write_text("".join(json.dumps(r) + "\n" for r in kept))
        partial.replace(self.path)

    def close(self) -> None:
        """Wait for back ends that send over a network."""
        for backend in self.backends:
            backend.close()


def _start_backend(name: str, work_dir: Path) -> BaseVisBackend:
    from mmengine.visualization import vis_backend

    backend: BaseVisBackend = getattr(vis_backend, BACKENDS[name])(str(work_dir))
    try:
        _ = backend.experiment  # this is where mmengine imports the package
    except ImportError as error:
        raise UserError(f"log back end '{name}' needs its package: pip install resdet[{name}]") from error
    return backend


def _hide_events(backend: TensorboardVisBackend, first: int) -> None:
    """Let TensorBoard ignore the events of older files in the folder from step `first` on (SummaryWriter's purge_step).

    The writer has begun its file, which is why it is not told so when it is made.
    """
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog

    backend.experiment.file_writer.add_event(Event(step=first, session_log=SessionLog(status=SessionLog.START)))


def read_scalars(path: Path) -> list[dict[str, Any]]:
    """Records of scalars.json in their order: dicts with "iteration" and figures. Incomplete lines are skipped."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return records


def clock(seconds: float) -> str:
    """Seconds as "1:02:03", or "2:03" below an hour."""
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


def _has_colour(handler: logging.StreamHandler[Any]) -> bool:
    return handler.stream is sys.stdout and sys.stdout.isatty() and not os.environ.get("NO_COLOR")
