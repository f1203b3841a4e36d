"""torchvision's compiled operators without the import of torchvision.

    load_operators()
    keep = torch.ops.torchvision.nms(boxes, scores, iou)

``import torchvision`` imports its detectors, which import torch's compiler: longer than all that `resdet predict` does
with one photograph. The library of the operators alone is loaded in milliseconds.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec

import torch

LIBRARIES = ("_C_stable", "_C")  # since torchvision 0.29, and before


@cache
def load_operators() -> None:
    """Make `torch.ops.torchvision` usable; torchvision is imported where its library is not found or not loaded."""
    if "torchvision" in sys.modules or _load_library():
        return
    import torchvision  # noqa: F401


def _load_library() -> bool:
    package = find_spec("torchvision")
    folders = list(package.submodule_search_locations or []) if package else []
    for name in LIBRARIES:
        library = PathFinder.find_spec(name, folders)
        if library is None or library.origin is None:
            continue
        try:
            torch.ops.load_library(library.origin)  # type: ignore[no-untyped-call]
        except OSError:
            return False
        return hasattr(torch.ops.torchvision, "nms")
    return False
