"""Object detection as in "Deep Residual Learning for Image Recognition" (He et al., 2015).

import resdet
figures = resdet.train("mine.py", "runs/mine")              # a config of one's own data: docs/OWN_DATA.md
detector = resdet.load_detector("runs/mine/last.pth")
detections = detector("photo.jpg")        # .boxes [N, 4]  .scores [N]  .labels [N], in pixels of the photo
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing's, without the import: a process that starts imports this file first
if TYPE_CHECKING:
    from typing import Any

    from resdet.recipes.detection.detector import load_detector
    from resdet.recipes.sections import load_config
    from resdet.recipes.tasks import evaluate, train
    from resdet.structures import Detections

__all__ = ["Detections", "evaluate", "load_config", "load_detector", "train"]
__version__ = "0.1.0"

_MODULES = {
    "Detections": "structures",
    "evaluate": "recipes.tasks",
    "load_config": "recipes.sections",
    "load_detector": "recipes.detection.detector",
    "train": "recipes.tasks",
}


def __dir__() -> list[str]:
    """The public names too, for completion; they are imported when they are first used."""
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import resdet.boxes` does not import OpenCV."""
    from importlib import import_module

    from resdet.errors import missing_library

    if name not in _MODULES:
        raise AttributeError(f"module 'resdet' has no attribute '{name}'")
    try:
        return getattr(import_module(f"resdet.{_MODULES[name]}"), name)
    except ImportError as error:
        if (line := missing_library(error)) is not None:
            raise ImportError(line) from error
        raise
