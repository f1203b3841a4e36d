"""torchvision's compiled operators without the import of torchvision.

    load_operators(boxes)
    keep = torch.ops.torchvision.nms(boxes, scores, iou)

``import torchvision`` imports its detectors, which import torch's compiler: longer than all that `resdet predict` does
with one photograph. The library of the operators alone is loaded in milliseconds; what it lacks, the shapes of their
results for tensors without values, is needed by torch.compile, torch.export and fake tensors alone.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec

import torch
from torch import Tensor

LIBRARIES = ("_C_stable", "_C")  # since torchvision 0.29, and before


def load_operators(example: Tensor) -> None:
    """Make `torch.ops.torchvision` usable; torchvision is imported where its library is not found or not loaded.

    Args:
        example: one of the tensors that they are for.
    """
    if torch.compiler.is_compiling() or type(example) is not Tensor or not _is_loaded():
        import torchvision  # noqa: F401  # torch.compile runs an import statement, and would trace anything else


@cache
def _is_loaded() -> bool:
    return "torchvision" in sys.modules or _load_library()


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
