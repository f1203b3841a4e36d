"""The folder that a test of weights writes its log to."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from resdet.errors import UserError
from resdet.weights.hub import hub_file, is_downloaded
from resdet.weights.read import split_origin
from resdet.weights.zoo import find


def folder_of(checkpoint: Path) -> Path:
    """The folder of a file of weights, where a test's log goes.

    It is a temporary one for weights that are downloaded, or whose folder may not be written to.

    Raises:
        UserError: there is no such file.
    """
    name = split_origin(str(checkpoint))[1]
    if (of_hub := hub_file(name)) is not None:
        return Path(tempfile.mkdtemp(prefix=f"{of_hub.repo.partition('/')[2]}-"))
    if (published := find(name)) is not None:
        return Path(tempfile.mkdtemp(prefix=f"{published.place.stem}-"))
    if Path(name).is_dir():
        raise UserError(f"{checkpoint} is a folder; give a checkpoint in it, such as last.pth")
    if not Path(name).is_file():
        raise UserError(f"{checkpoint}: no such checkpoint; train one, or give the path of last.pth in a run")
    folder = Path(name).parent
    writable = os.access(folder, os.W_OK, effective_ids=os.access in os.supports_effective_ids)
    if writable and not is_downloaded(Path(name)):
        return folder
    return Path(tempfile.mkdtemp(prefix=f"{Path(name).stem}-"))
