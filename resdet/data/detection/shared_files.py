"""Image files that two names of a data set lead to, because the folders in the names are not there.

    refuse_shared([(folder, "cam1/1.jpg"), (folder, "cam2/1.jpg")], ["photos/1.jpg", "photos/1.jpg"], "labels.json")

`resolve_image` looks for such names below the folder of images; one photograph would get the boxes of both.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
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


def _written(folder: Path, name: str) -> str:
    return os.path.abspath(os.path.join(folder, name.strip().replace("\\", "/")))
