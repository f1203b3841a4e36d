"""Run a command as several processes that train or test together."""

from __future__ import annotations

import multiprocessing
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from helpers.paths import ROOT

# Children are forked from a process that has no threads and has imported what commands need, also what torch and
# mmengine import late: seconds per child. A worker of pytest has one such process, and its modules are those that were
# named when it started: so all tests use this one.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    [f"resdet.cli.commands.{name}" for name in ("eval_voc", "train_cls", "train_det", "train_loc")]
    + ["torch._dynamo", "mmengine.model", "mmengine.visualization", "matplotlib.backends.backend_svg"]
)


def free_port() -> int:
    """A TCP port of localhost that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def as_rank(rank: int, world: int, port: int, command: str, arguments: list[str]) -> None:
    """Runs in a child process: the command as torchrun would start it."""
    from resdet.cli.main import main

    multiprocessing.set_start_method("fork", force=True)
    torch.set_num_threads(1)
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
    names |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({k: str(v) for k, v in names.items()})
    main([command, *arguments, "--device", "cpu", "--precision", "fp32"])


def start_processes(world: int, command: str, *arguments: object) -> list[BaseProcess]:
    """Start a command as `world` processes that find each other by torchrun's environment variables."""
    port, words = free_port(), [str(a) for a in arguments]
    ranks = [SERVER.Process(target=as_rank, args=(r, world, port, command, words)) for r in range(world)]
    for rank in ranks:
        rank.start()
    return ranks


# How rank 0 ends after rank 1 has died: it notices, or torchrun is quicker and sends it SIGTERM.
LOST_OR_TERMINATED = re.compile(r"^(error: process 0 of 2 has lost another one|terminated|stopped)", re.MULTILINE)


def run_processes(world: int, command: str, *arguments: object) -> None:
    """Run a command as `world` processes; all must exit with code 0."""
    _join(start_processes(world, command, *arguments))


def run_two_ranks(target: Callable[[int, int, Path], None], folder: Path) -> None:
    """Run target(rank, port, folder) as two processes; both must exit with code 0."""
    port = free_port()
    ranks = [SERVER.Process(target=target, args=(rank, port, folder)) for rank in range(2)]
    for rank in ranks:
        rank.start()
    _join(ranks)


def _join(ranks: Sequence[BaseProcess]) -> None:
    for rank in ranks:
        rank.join(120)
    assert [rank.exitcode for rank in ranks] == [0] * len(ranks)


def torchrun(*arguments: object, folder: Path) -> subprocess.Popen[str]:
    """Start torchrun with these arguments; `folder` is importable in its processes."""
    words = [sys.executable, "-m", "torch.distributed.run", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{ROOT}", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(words, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)


def processes_of(folder: Path) -> list[int]:
    """Ids of the processes whose command line names this folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes()
        except OSError:  # it has just ended
            continue
        if os.fsencode(folder) in command and int(path.parent.name) != os.getpid():
            found.append(int(path.parent.name))
    return found
