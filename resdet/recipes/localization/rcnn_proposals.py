"""Proposals of localizers for the R-CNN stage (App. C): for a batch, or cached on disk for a whole training set.

    spec = ProposalSpec([ShortSideWithBoxes(short) for short in (224, 288)])       # dense; count=200
    proposals = propose([rpn], batches, labels, spec)                              # N images, one batch per crop
    cache = cache_proposals([rpn], train, spec, work_dir / "2_proposals", run)     # of each image's true class
    cache.boxes[i], cache.scores[i], cache.valid[i]                                # [200, 4], [200], [200] of image i

Parts of the cache that exist are reused (proposal_files.py). For ImageNet's 544,546 images with boxes it has 2.3 GB.
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from resdet.data.localization.dataset import LocalizationDataset
from resdet.data.localization.loading import CropWithBoxesTransform, localization_eval_loader
from resdet.data.localization.regions import ProposalCache
from resdet.data.unreadable import MOST_SKIPPED
from resdet.engine.distributed import explain_lost_process, gather_objects, get_rank, get_world_size, is_main_process
from resdet.engine.precision import precision_context
from resdet.engine.run import Run
from resdet.errors import UserError
from resdet.localization.crops import MappedCrops
from resdet.localization.ensemble import unite
from resdet.localization.inference import CandidateModel, ClassProposals, class_proposals
from resdet.recipes.localization.proposal_files import ProposalFiles
from resdet.structures import MappedBatch

logger = logging.getLogger("resdet")


@dataclass(frozen=True)
class ProposalSpec:
    """How the proposals of an image are computed.

    Args:
        crops: the crops of each image that the localizers are run on.
        mirrored: also run on the mirror image of each crop.
        count: R, proposals kept per class.
        nms_iou: IoU threshold of NMS over all crops; None for no NMS.
    """

    crops: Sequence[CropWithBoxesTransform]
    mirrored: bool = False
    count: int = 200
    nms_iou: float | None = 0.7


@dataclass(frozen=True)
class CacheSettings:
    """How a cache is computed.

    Args:
        batch_size: images per batch; those whose crops have the same shapes are processed together. A divisor of
            `part` keeps batches within a part, so that a resumed run gives the same bits as an uninterrupted one.
        workers: loader processes.
        part: images per part file.
        skip_unreadable: an unreadable image gets no proposals, and a warning counts such images; more than
            `MOST_SKIPPED` of them in a part are an error.
    """

    batch_size: int = 40
    workers: int = 2
    part: int = 1000
    skip_unreadable: bool = False


def propose(
    models: Sequence[CandidateModel], batches: Sequence[MappedBatch], labels: Tensor, spec: ProposalSpec
) -> ClassProposals:
    """Proposals [N, L, R] in N images for the classes `labels` int64 [N, L]; with several localizers their union.

    Args:
        models: localizers; they are put in eval mode.
        batches: one per crop of `spec`, of the same images in the same order, on the models' device.
        labels: int64 [N, L].
        spec: crops and number of proposals.
    """
    for model in models:
        if isinstance(model, nn.Module):
            model.eval()
    crops = [MappedCrops.of_batch(batch) for batch in batches]
    crops += [part.mirrored() for part in crops] if spec.mirrored else []
    found = [class_proposals(model, crops, labels, spec.count, spec.nms_iou) for model in models]
    return found[0] if len(found) == 1 else unite(found, spec.count, spec.nms_iou)


def cache_proposals(
    models: Sequence[CandidateModel],
    dataset: LocalizationDataset,
    spec: ProposalSpec,
    folder: str | Path,
    run: Run,
    settings: CacheSettings | None = None,
) -> ProposalCache:
    """Compute the proposals of each image's true class, on disk. All processes share the work and must see `folder`.

    Args:
        models: localizers; with several, the union of their proposals.
        dataset: with or without boxes; the cache is in its order.
        spec: crops and number of proposals.
        folder: of this cache alone.
        run: device, precision and processes.
        settings: batches and part files.

    Raises:
        UserError: the folder has proposals of another checkpoint, data set or setting, or cannot be written.
    """
    settings = settings or CacheSettings()
    files = ProposalFiles(Path(folder), _manifest(models, dataset, spec, settings))
    with explain_lost_process():
        # The main process looks for all: the others might look when something has already been written.
        [missing, *_] = gather_objects([files.missing() if is_main_process() else None])
        own = (missing or [])[get_rank() :: get_world_size()]
        if own:
            order = np.concatenate([files.images_of(part) for part in own])
            loader = localization_eval_loader(
                dataset, spec.crops, order, settings.batch_size, settings.workers, run.device.type == "cuda",
                settings.skip_unreadable,
            )  # fmt: skip
            _fill_parts(models, loader, spec, files, run)
        gather_objects([])  # all parts exist
        if is_main_process():
            files.finish(join=missing is not None)
        gather_objects([])
    cache = files.open()
    _warn_of_unreadable(cache, dataset, files.folder)
    return cache


def weights_digest(models: Sequence[nn.Module]) -> str:
    """SHA-256 of all parameters and buffers, which identifies a trained localizer."""
    digest = hashlib.sha256()
    for model in models:
        for name, tensor in model.state_dict().items():
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _manifest(
    models: Sequence[CandidateModel], dataset: LocalizationDataset, spec: ProposalSpec, settings: CacheSettings
) -> dict[str, Any]:
    """The values that identify the proposals of a cache."""
    return {
        "checkpoint": weights_digest(cast(Sequence[nn.Module], models)),
        "images": len(dataset),
        "list": _list_digest(dataset),
        "decode_to": dataset.images.decode_to,
        "crops": [_describe(crop) for crop in spec.crops],
        "mirrored": spec.mirrored,
        "count": spec.count,
        "nms_iou": spec.nms_iou,
        "part": settings.part,
    }


def _list_digest(dataset: LocalizationDataset) -> str:
    """SHA-256 of the images' ids and classes, in order."""
    rows = (f"{image_id} {label}\n" for image_id, label in zip(dataset.ids, dataset.labels.tolist(), strict=True))
    return hashlib.sha256("".join(rows).encode()).hexdigest()


