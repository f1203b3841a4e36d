"""Object detection as in "Deep Residual Learning for Image Recognition" (He et al., 2015).

import resdet
figures = resdet.train("mine.py", "runs/mine")              # a config of one's own data: docs/OWN_DATA.md
detector = resdet.load_detector("runs/mine/last.pth")
detections = detector("photo.jpg")        # .boxes [N, 4]  .scores [N]  .labels [N], in pixels of the photo
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import resdet.boxes` does not import OpenCV."""
    if name in _MODULES:
        return getattr(import_module(f"resdet.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'resdet' has no attribute '{name}'")
