"""The part of loading that all tasks share: workers, pinned memory and the order of evaluation.

The loaders of the tasks are in loading.py of data/detection, data/classification and data/localization.
"""

from __future__ import annotations

import atexit
import errno
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from types import TracebackType
from typing import Any, NoReturn

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from resdet.data.sampling import Draw, image_seeds
from resdet.data.shared_memory import bytes_of, loaders_that_fit, remove_partial_files, tensors_in
from resdet.errors import TOO_MANY_FILES, UserError

PREFETCH = 4  # batches that each loader process prepares ahead
TIMEOUT = 1800  # seconds that a batch may take, for slow network disks; RESDET_LOADER_TIMEOUT is another number
KILLERS = {"SIGKILL": "SIGKILL", "SIGBUS": "SIGBUS, shared memory is full"}  # the system's, when memory is exhausted
OPEN_FILES = 65_536  # the limit that is asked for
MANY_FILES = os.strerror(errno.EMFILE)  # in what torch says of it
ENDING = 5.0  # seconds that loader processes have to end when their process ends


def make_loader(
    dataset: Dataset[Any],
    batches: Iterable[Sequence[Draw]],
    collate: Callable[[Any], Any],
    workers: int,
    pin: bool,
) -> DataLoader[Any]:
    """Build torch's DataLoader with the settings that every loader of resdet uses.

    Args:
        dataset: indexed by a `Draw`, not by an int.
        batches: the draws of each batch, in order; can be iterated more than once.
        collate: makes a batch from the list of items.
        workers: loader processes, 0 to load in this process. They run single-threaded and ignore SIGINT and SIGTERM,
            which the main process handles. Where /dev/shm has too little room for their batches there are fewer, with a
            warning; the batches are the same.
        pin: copy batches to page-locked memory, for asynchronous copies to a GPU.

    Returns:
        The loader. Iterating raises MemoryError if the system has killed a loader process, and RuntimeError if one has
        ended by itself or a batch has taken `TIMEOUT` seconds.
    """
    prefetch = PREFETCH
    if workers:
        _allow_open_files()
        workers, prefetch = loaders_that_fit(workers, prefetch, _bytes_of_a_batch(dataset, batches, collate))
    return _Loader(
        dataset,
        batch_sampler=batches,  # type: ignore[arg-type]  # torch asks for lists of indices; any key will do
        collate_fn=_Shared(collate) if workers else collate,
        num_workers=workers,
        pin_memory=pin,
        worker_init_fn=_start_worker,
        generator=torch.Generator(),  # by default it advances torch's global state, and a resumed run would differ
        prefetch_factor=prefetch if workers else None,
        timeout=_timeout() if workers else 0,
    )


def batches_in_order(order: np.ndarray, batch_size: int) -> list[list[Draw]]:
    """Cut int64 [N] image indices into batches in this order, with the draws of seed 0 and epoch 0.

    The last batch may be smaller.
    """
    seeds = image_seeds(0, 0, order).tolist()
    draws = [Draw(i, 0, seed) for i, seed in zip(order.tolist(), seeds, strict=True)]
    return [draws[i : i + batch_size] for i in range(0, len(draws), batch_size)]


class _Loader(DataLoader[Any]):
    """A loader that looks at its processes when a batch does not arrive."""

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # torch declares its own iterator's class
        return self._from_workers() if self.num_workers else super().__iter__()

    def _from_workers(self) -> Iterator[Any]:
        others = multiprocessing.active_children()
        batches = super().__iter__()
        workers = [p for p in multiprocessing.active_children() if p not in others]
        try:
            yield from batches
        except (RuntimeError, OSError, EOFError) as error:  # a broken connection says less than how the process ended
            cause = _why(workers, error)
            for process in workers:
                process.terminate()
            if cause is None:
                raise
            raise cause from error
        finally:
            batches._shutdown_workers()  # type: ignore[attr-defined]  # torch leaves it to the garbage collector
            _join_feeders(batches._index_queues)  # type: ignore[attr-defined]


@dataclass
class _Shared:
    """Collates in a loader process, straight into shared memory.

    Torch would copy the batch later, in a thread whose errors nobody sees: no batch would ever come.
    """

    collate: Callable[[Any], Any]

    def __call__(self, items: Any) -> Any:
        batch = self.collate(items)
        try:
            for tensor in tensors_in(batch):
                tensor.share_memory_()  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            remove_partial_files()
            raise MemoryError(f"no shared memory for a batch ({str(error).splitlines()[0]})") from error
        return batch


