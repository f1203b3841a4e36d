"""What all loaders share: their processes end with their process, and no wait for them is without an end."""

from __future__ import annotations

import gc
import multiprocessing
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from resdet.data.loading import make_loader
from resdet.data.sampling import Draw, TrainSampler
from resdet.errors import UserError

ERROR = """
import multiprocessing, sys
from resdet.data.loading import make_loader
from resdet.data.sampling import TrainSampler
from resdet.errors import UserError

class Damaged:
    def __len__(self):
        return 6

    def __getitem__(self, draw):
        raise UserError("unreadable")

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    try:
        next(iter(make_loader(Damaged(), TrainSampler(6, 6, seed=0), list, 1, False)))
    except UserError as error:
        kept = error  # with its traceback, which holds the iterator
        raise SystemExit(2)
"""

KILLED = """
import itertools, os, signal
import torch
from resdet.cli.errors import one_line_errors
from resdet.data.loading import make_loader
from resdet.data.sampling import TrainSampler

class Photos:
    reads = 0

    def __len__(self):
        return 64

    def __getitem__(self, draw):
        self.reads += 1
        if self.reads == 30:
            os.kill(os.getpid(), signal.SIGKILL)
        return [torch.ones(3, 100, 150) for _ in range(8)]

with one_line_errors():
    for batch in itertools.islice(make_loader(Photos(), TrainSampler(64, 4, seed=0), list, 2, False), 60):
        sum(float(tensor.mean()) for item in batch for tensor in item)
"""

SMALL_SHM = """
import itertools, sys
import torch
from resdet.cli.errors import one_line_errors
from resdet.data.loading import make_loader
from resdet.data.sampling import TrainSampler

class Photos:
    def __len__(self):
        return 64

    def __getitem__(self, draw):
        first = draw.index == next(iter(TrainSampler(64, 4, seed=0)))[0].index
        return torch.full((20_000 if first and sys.argv[1] == "growing" else 4_000_000,), 1, dtype=torch.uint8)

with one_line_errors():
    for batch in itertools.islice(make_loader(Photos(), TrainSampler(64, 4, seed=0), list, 2, False), 3):
        pass
    print("three batches")
"""


def run_script(script: str, *words: object, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own, or through the command `before`."""
    command = [*before, sys.executable, "-c", script, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


@pytest.mark.parametrize("start_method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_a_process_ends_although_an_error_keeps_its_loader(start_method: str, tmp_path: Path) -> None:
    script = tmp_path / "damaged.py"  # processes that are not forked import it
    script.write_text(ERROR)
    found = subprocess.run(
        [sys.executable, script, start_method], capture_output=True, text=True, timeout=240, check=False
    )
    assert found.returncode == 2, found.stderr
    assert not found.stderr


class Unreadable:
    def __len__(self) -> int:
        return 6

    def __getitem__(self, draw: Draw) -> object:
        raise UserError("unreadable")


def test_a_loader_that_fails_has_ended_its_processes_and_threads_when_the_error_is_caught() -> None:
    """Left to the garbage collector, a thread of it closed a number that another loader's pipe had by then."""
    loader = make_loader(Unreadable(), TrainSampler(6, 6, seed=0), list, 2, pin=False)  # type: ignore[arg-type]
    gc.disable()
    try:
        with pytest.raises(UserError, match="unreadable"):  # whose traceback holds the iterator
            list(loader)
        assert "QueueFeederThread" not in [thread.name for thread in threading.enumerate()]
        assert multiprocessing.active_children() == []
    finally:
        gc.enable()


def test_a_loader_process_that_the_system_kills_is_one_line() -> None:
    """The OOM killer sends SIGKILL; what breaks first are connections to the process."""
    found = run_script(KILLED)
    assert found.returncode == 2, found.stderr
    assert found.stderr.count("\n") == 1, found.stderr
    assert found.stderr.startswith("error: ")
    assert "too little memory; lower data.images" in found.stderr


TOO_MANY = "error: Too many open files; raise the limit of open files (ulimit -n), or lower data.workers\n"
FEW_FILES = """
import itertools
import torch
from resdet.cli.errors import one_line_errors
from resdet.data.loading import make_loader
from resdet.data.sampling import TrainSampler

class Photos:
    def __len__(self):
        return 64

    def __getitem__(self, draw):
        return [torch.ones(30, 30) for _ in range(20)]

with one_line_errors():
    for batch in itertools.islice(make_loader(Photos(), TrainSampler(64, 4, seed=0), list, 2, False), 20):
        pass
    print("twenty batches")
"""


def test_a_limit_of_open_files_is_raised_and_named_where_it_cannot_be() -> None:
    """Every tensor of a batch on its way takes a descriptor; shells start with 1,024 and may have more."""
    soft = run_script(FEW_FILES, before=("bash", "-c", 'ulimit -Sn 64; exec "$@"', "bash"))
    assert (soft.returncode, soft.stdout, soft.stderr) == (0, "twenty batches\n", "")
    hard = run_script(FEW_FILES, before=("bash", "-c", 'ulimit -n 64; exec "$@"', "bash"))
    assert (hard.returncode, hard.stdout) == (2, ""), hard.stderr
    assert hard.stderr == TOO_MANY


LITTLE = """
import os, resource, sys, time
import torch
from resdet.cli.errors import one_line_errors
from resdet.data.loading import make_loader
from resdet.data.sampling import TrainSampler

MAIN = os.getpid()

class Opens:
    def __reduce__(self):
        return int, (os.open(os.devnull, os.O_RDONLY),)

class Photos:
    reads = 0

    def __len__(self):
        return 64

    def __getitem__(self, draw):
        self.reads += 1
        if os.getpid() == MAIN or self.reads <= 4:
            return 0
        time.sleep(0.3)  # the main process is in the body of its loop by then
        resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))
        return torch.ones(30, 30) if sys.argv[1] == "tensor" else Opens()

with one_line_errors():
    for batch in make_loader(Photos(), TrainSampler(64, 4, seed=0), list, 1, False):
        time.sleep(1)
"""


@pytest.mark.parametrize("lacking", ["tensor", "sending"])
def test_open_files_that_a_loader_process_lacks_are_not_taken_for_missing_memory(lacking: str) -> None:
    """It needs one for each tensor, and one to send it."""
    found = run_script(LITTLE, lacking)
    assert found.returncode == 2, found.stderr
    assert found.stderr == TOO_MANY


class Unsendable:
    def __len__(self) -> int:
        return 4

    def __getitem__(self, draw: Draw) -> object:
        return lambda: draw


def test_a_batch_that_cannot_be_sent_is_not_waited_for(capfd: pytest.CaptureFixture[str]) -> None:
    """It is pickled in a thread of the loader process, which only reported the error: no batch would ever come."""
    loader = make_loader(Unsendable(), TrainSampler(4, 4, seed=0), list, 1, pin=False)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="exit code 1"):
        next(iter(loader))
    assert "lambda" in capfd.readouterr().err


