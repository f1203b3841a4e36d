"""The parts in which our Faster R-CNN and torchvision's differ: first ours, then torchvision's.

The help of `resdet benchmark` shows them, so nothing heavy is imported here.
"""

from __future__ import annotations

PARTS = {
    "siblings": "the two output layers of the region head: initialized by siblings_std, or as nn.Linear does",
    "align": "RoIAlign: the config's, or 2x2 samples per bin and cell i at pixel 16 i (aligned=False)",
    "anchors": "anchor sides not rounded, or rounded to whole pixels",
    "padding": "without effect, or to multiples of 32, with features and negative anchors outside of the image",
    "resize": "averaged over areas below half the size, or always bilinear and sizes rounded down",
    "order": "the two images of a step are both landscape or both portrait, or any two images",
}
