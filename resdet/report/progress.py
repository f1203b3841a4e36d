"""A progress bar that ends with its loop.

with progress_bar(paths, "detecting") as shown:
    for path in shown:
        ...
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import TypeVar, cast

from rich.console import Console
from rich.progress import track

T = TypeVar("T")


@contextmanager
def progress_bar(
    items: Iterable[T], description: str, total: float | None = None, console: Console | None = None
) -> Iterator[Iterable[T]]:
    """Show rich's progress bar for `items` until the block ends, also by an error or a `break`.

    The generator of `rich.progress.track` is closed only by the garbage collector. If that runs in rich's refresh
    thread, the thread waits for itself and the program never ends.

    Args:
        items: the iterable.
        description: the text before the bar.
        total: the number of items; None: their length if they have one.
        console: where the bar is shown; None: stdout.
    """
    shown = cast(Generator[T, None, None], track(items, description, total, console=console, transient=True))
    with closing(shown):
        yield shown
