"""The data sets of a folder, so that they can be checked before there is a config.

problems = inspect_data(sets_of_folder(Path("data/export")), Path("inspection"))
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from resdet.data.detection.recognition import recognize
from resdet.data.detection.recognized import Source, choose_sets
from resdet.data.detection.voc import VOCDataset


def sets_of_folder(path: Path) -> dict[str, dict[str, Any]]:
    """Type and arguments of the data sets of a folder by their names, the training set first; prints what it is.

    Sets that are parts of the training set, as train and val beside trainval, are left out.

    Args:
        path: see data/detection/recognition.open_dataset.

    Raises:
        UserError: the data set is not recognized.
    """
    found = recognize(path)
    train, _ = choose_sets(found)
    sets = {name: source for name, source in found.sets.items() if source is not train}
    first = next(name for name, source in found.sets.items() if source is train)
    if first == "trainval":
        sets = {name: source for name, source in sets.items() if name not in ("train", "val")}
    print(f"{path}: {found.what}, {', '.join((first, *sets))}")
    return {first: _node(train), **{name: _node(source) for name, source in sets.items()}}


def _node(source: Source) -> dict[str, Any]:
    classes = {"classes": None} if source.kind is VOCDataset else {}
    return {"type": source.kind, **source.values, **classes}
