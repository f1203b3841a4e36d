"""The R-CNN stage at test (App. C): proposals of localizers are warped, scored and refined; the best box per class.

    spec = ProposalSpec([ShortSideWithBoxes(short) for short in (224, 288)])   # dense
    settings = RescoreSettings(rules=("odds", "keep"))                         # several final scores in one pass
    found = rescore_all([rpn], [rcnn], val, labels, spec, run, settings)       # labels [I, L]: true class or top five
    found["odds"].boxes[i, k], found["odds"].scores[i, k]                      # of class labels[i, k] in image i

Several localizers give the union of their proposals, several R-CNN nets the means of scores and boxes
(localization/ensemble.py). An image is decoded once: the loader's workers cut all crops for the localizers and pass on
the image itself for the warped crops of the R-CNN stage.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from resdet.data.localization.crops import CropWithBoxes, warped_crop
from resdet.data.localization.dataset import LocalizationDataset, LocalizedImage
from resdet.data.localization.loading import localization_eval_loader
from resdet.engine.distributed import explain_lost_process, gather_objects, get_rank, get_world_size
from resdet.engine.precision import precision_context
from resdet.engine.run import Run
from resdet.localization.ensemble import Mirrored, RCNNEnsemble
from resdet.localization.inference import CandidateModel, ClassProposals, vote_for
from resdet.localization.rcnn import Combine, LocalizationRCNN, Refiner, rescore
from resdet.recipes.localization.rcnn_proposals import ProposalSpec, propose
from resdet.structures import MappedBatch

logger = logging.getLogger("resdet")


@dataclass(frozen=True)
class RescoreSettings:
    """How proposals are rescored.

    Args:
        rules: how the final score is made of the RPN's and the R-CNN's (localization/rcnn.rescore); boxes are cropped
            and scored once for all rules.
        vote: box voting: replace each best box by the score-weighted mean of all refined boxes of its class with at
            least this IoU to it; None for no voting.
        batch_size: images per batch of the localizers; those whose crops have the same shapes are processed together.
        workers: loader processes.
        threads: threads that warp crops.
        chunk: warped crops per forward pass.
    """

    rules: Sequence[Combine] = ("replace",)
    vote: float | None = None
    batch_size: int = 8
    workers: int = 2
    threads: int = 4
    chunk: int = 200


class Rescored(NamedTuple):
    """The best box of each given class of each image, in the data set's order."""

    boxes: np.ndarray  # float32 [I, L, 4], in pixels of the image files; the whole image where nothing was proposed
    scores: np.ndarray  # float32 [I, L], probabilities


