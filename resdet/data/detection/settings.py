"""The `data` section of a detector's config.

data = build_call(DetectionData, cfg.data)      # an unknown or missing key is an error that names it
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from resdet.data.detection.annotations import DetectionDataset
from resdet.data.transforms import Resizer
from resdet.errors import UserError
from resdet.ranges import Count, Natural

# How AP is computed: VOC's area under the curve (2010 on), VOC's 11 points (2007), ImageNet DET's rule, COCO's.
Rule = Literal["area", "11-point", "ilsvrc", "coco"]


@dataclass(frozen=True)
class DetectionData:
    """Data sets of a detector and how they are loaded.

    Args:
        train, test: the data sets; `train` may be left out where nothing is trained.
        resizer: to the network input's size, in training and at test.
        train_scales: short sides in pixels for multi-scale training, one of which is drawn per training image; ()
            trains at the resizer's size alone, as the paper does.
        augment: albumentations transforms (data/transforms.DetectionAugmentation).
        images: images per optimizer step, over all processes and accumulated passes.
        group_aspects: make each training step of landscape images alone or of portrait images alone, to save padding.
        test_images: images per batch at test.
        workers: loader processes per training process.
        method: how AP is computed: "area" or "11-point" by VOC's rules, "ilsvrc" by ImageNet DET's, "coco" by COCO's.
        skip_unreadable: in training, use the next readable image for one that cannot be read, with a warning
            (data/unreadable.py). At test every image counts.

    Raises:
        UserError: an unknown `method`.
    """

    test: DetectionDataset
    resizer: Resizer
    images: Count
    train: DetectionDataset | None = None
    train_scales: Sequence[Count] = ()
    augment: Sequence[Any] = ()
    group_aspects: bool = True
    test_images: Count = 1
    workers: Natural = 2
    method: Rule = "area"
    skip_unreadable: bool = False

    @property
    def train_resizers(self) -> list[Resizer]:
        """The resizers of which one is drawn per training image."""
        return [self.resizer.at(short) for short in self.train_scales] or [self.resizer]

    def __post_init__(self) -> None:
        if self.method not in get_args(Rule):
            raise UserError(f"data.method is {self.method!r}: give one of {', '.join(get_args(Rule))}")