def _bytes_of_a_batch(dataset: Dataset[Any], batches: Iterable[Sequence[Draw]], collate: Callable[[Any], Any]) -> int:
    """An estimate from the first image; 0 if that cannot be read, which a loader process will report."""
    first = next(iter(batches), ())
    if not first:
        return 0
    try:
        return bytes_of(collate([dataset[first[0]]])) * len(first)
    except Exception:
        return 0


def _allow_open_files() -> None:
    """Raise this process's limit of open files as far as it may: every tensor of a batch on its way takes one."""
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if most == resource.RLIM_INFINITY else min(OPEN_FILES, most)
    if limit != resource.RLIM_INFINITY and limit < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _timeout() -> float:
    text = os.environ.get("RESDET_LOADER_TIMEOUT", str(TIMEOUT))
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f"RESDET_LOADER_TIMEOUT={text}: give whole seconds, 1 or more")
    return int(text)


def _why(workers: Sequence[BaseProcess], error: Exception) -> Exception | None:
    """The error that says how a loader process has ended; None: all of them live."""
    end = time.monotonic() + 1  # the connection can break before the process is gone
    while isinstance(error, OSError | EOFError) and time.monotonic() < end and all(p.exitcode is None for p in workers):
        time.sleep(0.02)
    for process in workers:
        code = process.exitcode or 0
        name = signal.Signals(-code).name if code < 0 else ""
        if name in KILLERS:
            return MemoryError(f"a loader process was killed by the system ({KILLERS[name]})")
        if code == TOO_MANY_FILES or MANY_FILES in str(error):
            return OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        if code:
            return RuntimeError(f"a loader process has ended with {name or f'exit code {code}'}")
    if "timed out" in str(error):
        return RuntimeError(
            f"no batch has come for {_timeout():.0f} seconds: a disk that does not answer? "
            "(RESDET_LOADER_TIMEOUT sets another limit)"
        )
    return None


def _join_feeders(queues: Iterable[Any]) -> None:
    """Wait until the threads that sent indices to loader processes have closed their pipes.

    A thread that closes its pipe later may close another file, which has been given the same descriptor by then.
    """
    for queue in queues:
        if queue._thread is not None:
            queue._thread.join(ENDING)


def _start_worker(worker: int) -> None:
    # Ctrl-C and a cluster's SIGTERM reach all processes of the group; only the main one reacts: it saves a checkpoint
    # and then ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # Linux
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_if_parent_asks, daemon=True).start()
    else:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # _end_workers kills
    sys.excepthook = _report_unless_disconnected
    Queue._on_queue_feeder_error = staticmethod(_end_without_handing_over)  # type: ignore[attr-defined]  # Python's hook
    # One thread per worker: OpenCV's and torch's thread pools would compete for the cores.
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def _report_unless_disconnected(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
    """What a loader process prints of an error in its threads: nothing when the main process has stopped listening."""
    if not issubclass(kind, ConnectionError | EOFError):
        sys.__excepthook__(kind, value, trace)


def _end_without_handing_over(error: Exception, batch: object) -> NoReturn:
    """End a loader process that cannot send a batch, which the main process would wait for."""
    if isinstance(error, OSError) and error.errno == errno.EMFILE:
        os._exit(TOO_MANY_FILES)
    traceback.print_exception(error)
    os._exit(1)


def _end_if_parent_asks() -> None:
    """Exit on SIGTERM from the main process, with which torch and Python end workers; ignore SIGTERM from others."""
    parent = multiprocessing.parent_process()  # not os.getppid(): where processes are not forked, a server starts them
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != (parent.pid if parent else os.getppid()):
        pass
    os._exit(0)


def _end_workers() -> None:
    """End the loader processes of a loader that an error keeps alive; Python would wait for them for ever."""
    workers = [p for p in multiprocessing.active_children() if p.daemon]
    for process in workers:
        process.terminate()
    end = time.monotonic() + ENDING
    for process in workers:
        process.join(max(0, end - time.monotonic()))
        if process.exitcode is None:
            process.kill()


atexit.register(_end_workers)  # after multiprocessing's own handler was registered, so called before it
