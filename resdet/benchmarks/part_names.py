"""The parts in which our Faster R-CNN and torchvision's differ: what ours has, or torchvision's.

The help of `resdet benchmark` shows them, so that nothing is imported here.
"""

from __future__ import annotations

PARTS = {
    "siblings": "the two output layers of the region head: initialized by siblings_std, or as nn.Linear does",
    "align": "RoIAlign: the config's, or 2x2 samples per bin and cell i at pixel 16 i (aligned=False)",
    "anchors": "anchor sides as they are, or rounded to whole pixels",
    "padding": "without effect, or to multiples of 32, with features and negative anchors outside of the image",
    "resize": "by area below half the size, or bilinear always and sizes rounded down",
    "order": "the two images of a step both wider than high or both not, or any two",
}