def rescore_all(
    models: Sequence[CandidateModel],
    rcnns: Sequence[LocalizationRCNN],
    dataset: LocalizationDataset,
    labels: np.ndarray,
    spec: ProposalSpec,
    run: Run,
    settings: RescoreSettings | None = None,
) -> dict[Combine, Rescored]:
    """Find each class's best box among its proposals after the R-CNN stage, by each rule. Processes share the images.

    A class that an image has twice in `labels`, as the true one and among the top five, is rescored once.

    Args:
        models: localizers; with several, the union of their proposals.
        rcnns: R-CNN stages; with several, the means of their scores and boxes.
        dataset: the images.
        labels: int64 [I, L], the classes to localize in each image.
        spec: the proposals, as in the R-CNN stage's training; if mirrored, the R-CNN stages see mirrored crops too.
        run: device, precision and processes.
        settings: rules of the final score, voting and batches.

    Raises:
        ValueError: `labels` and the data set have different numbers of images.
    """
    if len(labels) != len(dataset):
        raise ValueError(f"labels of {len(labels)} images for a set of {len(dataset)}")
    settings, stage = settings or RescoreSettings(), _stage(rcnns, spec.mirrored)
    mine = np.arange(get_rank(), len(dataset), get_world_size())
    crops = [*spec.crops, DecodedImage()]
    pin = run.device.type == "cuda"
    loader = localization_eval_loader(dataset, crops, mine, settings.batch_size, settings.workers, pin)
    found: dict[Combine, list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = {rule: [] for rule in settings.rules}
    started = time.perf_counter()
    with ThreadPoolExecutor(settings.threads) as pool, _single_threaded_opencv():
        warp = partial(warp_in_threads, pool, settings.threads)
        for *batches, decoded in loader:
            rows = decoded.indices.numpy()
            classes = torch.from_numpy(labels[rows]).to(run.device)
            with precision_context(run.precision, run.device):
                proposals = propose(models, [batch.to(run.device) for batch in batches], classes, spec)
                by_rule = _rescore(stage, decoded, proposals, classes, settings, warp)
            for rule, rescored in by_rule.items():
                found[rule].append((rows, *_best(rescored, decoded.image_sizes.to(run.device), settings.vote)))
    logger.info("rescored %d images, %.2f s per image", len(mine), (time.perf_counter() - started) / max(1, len(mine)))
    with explain_lost_process():
        return {rule: _in_order(gather_objects(own), labels.shape) for rule, own in found.items()}


def _best(rescored: ClassProposals, sizes: Tensor, vote: float | None) -> tuple[np.ndarray, np.ndarray]:
    """The best box [N, L, 4] of each class, voted for if `vote` gives an IoU, and its score [N, L]."""
    boxes, scores = rescored.best(sizes)
    if vote is not None:
        boxes = vote_for(boxes, rescored.boxes, rescored.scores, vote)
    return boxes.cpu().numpy(), scores.cpu().numpy()


class DecodedImage:
    """A crop transform that returns the decoded image, which is smaller than the file's if the set has `decode_to`."""

    def __call__(self, item: LocalizedImage, seed: int = 0, epoch: int = 0) -> CropWithBoxes:
        """The whole image; seed and epoch are ignored."""
        scale = np.tile(np.array(item.image.shape[1::-1]) / item.size[::-1], 2)
        return CropWithBoxes(item.image, item.boxes, scale, np.zeros(4))


def warp_in_threads(pool: Executor, threads: int, image: Tensor, regions: Tensor, size: int, context: float) -> Tensor:
    """Warped crops uint8 [B, 3, size, size], by the function that makes the training's crops, in several threads.

    Args:
        pool, threads: run the warps.
        image: uint8 [3, H, W], on the CPU.
        regions: [B, 4], in pixels of the image; the crops are returned on their device.
        size, context: see data/localization/crops.warped_crop.
    """
    pixels, boxes = image.permute(1, 2, 0).numpy(), regions.cpu().numpy()
    crops = np.empty((len(boxes), size, size, 3), np.uint8)

    def warp(first: int) -> None:
        for b in range(first, len(boxes), threads):
            crops[b] = warped_crop(pixels, boxes[b], size, context)

    list(pool.map(warp, range(threads)))  # list() raises a thread's exception here
    return torch.from_numpy(crops).permute(0, 3, 1, 2).to(regions.device)


def _stage(rcnns: Sequence[LocalizationRCNN], mirrored: bool) -> Refiner:
    """One Refiner of all R-CNN nets, each also with mirrored crops if `mirrored`."""
    for rcnn in rcnns:
        rcnn.eval()
    refiners: list[Refiner] = [*rcnns, *(map(Mirrored, rcnns) if mirrored else ())]
    return refiners[0] if len(refiners) == 1 else RCNNEnsemble(refiners)


def _rescore(
    stage: Refiner,
    decoded: MappedBatch,
    proposals: ClassProposals,
    labels: Tensor,
    settings: RescoreSettings,
    warp: partial[Tensor],
) -> dict[Combine, ClassProposals]:
    """Rescore proposals, which are in pixels of the files, on the decoded images, which may be smaller."""
    scale = decoded.scale[:, None, None].to(labels.device)
    first = (labels[:, :, None] == labels[:, None]).int().argmax(-1)  # [N, L], where each class occurs first
    own = first == torch.arange(labels.shape[1], device=labels.device)
    proposals = proposals._replace(boxes=proposals.boxes * scale, valid=proposals.valid & own[..., None])
    by_rule = rescore(stage, list(decoded.images), proposals, labels, settings.rules, settings.chunk, warp)
    image = torch.arange(len(labels), device=labels.device)[:, None]
    return {
        rule: ClassProposals(*(column[image, first] for column in found._replace(boxes=found.boxes / scale)))
        for rule, found in by_rule.items()
    }


@contextmanager
def _single_threaded_opencv() -> Iterator[None]:
    """Disable OpenCV's own threads: a crop is too small for them, and they would compete with ours."""
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
