"""The R-CNN stage at test (App. C): proposals of each given class, warped, rescored and refined; the best box a class.

    views = [WholeLocalizationImage(short) for short in (224, 288)]             # dense; [CenterLocalizationCrop(224)]
    found = rescore_all(rpn, rcnn, val, labels, views, run)                     # labels [I, L]: true class or top five
    found.boxes[i, k], found.scores[i, k]                                       # of class labels[i, k] on val's image i

Of several localizers the union proposes, of several R-CNN nets scores and boxes are means (localization/ensemble.py).
An image is decoded once: loader workers cut all of its views and hand on its pixels for the crops.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from resdet.data.localization.crops import LocalizedView, warped_crop
from resdet.data.localization.dataset import LocalizationDataset, LocalizedImage
from resdet.data.localization.loading import LocalizationView, MappedBatch, localization_views_loader
from resdet.engine.distributed import gather_objects, get_rank, get_world_size, name_a_lost_process
from resdet.engine.precision import precision_context
from resdet.engine.run import Run
from resdet.localization.ensemble import Mirrored, RCNNEnsemble, unite
from resdet.localization.inference import ClassProposals, Localizer, class_proposals, vote_for
from resdet.localization.rcnn import Combine, LocalizationRCNN, Refiner, rescore
from resdet.localization.views import View

OneOrSeveral = TypeVar("OneOrSeveral")

logger = logging.getLogger("resdet")


class Rescored(NamedTuple):
    """The best box of each given class of each image, in the data set's order."""

    boxes: np.ndarray  # float32 [I, L, 4], in pixels of the files; the whole image where nothing was proposed
    scores: np.ndarray  # float32 [I, L], probabilities


def rescore_all(
    model: Localizer | Sequence[Localizer],
    rcnn: LocalizationRCNN | Sequence[LocalizationRCNN],
    dataset: LocalizationDataset,
    labels: np.ndarray,
    views: Sequence[LocalizationView],
    run: Run,
    mirrored: bool = False,
    count: int = 200,
    nms_iou: float | None = 0.7,
    combine: Combine = "replace",
    vote: float | None = None,
    images: int = 8,
    workers: int = 2,
    threads: int = 4,
    chunk: int = 200,
) -> Rescored:
    """Each class's best box among its `count` proposals, rescored and refined; on all processes, each image once.

    A class that an image's labels have twice, the true one among the best five, is rescored once.

    Args:
        model: what proposes; of several the union.
        rcnn: what decides; of several the mean.
        dataset: the images.
        labels: int64 [I, L], the classes to look for in each image.
        views, count, nms_iou: as of the proposals that the R-CNN stage was trained on.
        mirrored: the localizers look at mirror images too, the R-CNN stages at mirrored crops.
        run: device, precision, processes.
        combine, chunk: as localization/rcnn.rescore's.
        vote: the best box becomes the mean, weighted by score, of all refined boxes with so large an IoU to it.
        images: looked at together by the localizers, those of one shape at once.
        workers: loader processes.
        threads: that warp crops.
    """
    if len(labels) != len(dataset):
        raise ValueError(f"labels of {len(labels)} images for a set of {len(dataset)}")
    models, nets = listed(model), listed(rcnn)
    for net in nets:
        net.eval()  # propose() does it for the localizers
    refiners: list[Refiner] = [*nets, *(map(Mirrored, nets) if mirrored else ())]
    stage = refiners[0] if len(refiners) == 1 else RCNNEnsemble(refiners)
    own = np.arange(get_rank(), len(dataset), get_world_size())
    pin = run.device.type == "cuda"
    loader = localization_views_loader(dataset, [*views, AsDecoded()], own, images, workers, pin)
    found, started = [], time.perf_counter()
    with ThreadPoolExecutor(threads) as pool, _single_threaded_opencv():
        warp = partial(warp_together, pool, threads)
        for *seen, decoded in loader:
            rows = decoded.indices.numpy()
            classes = torch.from_numpy(labels[rows]).to(run.device)
            with precision_context(run.precision, run.device):
                proposals = propose(models, [batch.to(run.device) for batch in seen], classes, mirrored, count, nms_iou)
                answers = _rescore(stage, decoded, proposals, classes, combine, chunk, warp)
            boxes, scores = answers.best(decoded.image_sizes.to(run.device))
            if vote is not None:
                boxes = vote_for(boxes, answers.boxes, answers.scores, vote)
            found.append((rows, boxes.cpu().numpy(), scores.cpu().numpy()))
    logger.info("rescored %d images, %.2f s an image", len(own), (time.perf_counter() - started) / max(1, len(own)))
    with name_a_lost_process():
        return _in_order(gather_objects(found), labels.shape)


