"""What a config's `data` section holds, for a detector and for a classifier.

data = build_call(DetectionData, cfg.data)      # an unknown or missing key is named
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from resdet.data.annotations import DetectionDataset
from resdet.data.loading import Images, View
from resdet.data.transforms import Resizer
from resdet.metrics.voc_ap import Method


@dataclass(frozen=True)
class DetectionData:
    """Sets and how they are fed.

    Args:
        train, test: the data sets; `train` may be left out where nothing is trained.
        resizer: to the network's input, in training and at test.
        augment: albumentations transforms, see data/transforms.DetectionAugmentation.
        images: in one optimizer step, over all processes and accumulated passes.
        test_images: in a batch at test.
        workers: loader processes, for each training process.
        method: of the AP: "area" or "11-point".
    """

    test: DetectionDataset
    resizer: Resizer
    images: int
    train: DetectionDataset | None = None
    augment: Sequence[Any] = ()
    test_images: int = 1
    workers: int = 2
    method: Method = "area"


@dataclass(frozen=True)
class ClassificationData:
    """Sets and how they are fed.

    Args:
        train, test: the data sets.
        train_view, test_view: crops, see data/transforms.
        images: in one optimizer step, over all processes and accumulated passes; at test, in a batch.
        workers: loader processes, for each training process.
    """

    train: Images
    test: Images
    train_view: View
    test_view: View
    images: int
    workers: int = 2
