"""Run localizers over a whole test set, on all processes: the box of each image for each class that is asked for.

found = localize_all([model], data, run, labels, Test("dense", flip=True, vote=0.5))     # labels int64 [N, L]
found.boxes[0]                                                                            # float32 [N, L, 4]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from resdet.data.localization.loading import MappedBatch
from resdet.data.settings import LocalizationData
from resdet.engine.distributed import gather_objects, get_rank, get_world_size
from resdet.engine.precision import precision_context
from resdet.engine.run import Run
from resdet.errors import UserError
from resdet.localization.crop_regression import CropRegression
from resdet.localization.ensemble import unite
from resdet.localization.inference import Candidates, best_of, candidates_in, vote_for
from resdet.localization.views import View
from resdet.metrics.localization_error import Guesses
from resdet.recipes.localization.build import Localizer

Views = Literal["1-crop", "dense"]


@dataclass(frozen=True)
class Test:
    """How images are looked at.

    Args:
        views: the centre crop, or the whole image at several scales.
        flip: mirror images too.
        scales: of the dense test, as LocalizationData.scales; None: the data's.
        vote: as LocalizationData.vote; None: the data's.
    """

    views: Views = "1-crop"
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


class Located(NamedTuple):
    """Answers for all N images of a set, in its order."""

    boxes: list[np.ndarray]  # float32 [N, L, 4] of each localizer, in pixels of the images; of several also the union's
    sizes: np.ndarray  # int64 [N, 2], the (height, width) of each image

    def whole(self, labels: np.ndarray) -> Guesses:
        """The trivial answer: the whole image for each of `labels` int64 [N, L]."""
        boxes = np.zeros((*labels.shape, 4), np.float32)
        boxes[..., 2:] = self.sizes[:, None, ::-1]
        return Guesses(labels, boxes)


def localize_all(
    models: Sequence[Localizer], data: LocalizationData, run: Run, labels: np.ndarray, test: Test
) -> Located:
    """A box for each image and each of its classes `labels` int64 [N, L].

    Raises:
        UserError: a crop regression is to look at more than the crop.
    """
    if (test.views == "dense" or test.flip) and any(isinstance(model, CropRegression) for model in models):
        raise UserError(f"{test}: a crop regression has one box a view and no score to choose by; test it by 1-crop")
    vote = data.vote if test.vote is None else test.vote
    count, width = labels.shape
    answers = [np.zeros((count, width, 4), np.float32) for _ in range(len(models) + (len(models) > 1))]
    sizes = np.zeros((count, 2), np.int64)
    found: list[tuple[np.ndarray, np.ndarray, list[np.ndarray]]] = []
    for batches in _batches(data, run, test):
        views = [_view(batch.to(run.device)) for batch in batches]
        views += [view.mirrored() for view in views] if test.flip else []
        rows = batches[0].indices.numpy()
        wanted = torch.from_numpy(labels[rows]).to(run.device)
        with precision_context(run.precision, run.device):
            boxes = _locate(models, views, wanted, vote)
        found.append((rows, batches[0].image_sizes.numpy(), [part.float().cpu().numpy() for part in boxes]))
    for rows, seen, boxes in gather_objects(found):
        sizes[rows] = seen
        for answer, part in zip(answers, boxes, strict=True):
            answer[rows] = part
    return Located(answers, sizes)


def _locate(models: Sequence[Localizer], views: Sequence[View], labels: Tensor, vote: float | None) -> list[Tensor]:
    """[N, L, 4] of each model, then of all together."""
    found = [candidates_in(model, views, labels) for model in models]
    if len(found) == 1:
        best = [best_of(found[0], count=1, nms_iou=None)]
    else:
        proposals = [best_of(part) for part in found]
        best = [*proposals, unite(proposals, count=1, nms_iou=None)]
        found.append(Candidates.of_all(found))
    boxes = [part.best(views[0].image_sizes)[0] for part in best]
    if vote is None:
        return boxes
    return [vote_for(own, part.boxes, part.logits.sigmoid(), vote) for own, part in zip(boxes, found, strict=True)]


def _batches(data: LocalizationData, run: Run, test: Test) -> Iterator[list[MappedBatch]]:
    own = np.arange(get_rank(), len(data.test), get_world_size())
    if test.views == "1-crop":
        return data.one_crop(own, run.device)
    return data.dense(own, run.device, test.scales)


def _view(batch: MappedBatch) -> View:
    return View(batch.images, batch.scale, batch.offset, batch.image_sizes)
