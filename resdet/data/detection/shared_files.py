"""Image files that two names of a data set lead to, and those that two sets have in common.

    refuse_shared([(folder, "cam1/1.jpg"), (folder, "cam2/1.jpg")], ["photos/1.jpg", "photos/1.jpg"], "labels.json")
    shared_with(train.table.paths, val.table.paths)                   # [("photos/1.jpg", "val/1.jpg")]: a link

`resolve_image` looks for names whose folders are not there below the folder of images; one photograph would get the
boxes of both.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from resdet.data.text_files import quoted, quoted_path
from resdet.errors import UserError

Named = tuple[Path, str]  # the folder of images, and a name as the data set has it


def refuse_shared(named: Iterable[Named], paths: Iterable[str], source: str | Path) -> None:
    """Refuse a file that names with different folders lead to, if it is in none of these folders or in one alone.

    Args:
        named: the names of all images.
        paths: the files of `resolve_image`, in the same order.
        source: what has the names, for the message.

    Raises:
        UserError: there is such a file; both names are told.
    """
    first: dict[str, Named] = {}
    for path, name in zip(paths, named, strict=True):
        before = first.setdefault(path, name)
        if before is not name and is_shared(path, before, name):
            raise UserError(f"{source}: {shared_in_words(path, before, name)}")


def is_shared(path: str | Path, first: Named, second: Named) -> bool:
    """Whether two names of a file are of different images; False for two spellings of one name."""
    places = [_written(*first), _written(*second)]
    own = os.path.dirname(os.path.abspath(path))
    return places[0] != places[1] and any(os.path.dirname(place) != own for place in places)


def shared_in_words(path: str | Path, first: Named, second: Named) -> str:
    """What is wrong with two names of a file, for messages."""
    return (
        f"{quoted(first[1])} and {quoted(second[1])} are both found as {quoted_path(path)}; put the images into the "
        "folders that the names have, or keep one of them"
    )


def doubt_of_shared(train: Sequence[str], other: Sequence[str], name: str) -> str | None:
    """What is doubtful about a set that has images of the training set, for messages; None if it has none.

    Args:
        train: paths of the images that are trained on.
        other: paths of the other set's images.
        name: of the other set.
    """
    shared = shared_with(train, other)
    if not shared:
        return None
    first, again = shared[0]
    same = os.path.abspath(first) == os.path.abspath(again)
    where = quoted_path(again) if same else f"{quoted_path(again)}, which is {quoted_path(first)}"
    return (
        f"{len(shared)} of the {len(other)} images of {name} are trained on as well (first: {where}), so its AP will "
        "be too high; take them out of one of the sets"
    )


def shared_with(train: Sequence[str], other: Sequence[str]) -> list[tuple[str, str]]:
    """The images of a set that the training set has, by whatever path; files of one name in two folders are two images.

    Args:
        train, other: paths of the images of both sets.

    Returns:
        The path in `train` and the path in `other` of each image of both, in the order of `other`.
    """
    known = {file: path for path in reversed(train) if (file := _identity(path)) is not None}
    return [(known[file], path) for path in other if (file := _identity(path)) in known]


def _identity(path: str) -> tuple[int, int] | str | None:
    """What all paths of a file have in common, links among them; None for a file that is not there."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return (found.st_dev, found.st_ino) if found.st_ino else os.path.realpath(path)  # some disks number no files


def _written(folder: Path, name: str) -> str:
    return os.path.abspath(os.path.join(folder, name.strip().replace("\\", "/")))
