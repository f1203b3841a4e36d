"""What the processes of one `resdet predict` tell each other; a process alone is its own main one.

The main process finds the images and what of them is done; every process takes every n-th image that is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from resdet.engine.distributed import explain_lost_process, gather_objects, get_rank, get_world_size, is_main_process
from resdet.errors import LostProcessError, UserError

T = TypeVar("T")


def from_main(compute: Callable[[], T]) -> T:
    """Compute something on the main process; all processes get it.

    Raises:
        UserError: `compute` raised it; all processes do then.
        LostProcessError: another process has died.
    """
    found: list[T | UserError] = []
    if is_main_process():
        try:
            found = [compute()]
        except UserError as error:
            found = [error]
    (value,) = gather(found)
    if isinstance(value, UserError):
        raise value
    return value


def gather(items: list[T]) -> list[T]:
    """Concatenate the lists of all processes; what a process wrote before is on disk for all afterwards.

    Raises:
        LostProcessError: another process has died.
    """
    try:
        with explain_lost_process():
            return gather_objects(items)
    except LostProcessError:
        raise LostProcessError(
            f"process {get_rank()} of {get_world_size()} has lost another one: the other's error is above or in its "
            "log; what is done is kept, and the same command goes on"
        ) from None


def own_share(items: Sequence[T]) -> list[T]:
    """Every n-th item, of n processes."""
    return list(items[get_rank() :: get_world_size()])
