"""Run localizers on a whole test set, on all processes: a box for each given class of each image.

    mode = InferenceMode("dense", flip=True, vote=0.5)
    found = localize_all([model], data, run, labels, mode)      # labels int64 [N, L]
    found.boxes[0]                                              # float32 [N, L, 4]

Shapes: N images of the test set, L classes per image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from resdet.data.localization.settings import LocalizationData, TestCrops
from resdet.engine.distributed import gather_objects, get_rank, get_world_size
from resdet.engine.precision import precision_context
from resdet.engine.run import Run
from resdet.errors import UserError
from resdet.localization.crop_regression import CropRegression
from resdet.localization.crops import MappedCrops
from resdet.localization.ensemble import unite
from resdet.localization.inference import Candidates, find_candidates, top_proposals, vote_for
from resdet.metrics.localization_error import Guesses
from resdet.recipes.localization.build import Localizer
from resdet.structures import MappedBatch


@dataclass(frozen=True)
class InferenceMode:
    """How localizers are tested; ``str(mode)`` names it in tables.

    Args:
        views: "1-crop" for the centre crop, "dense" for whole images at several scales.
        flip: use mirror images too.
        scales: short sides in pixels of the dense test, given for 224-pixel crops; None: LocalizationData's.
        vote: IoU of box voting (localization/inference.vote_for); None: LocalizationData's.

    Raises:
        UserError: `scales` or `vote` is out of its range.
    """

    views: TestCrops = "1-crop"
    flip: bool = False
    scales: tuple[int, ...] | None = None
    vote: float | None = None

    def __post_init__(self) -> None:
        if self.scales is not None and (not self.scales or min(self.scales) < 1):
            raise UserError(f"scales {list(self.scales)}: give short sides in pixels, each 1 or more")
        if self.vote is not None and not 0 < self.vote <= 1:
            raise UserError(f"vote {self.vote}: give an IoU above 0 and up to 1")

    def __str__(self) -> str:
        more = ["flips"] * self.flip + ["voting"] * (self.vote is not None)
        return f"{self.views} with {' and '.join(more)}" if more else self.views


class LocalizedBoxes(NamedTuple):
    """Predicted boxes of all N images of a set, in its order."""

    boxes: list[np.ndarray]  # float32 [N, L, 4] for each localizer, in image pixels; with several, the ensemble's last
    sizes: np.ndarray  # int64 [N, 2], (height, width) of each image

    def whole_images(self, labels: np.ndarray) -> Guesses:
        """The trivial prediction: the whole image for each of `labels` int64 [N, L]."""
        boxes = np.zeros((*labels.shape, 4), np.float32)
        boxes[..., 2:] = self.sizes[:, None, ::-1]
        return Guesses(labels, boxes)


def localize_all(
    models: Sequence[Localizer], data: LocalizationData, run: Run, labels: np.ndarray, mode: InferenceMode
) -> LocalizedBoxes:
    """The best box of each image for each of its classes.

    Args:
        models: localizers in eval mode, on the run's device.
        data: whose test set is used.
        run: device, precision and processes.
        labels: int64 [N, L], the classes to localize in each image.
        mode: crops, flips and voting.

    Raises:
        UserError: a crop regression is to be tested densely or with flips.
    """
    if (mode.views == "dense" or mode.flip) and any(isinstance(model, CropRegression) for model in models):
        raise UserError(f"{mode}: a crop regression has one box per crop and no score to choose by; test it by 1-crop")
    vote = data.vote if mode.vote is None else mode.vote
    count, width = labels.shape
    boxes_of_all = [np.zeros((count, width, 4), np.float32) for _ in range(len(models) + (len(models) > 1))]
    sizes = np.zeros((count, 2), np.int64)
    found: list[tuple[np.ndarray, np.ndarray, list[np.ndarray]]] = []
    for batches in _batches(data, run, mode):
        crops = [MappedCrops.of_batch(batch.to(run.device)) for batch in batches]
        crops += [part.mirrored() for part in crops] if mode.flip else []
        rows = batches[0].indices.numpy()
        wanted = torch.from_numpy(labels[rows]).to(run.device)
        with precision_context(run.precision, run.device):
            boxes = _locate(models, crops, wanted, vote)
        found.append((rows, batches[0].image_sizes.numpy(), [part.float().cpu().numpy() for part in boxes]))
    for rows, seen, own in gather_objects(found):
        sizes[rows] = seen
        for whole, part in zip(boxes_of_all, own, strict=True):
            whole[rows] = part
    return LocalizedBoxes(boxes_of_all, sizes)


def _locate(
    models: Sequence[Localizer], crops: Sequence[MappedCrops], labels: Tensor, vote: float | None
) -> list[Tensor]:
    """Boxes [N, L, 4] of each model, then of the ensemble if there are several."""
    found = [find_candidates(model, crops, labels) for model in models]
    if len(found) == 1:
        best = [top_proposals(found[0], count=1, nms_iou=None)]
    else:
        proposals = [top_proposals(part) for part in found]
        best = [*proposals, unite(proposals, count=1, nms_iou=None)]
        found.append(Candidates.of_all(found))
    boxes = [part.best(crops[0].image_sizes)[0] for part in best]
    if vote is None:
        return boxes
    return [vote_for(own, part.boxes, part.logits.sigmoid(), vote) for own, part in zip(boxes, found, strict=True)]


def _batches(data: LocalizationData, run: Run, mode: InferenceMode) -> Iterator[list[MappedBatch]]:
    own = np.arange(get_rank(), len(data.test), get_world_size())
    if mode.views == "1-crop":
        return data.one_crop(own, run.device)
    return data.dense(own, run.device, mode.scales)
