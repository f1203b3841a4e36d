"""Run `resdet` in processes of its own, several at a time, with a log file each."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import resdet

SECONDS = 300.0  # a command that takes longer hangs
ENDING = 10.0  # seconds that a process is given to end when asked to
TAIL = 3000  # characters of a failed command's output that the report quotes
RESDET = (sys.executable, "-m", "resdet")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1", "-m", "resdet")


class CommandFailed(Exception):  # noqa: N818 - as subprocess.TimeoutExpired
    """A command failed or did not end. The first line says how, then comes the end of its output."""


@dataclass(frozen=True)
class Done:
    """A command that ended with exit code 0."""

    seconds: float
    output: str  # stdout and stderr


class Commands:
    """Runs commands, at most `slots` at a time.

    Args:
        logs: folder for the commands' outputs, NAME.log.
        device: for their --device.
        slots: processes at a time.
    """

    def __init__(self, logs: Path, device: str, slots: int) -> None:
        self.logs, self.device = logs, device
        self._slots, self._running = threading.Semaphore(slots), set[subprocess.Popen[bytes]]()
        self.stopped = False

    def run(self, name: str, *words: object, start: Sequence[str] = RESDET, device: bool = True) -> Done:
        """Run a command to its end.

        Args:
            name: of its log file.
            words: the subcommand and its arguments; --device is added.
            start: what comes before them.
            device: whether the subcommand has --device.

        Raises:
            CommandFailed: it failed, or took too long.
        """
        return self._run(name, self._line(words, start, device), None)

    def run_until(self, name: str, reached: Callable[[], bool], *words: object) -> float:
        """Run a command and kill it (SIGKILL) as soon as `reached`. Returns the seconds that it ran.

        Raises:
            CommandFailed: it ended before, or took too long.
        """
        return self._run(name, self._line(words, RESDET, True), reached).seconds

    def all(self, *calls: Callable[[], object]) -> None:
        """Call functions at a time, each in a thread; all end, then the first error is raised."""
        with ThreadPoolExecutor(max(1, len(calls))) as pool:
            futures = [pool.submit(call) for call in calls]
        for future in futures:
            future.result()

    def stop(self) -> None:
        """End what runs, and start nothing more."""
        self.stopped = True
        for process in list(self._running):
            _end(process)

    def _line(self, words: Sequence[object], start: Sequence[str], device: bool) -> list[str]:
        return [*start, *map(str, words), *(["--device", self.device] if device else [])]

    def _run(self, name: str, line: Sequence[str], reached: Callable[[], bool] | None) -> Done:
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.logs / f"{name}.log"
        with self._slots, log.open("wb") as file:
            if self.stopped:
                raise CommandFailed(f"{name} was not started: the checks were stopped")
            file.write(f"{shlex.join(line)}\n".encode())
            file.flush()
            started = time.perf_counter()
            process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=_environment())
            self._running.add(process)
            try:
                killed = _wait(process, reached)
            finally:
                _end(process)
                self._running.discard(process)
            seconds = time.perf_counter() - started
        output = log.read_text(errors="replace")
        if killed == (reached is not None) and (killed or process.returncode == 0):
            return Done(seconds, output)
        how = f"exit code {process.returncode}" if process.returncode >= 0 else f"signal {-process.returncode}"
        last = (output.strip().splitlines() or [""])[-1]
        raise CommandFailed(f"{name} ended with {how} after {seconds:.0f} s: {last}\n{output[-TAIL:]}")


def _wait(process: subprocess.Popen[bytes], reached: Callable[[], bool] | None) -> bool:
    """Wait until the process ended, or `reached`, or time is up; kill it where it was reached, and return whether."""
    if reached is None:
        with suppress(subprocess.TimeoutExpired):
            process.wait(SECONDS)
        return False
    stop = time.monotonic() + SECONDS
    while process.poll() is None and time.monotonic() < stop:
        if reached():
            process.kill()
            process.wait()
            return True
        time.sleep(0.005)
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process that still runs; torchrun ends those that it started when it is asked to end."""
    process.terminate()
    try:
        process.wait(ENDING)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _environment() -> dict[str, str]:
    """This process's, with this installation of resdet first, and one thread: the commands share the cores."""
    path = [str(Path(resdet.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    return os.environ | {"PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": threads, "COLUMNS": "120"}
