"""What the processes of one `resdet predict` tell each other; a process alone is its own main one.

The main process finds the images and what of them is done; every process takes every n-th image that is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from resdet.engine.distributed import explain_lost_process, gather_objects, get_rank, get_world_size
from resdet.engine.run_folder import on_main
from resdet.errors import LostProcessError

T = TypeVar("T")


def from_main(compute: Callable[[], T]) -> T:
    """Compute something on the main process; all processes get it.

    Raises:
        UserError: `compute` raised it; all processes do then.
        LostProcessError: another process has died.
    """
    with _lost_process_named():
        return on_main(compute)


def gather(items: list[T]) -> list[T]:
    """Concatenate the lists of all processes; what a process wrote before is on disk for all afterwards.

    Raises:
        LostProcessError: another process has died.
    """
    with _lost_process_named():
        return gather_objects(items)


@contextmanager
def _lost_process_named() -> Iterator[None]:
    try:
        with explain_lost_process():
            yield
    except LostProcessError:
        raise LostProcessError(
            f"process {get_rank()} of {get_world_size()} has lost another one: the other's error is above or in its "
            "log; what is done is kept, and the same command goes on"
        ) from None


def own_share(items: Sequence[T]) -> list[T]:
    """Every n-th item, of n processes."""
    return list(items[get_rank() :: get_world_size()])