def _describe(crop: object) -> dict[str, Any]:
    """Class and settings of a crop, as JSON values."""
    found = {name: _describe(value) if hasattr(value, "__dict__") else value for name, value in vars(crop).items()}
    return {"type": type(crop).__name__, **found}


def _fill_parts(
    models: Sequence[CandidateModel],
    loader: Iterator[list[MappedBatch]],
    spec: ProposalSpec,
    files: ProposalFiles,
    run: Run,
) -> None:
    """Compute the images of a loader, and write each part when its last image is done."""
    begun: defaultdict[int, dict[int, tuple[np.ndarray, ...]]] = defaultdict(dict)
    for batches in loader:
        batches = [batch.to(run.device) for batch in batches]
        with precision_context(run.precision, run.device):
            found = propose(models, batches, batches[0].labels[:, None], spec)
        columns = [column[:, 0].cpu().numpy() for column in found] + [batches[0].image_sizes.cpu().numpy()]
        for column in columns:
            column[~batches[0].readable.cpu().numpy()] = 0  # no valid proposal, and size 0
        for index, *rows in zip(batches[0].indices.tolist(), *columns, strict=True):
            part = index // files.part
            begun[part][index] = tuple(rows)
            if len(begun[part]) == len(files.images_of(part)):
                full = begun.pop(part)
                rows = [np.stack(column) for column in zip(*(full[i] for i in sorted(full)), strict=True)]
                _refuse_a_lost_set(rows[-1])
                files.write(part, rows)
                logger.info("proposals of images up to %d of %d", max(full) + 1, files.images)


def _refuse_a_lost_set(sizes: np.ndarray) -> None:
    """Raise if most images of a part, `sizes` [N, 2], are unreadable: then the disk is lost, not single files."""
    lost = int((sizes == 0).all(1).sum())
    if lost > MOST_SKIPPED:
        raise UserError(
            f"{lost} of {len(sizes)} training images cannot be read, which is more than single damaged files; check "
            "that the data set is there, then continue with --resume"
        )


def _warn_of_unreadable(cache: ProposalCache, dataset: LocalizationDataset, folder: Path) -> None:
    lost = (cache.sizes == 0).all(1).nonzero().flatten().tolist()
    if lost:
        text = "%d of %d training images could not be read and have no proposals (first: %s); to try again delete %s"
        logger.warning(text, len(lost), len(dataset), dataset.image_id(lost[0]), folder)
