"""One policy for images that cannot be read, used by all training loaders.

    unreadable = UnreadableImages(skip=True)
    index, sample = unreadable.next_readable(dataset, 17)      # 17, or the first readable image after it
    item = unreadable.read(dataset, 17)                        # None if it cannot be read

Without `skip` the error is raised; a test always does that: there every image counts.
"""

from __future__ import annotations

import logging
from typing import Protocol, TypeVar

from resdet.errors import UserError

REMEDY = "or set data.skip_unreadable=True, which trains without such images"
MOST_SKIPPED = 100  # unreadable images in a row; more mean that the data set is gone, not that files are damaged

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")
logger = logging.getLogger("resdet")


class _Dataset(Protocol[T_co]):
    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> T_co: ...


class UnreadableImages:
    """Skips images whose reading raises a UserError, and reports them.

    The first one is named in a warning at once, later ones are counted: a warning gives their number when it reaches
    10, 100, 1000 and so on. Each loader worker is a process with its own copy of this object and reports for itself.

    Args:
        skip: False raises the error of the first unreadable image, and names the remedy; None, of a test, which has no
            such remedy, raises it as it is.
        instead: what happens to an unreadable image, for the warning.
    """

    def __init__(self, skip: bool | None, instead: str = "the next readable image is used instead") -> None:
        self.skip, self.instead = skip, instead
        self._found: set[int] = set()
        self._in_a_row = 0

    def read(self, dataset: _Dataset[T], index: int) -> T | None:
        """Return ``dataset[index]``, or None if it cannot be read and is skipped.

        Raises:
            UserError: the image cannot be read, and `skip` is not True or more than `MOST_SKIPPED` in a row failed.
        """
        try:
            item = dataset[index]
        except UserError as error:
            if self.skip is None:
                raise
            if not self.skip:
                raise UserError(f"{error}; {REMEDY}") from error
            self._count(index, error)
            return None
        self._in_a_row = 0
        return item

    def next_readable(self, dataset: _Dataset[T], index: int) -> tuple[int, T]:
        """Return image `index`, or the first readable one after it (the first image follows the last), and its index.

        Raises:
            UserError: the image cannot be read, and `skip` is not True or more than `MOST_SKIPPED` in a row failed.
        """
        while (item := self.read(dataset, index)) is None:
            index = (index + 1) % len(dataset)
        return index, item

    def _count(self, index: int, error: UserError) -> None:
        self._in_a_row += 1
        if self._in_a_row > MOST_SKIPPED:
            raise UserError(
                f"{error}; more than {MOST_SKIPPED} images in a row cannot be read: check that the data set is there"
            ) from error
        if index in self._found:
            return
        self._found.add(index)
        count = len(self._found)
        if count == 1:
            logger.warning("%s; %s (later unreadable images are only counted)", error, self.instead)
        elif count == 10 ** (len(str(count)) - 1):
            logger.warning("%d unreadable images so far; %s", count, self.instead)
