"""resdet: the detection half of "Deep Residual Learning for Image Recognition" (He et al., 2015).

import resdet
detector = resdet.load_detector("configs/voc07_r101.py", "runs/voc07_r101/best.pth")
detections = detector("photo.jpg")        # .boxes [N, 4]  .scores [N]  .labels [N], in the photo's own pixels
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resdet.recipes.detection.predict import load_detector

__all__ = ["load_detector"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load what is asked for and not before: ``import resdet.boxes`` should not import OpenCV."""
    if name == "load_detector":
        from resdet.recipes.detection.predict import load_detector

        return load_detector
    raise AttributeError(f"module 'resdet' has no attribute '{name}'")
