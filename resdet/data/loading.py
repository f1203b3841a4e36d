"""The part of loading that all tasks share: workers, pinned memory and the order of evaluation.

The loaders of the tasks are in loading.py of data/detection, data/classification and data/localization.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from resdet.data.sampling import Draw, draw_seed


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
        batches: the draws of each batch, in order.
        collate: makes a batch from the list of items.
        workers: loader processes, 0 to load in this process. They run single-threaded and ignore SIGINT and SIGTERM,
            which the main process handles.
        pin: copy batches to page-locked memory, for asynchronous copies to a GPU.
    """
    return DataLoader(
        dataset,
        batch_sampler=batches,  # type: ignore[arg-type]  # torch asks for lists of indices; any key will do
        collate_fn=collate,
        num_workers=workers,
        pin_memory=pin,
        worker_init_fn=_start_worker,
        generator=torch.Generator(),  # by default it advances torch's global state, and a resumed run would differ
        prefetch_factor=4 if workers else None,
    )


def batches_in_order(order: np.ndarray, batch_size: int) -> list[list[Draw]]:
    """Cut int64 [N] image indices into batches in this order, with the draws of seed 0 and epoch 0.

    The last batch may be smaller.
    """
    draws = [Draw(i, 0, draw_seed(0, 0, i)) for i in order.tolist()]
    return [draws[i : i + batch_size] for i in range(0, len(draws), batch_size)]


def _start_worker(worker: int) -> None:
    # Ctrl-C and a cluster's SIGTERM reach all processes of the group; only the main one reacts: it saves a checkpoint
    # and then ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # Linux
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_if_parent_asks, daemon=True).start()
    else:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # One thread per worker: OpenCV's and torch's thread pools would compete for the cores.
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def _end_if_parent_asks() -> None:
    """Exit on SIGTERM from the main process, with which torch and Python end workers; ignore SIGTERM from others."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
