"""Object detection as in "Deep Residual Learning for Image Recognition" (He et al., 2015).

import resdet
detector = resdet.load_detector("configs/voc07_r101.py", "runs/voc07_r101/best.pth")
detections = detector("photo.jpg")        # .boxes [N, 4]  .scores [N]  .labels [N], in pixels of the photo
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resdet.recipes.detection.detector import load_detector

__all__ = ["load_detector"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import `load_detector` when it is first used, so that `import resdet.boxes` does not import OpenCV."""
    if name == "load_detector":
        from resdet.recipes.detection.detector import load_detector

        return load_detector
    raise AttributeError(f"module 'resdet' has no attribute '{name}'")