def propose(
    models: Sequence[Localizer],
    batches: Sequence[MappedBatch],
    labels: Tensor,
    mirrored: bool = False,
    count: int = 200,
    nms_iou: float | None = 0.7,
) -> ClassProposals:
    """The best boxes of classes `labels` int64 [N, L] of N images, of which each batch has a view."""
    for model in models:
        if isinstance(model, nn.Module):
            model.eval()
    views = [View(batch.images, batch.scale, batch.offset, batch.image_sizes) for batch in batches]
    views += [view.mirrored() for view in views] if mirrored else []
    found = [class_proposals(model, views, labels, count, nms_iou) for model in models]
    return found[0] if len(found) == 1 else unite(found, count, nms_iou)


class AsDecoded:
    """A view for the loaders: the image's pixels as they are, smaller than the file's where the set has `decode_to`."""

    def __call__(self, item: LocalizedImage, seed: int = 0, epoch: int = 0) -> LocalizedView:
        """Everything there is to see."""
        scale = np.tile(np.array(item.image.shape[1::-1]) / item.size[::-1], 2)
        return LocalizedView(item.image, item.boxes, scale, np.zeros(4))


def _rescore(
    stage: Refiner,
    decoded: MappedBatch,
    proposals: ClassProposals,
    labels: Tensor,
    combine: Combine,
    chunk: int,
    warp: partial[Tensor],
) -> ClassProposals:
    """localization/rcnn.rescore, whose images and proposals have the same pixels, where proposals are in the files'."""
    scale = decoded.scale[:, None, None].to(labels.device)
    first = (labels[:, :, None] == labels[:, None]).int().argmax(-1)  # [N, L], of each class its first place
    own = first == torch.arange(labels.shape[1], device=labels.device)
    proposals = proposals._replace(boxes=proposals.boxes * scale, valid=proposals.valid & own[..., None])
    answers = rescore(stage, list(decoded.images), proposals, labels, combine, chunk, warp)
    answers = answers._replace(boxes=answers.boxes / scale)
    image = torch.arange(len(labels), device=labels.device)[:, None]
    return ClassProposals(*(column[image, first] for column in answers))


def warp_together(pool: Executor, threads: int, image: Tensor, regions: Tensor, size: int, context: float) -> Tensor:
    """As localization/regions.warp_regions, by what warped the crops of the training (data/localization/regions.py).

    `image` uint8 [3, H, W] on the CPU, `regions` [B, 4] where the crops are wanted.
    """
    pixels, boxes = image.permute(1, 2, 0).numpy(), regions.cpu().numpy()
    crops = np.empty((len(boxes), size, size, 3), np.uint8)

    def warp(first: int) -> None:
        for b in range(first, len(boxes), threads):
            crops[b] = warped_crop(pixels, boxes[b], size, context)

    list(pool.map(warp, range(threads)))  # the list: what a thread raises is raised here
    return torch.from_numpy(crops).permute(0, 3, 1, 2).to(regions.device)


def listed(models: OneOrSeveral | Sequence[OneOrSeveral]) -> list[OneOrSeveral]:
    """A list, of one too."""
    return list(models) if isinstance(models, Sequence) else [models]


@contextmanager
def _single_threaded_opencv() -> Iterator[None]:
    """A crop is too little for OpenCV's own threads, which would fight with ours."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(0)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _in_order(found: list[tuple[np.ndarray, np.ndarray, np.ndarray]], shape: tuple[int, ...]) -> Rescored:
    whole = Rescored(np.zeros((*shape, 4), np.float32), np.zeros(shape, np.float32))
    for indices, boxes, scores in found:
        whole.boxes[indices], whole.scores[indices] = boxes, scores
    return whole