class Slow:
    """A disk that does not answer."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, draw: Draw) -> int:
        time.sleep(4)
        return draw.index


def test_a_batch_that_does_not_come_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESDET_LOADER_TIMEOUT", "1")
    with pytest.raises(RuntimeError, match="no batch has come for 1 seconds: a disk that does not answer"):
        next(iter(make_loader(Slow(), TrainSampler(4, 4, seed=0), list, 1, False)))  # type: ignore[arg-type]


# Shared memory: /dev/shm of a mount namespace of its own --------------------------------------------------------------


def in_small_shm(size: str, images: str) -> subprocess.CompletedProcess[str]:
    """Load three batches of four images where /dev/shm has this size, and list what is left there."""
    mount = f'mount -t tmpfs -o size={size} tmpfs /dev/shm && "$@"; code=$?; ls -A /dev/shm; exit $code'
    return run_script(SMALL_SHM, images, before=("unshare", "--map-root-user", "-m", "sh", "-c", mount, "sh"))


@pytest.fixture(scope="module")
def _own_mounts() -> None:
    command = ["unshare", "--map-root-user", "-m", "mount", "-t", "tmpfs", "tmpfs", "/dev/shm"]
    try:
        allowed = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        allowed = False
    if not allowed:
        pytest.skip("mounting a /dev/shm of one's own is not allowed here")


@pytest.mark.usefixtures("_own_mounts")
@pytest.mark.parametrize(
    ("size", "goes_on_with"), [("64m", "2 processes, 1 batches each"), ("20m", "this process loads by itself")]
)
def test_fewer_processes_load_where_shared_memory_is_short(size: str, goes_on_with: str) -> None:
    """Docker gives 64 MB; loader processes would die one after the other, and no batch would come."""
    found = in_small_shm(size, "equal")
    assert (found.returncode, found.stdout) == (0, "three batches\n"), found.stderr
    assert goes_on_with in found.stderr
    assert found.stderr.count("\n") == 1
    for remedy in ("--shm-size", "--ipc=host", "data.workers=0"):
        assert remedy in found.stderr


@pytest.mark.usefixtures("_own_mounts")
def test_shared_memory_that_runs_out_is_one_line_and_leaves_no_file() -> None:
    """The first image is small: that the others do not fit is seen when they are there."""
    found = in_small_shm("8m", "growing")
    assert (found.returncode, found.stdout) == (2, ""), found.stderr
    assert found.stderr.count("\n") == 1, found.stderr
    assert "error: no shared memory for a batch" in found.stderr
    assert "docker run --shm-size 8g, or --ipc=host" in found.stderr
