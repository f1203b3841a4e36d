"""A localizer's best boxes of each training image's true class, on disk: what the R-CNN stage learns from (App. C).

    views = [WholeLocalizationImage(short) for short in (224, 288)]             # dense; [CenterLocalizationCrop(224)]
    cache = cache_proposals(rpn, train, views, work_dir / "proposals", run)     # returns at once where all is there
    cache.boxes[i], cache.scores[i], cache.valid[i]                             # [200, 4], [200], [200] of image i

A folder has a manifest, which tells what its proposals are of, and part files of 1,000 images each, whole or not there:
a run that was killed makes the missing ones. When all are there they become one file an array, which is mapped into
memory and not read (ImageNet's 544,546 images with boxes: 2.3 GB).
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import torch
from torch import Tensor, nn

from resdet.data.loading import MOST_SKIPPED
from resdet.data.localization.dataset import LocalizationDataset
from resdet.data.localization.loading import LocalizationView, MappedBatch, localization_views_loader
from resdet.engine.distributed import gather_objects, get_rank, get_world_size, is_main_process, name_a_lost_process
from resdet.engine.precision import precision_context
from resdet.engine.run import Run, make_folder
from resdet.errors import UserError
from resdet.localization.inference import Localizer
from resdet.recipes.localization.rcnn_inference import listed, propose

MANIFEST = "manifest.json"
ARRAYS = {"boxes": np.float32, "scores": np.float32, "valid": np.bool_, "sizes": np.int64}

logger = logging.getLogger("resdet")


@dataclass(frozen=True)
class ProposalCache:
    """R proposals of each of I images, by falling score, in pixels of the files; mapped into memory."""

    boxes: Tensor  # float32 [I, R, 4], zero in padding
    scores: Tensor  # float32 [I, R], probabilities
    valid: Tensor  # bool [I, R], False in padding
    sizes: Tensor  # int64 [I, 2], the (height, width) of each file; 0 of one that could not be read


def cache_proposals(
    model: Localizer | Sequence[Localizer],
    dataset: LocalizationDataset,
    views: Sequence[LocalizationView],
    folder: str | Path,
    run: Run,
    checkpoint_digest: str | None = None,
    mirrored: bool = False,
    count: int = 200,
    nms_iou: float | None = 0.7,
    images: int = 40,
    workers: int = 2,
    part: int = 1000,
    skip_unreadable: bool = False,
) -> ProposalCache:
    """The best `count` boxes of the true class of every image; of several localizers, those of their union.

    Processes, which must all see `folder`, share the parts that are missing.

    Args:
        model: one localizer or several.
        dataset: with images without boxes or not; the cache has its order.
        views, mirrored: what the localizer looks at, and whether in the mirror too.
        folder: of this cache alone.
        run: device, precision, processes.
        checkpoint_digest: tells these localizers from others; None: a hash of their weights.
        count, nms_iou: as localization/inference.class_proposals'.
        images: looked at together, those of one shape at once. A divisor of `part` keeps parts apart, so that a run
            that was killed ends with the bits of one that was not.
        workers: loader processes.
        part: images in a part file.
        skip_unreadable: an image that cannot be read has no proposals, and a warning counts such images; of more than
            `MOST_SKIPPED` in a part it is an error.

    Raises:
        UserError: the folder has proposals of another checkpoint, set or setting; it cannot be written.
    """
    models = listed(model)
    manifest = {
        "checkpoint": checkpoint_digest or weights_digest(cast(list[nn.Module], models)),
        "images": len(dataset),
        "list": _list_digest(dataset),
        "decode_to": dataset.images.decode_to,
        "views": [_describe(view) for view in views],
        "mirrored": mirrored,
        "count": count,
        "nms_iou": nms_iou,
        "part": part,
    }
    files = _Folder(Path(folder), manifest)
    with name_a_lost_process():
        # The first process looks, for all: another might look when something has been written already.
        [missing, *_] = gather_objects([files.missing() if is_main_process() else None])
        own = (missing or [])[get_rank() :: get_world_size()]
        if own:
            order = np.concatenate([files.images_of(number) for number in own])
            pin = run.device.type == "cuda"
            loader = localization_views_loader(dataset, views, order, images, workers, pin, skip_unreadable)
            _make(models, loader, files, run, mirrored, count, nms_iou)
        gather_objects([])  # all parts are there
        if is_main_process():
            files.finish(join=missing is not None)
        gather_objects([])
    cache = files.open()
    _warn_of_unreadable(cache, dataset, files.folder)
    return cache


def forget_proposals(folder: Path) -> None:
    """Remove a cache, if one is there; other files stay. Call it on one process."""
    for path in (folder / MANIFEST, *folder.glob("part-*.npz"), *(folder / f"{name}.npy" for name in ARRAYS)):
        path.unlink(missing_ok=True)


def weights_digest(models: Sequence[nn.Module]) -> str:
    """A hash of all parameters and buffers."""
    digest = hashlib.sha256()
    for model in models:
        for name, tensor in model.state_dict().items():
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _make(
    models: Sequence[Localizer],
    loader: Iterator[list[MappedBatch]],
    files: _Folder,
    run: Run,
    mirrored: bool,
    count: int,
    nms_iou: float | None,
) -> None:
    """Fill parts image by image, and write each when it is full."""
    begun: defaultdict[int, dict[int, tuple[np.ndarray, ...]]] = defaultdict(dict)
    for batches in loader:
        batches = [batch.to(run.device) for batch in batches]
        with precision_context(run.precision, run.device):
            found = propose(models, batches, batches[0].labels[:, None], mirrored, count, nms_iou)
        columns = [column[:, 0].cpu().numpy() for column in found] + [batches[0].image_sizes.cpu().numpy()]
        for column in columns:
            column[~batches[0].readable.cpu().numpy()] = 0  # nothing is valid, not even the size
        for index, *rows in zip(batches[0].indices.tolist(), *columns, strict=True):
            number = index // files.part
            begun[number][index] = tuple(rows)
            if len(begun[number]) == len(files.images_of(number)):
                full = begun.pop(number)
                rows = [np.stack(column) for column in zip(*(full[i] for i in sorted(full)), strict=True)]
                _refuse_a_lost_set(rows[-1])
                files.write(number, rows)
                logger.info("proposals of images up to %d of %d", max(full) + 1, files.images)


def _refuse_a_lost_set(sizes: np.ndarray) -> None:
    """`sizes` [N, 2] of a part: where many images cannot be read, the disk is away, and no image is damaged."""
    lost = int((sizes == 0).all(1).sum())
    if lost > MOST_SKIPPED:
        raise UserError(
            f"{lost} of {len(sizes)} training images cannot be read, more than single ones; see where the data set is, "
            "then go on with --resume"
        )


def _warn_of_unreadable(cache: ProposalCache, dataset: LocalizationDataset, folder: Path) -> None:
    lost = (cache.sizes == 0).all(1).nonzero().flatten().tolist()
    if lost:
        text = "%d of %d training images could not be read and have no proposals (first: %s); to look again delete %s"
        logger.warning(text, len(lost), len(dataset), dataset.image_id(lost[0]), folder)


class _Folder:
    """The files of a cache: part-00000.npz and on while it is made, then an .npy an array.

    Raises:
        UserError: they are not of this manifest.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder, self.images, self.part = folder, manifest["images"], manifest["part"]
        rows = (self.images, manifest["count"])
        self.shapes = {"boxes": (*rows, 4), "scores": rows, "valid": rows, "sizes": (self.images, 2)}
        self.parts = range(-(-self.images // self.part))
        make_folder(folder)
        self._refuse_another(manifest)

    def images_of(self, number: int) -> np.ndarray:
        """The places of a part's images."""
        return np.arange(number * self.part, min((number + 1) * self.part, self.images))

    def missing(self) -> list[int] | None:
        """The parts that are not there, or not whole; None where they have become arrays."""
        if all(self._map(name) is not None for name in ARRAYS):
            return None
        return [number for number in self.parts if self._read(number) is None]

    def write(self, number: int, columns: Sequence[np.ndarray]) -> None:
        """A part, whole."""
        with self._whole(self._path(number)) as file:
            arrays: dict[str, Any] = {
                name: np.asarray(column, ARRAYS[name]) for name, column in zip(ARRAYS, columns, strict=True)
            }
            np.savez(file, **arrays)

    def finish(self, join: bool) -> None:
        """Make the arrays of the parts, unless that is done, and remove all else."""
        for name, dtype in ARRAYS.items() if join else ():
            with self._whole(self.folder / f"{name}.npy") as file:
                header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False}
                np.lib.format.write_array_header_1_0(file, {**header, "shape": self.shapes[name]})
                for number in self.parts:
                    found = self._read(number, (name,))
                    if found is None:
                        raise UserError(f"{self._path(number)} is missing: all processes must see one {self.folder}")
                    file.write(found[name].tobytes())
        for left in (*self.folder.glob("part-*.npz"), *self.folder.glob(".*.partial")):
            left.unlink()

    def open(self) -> ProposalCache:
        """The arrays, mapped."""
        arrays = {name: array for name in ARRAYS if (array := self._map(name)) is not None}
        if len(arrays) < len(ARRAYS):
            raise UserError(f"{self.folder}: the arrays are not there; all processes must see one folder")
        return ProposalCache(**{name: torch.from_numpy(array) for name, array in arrays.items()})

    def _path(self, number: int) -> Path:
        return self.folder / f"part-{number:05}.npz"

    def _read(self, number: int, names: Sequence[str] = tuple(ARRAYS)) -> dict[str, np.ndarray] | None:
        """Arrays of a part, checksums and all; None where it is not there or damaged."""
        count = len(self.images_of(number))
        try:
            with np.load(self._path(number)) as file:
                found = {name: file[name] for name in names}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        fits = all(found[n].shape == (count, *self.shapes[n][1:]) and found[n].dtype == ARRAYS[n] for n in names)
        return found if fits else None

    def _map(self, name: str) -> np.ndarray | None:
        """An array, None where it is not there or cut short. Copy on write: torch warns of what is read-only."""
        try:
            array = np.load(self.folder / f"{name}.npy", mmap_mode="c")
        except (OSError, ValueError, EOFError):
            return None
        return array if array.shape == self.shapes[name] and array.dtype == ARRAYS[name] else None

    def _refuse_another(self, manifest: dict[str, Any]) -> None:
        path = self.folder / MANIFEST
        ours = json.loads(json.dumps(manifest))  # tuples are lists there
        if not path.is_file():
            if any(self.folder.glob("*.np[yz]")):
                raise UserError(f"{self.folder} has proposals but no {MANIFEST}: delete it or give another folder")
            with self._whole(path) as file:
                file.write(json.dumps(ours, indent=1).encode())
            return
        try:
            theirs = json.loads(path.read_text())
            other = next((key for key in ours if theirs.get(key) != ours[key]), None)
        except (OSError, ValueError, AttributeError):
            raise UserError(f"{path} cannot be read: delete {self.folder} or give another folder") from None
        if other is not None:
            what = {"checkpoint": "checkpoint", "images": "data set", "list": "data set"}.get(other, "setting")
            there, here = (f"{str(value)[:60]}" for value in (theirs.get(other), ours[other]))
            raise UserError(
                f"{self.folder} has the proposals of another {what} ({other} {there}, here {here}): "
                "delete it or give another folder"
            )

    @contextmanager
    def _whole(self, path: Path) -> Iterator[BinaryIO]:
        """Write beside, flush to the disk, then rename."""
        beside = path.with_name(f".{path.name}.{get_rank()}.partial")
        try:
            with beside.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror}; parts that are finished are kept") from error
        finally:
            beside.unlink(missing_ok=True)


def _list_digest(dataset: LocalizationDataset) -> str:
    """A hash of the images' ids and classes, in order."""
    rows = (f"{image_id} {label}\n" for image_id, label in zip(dataset.ids, dataset.labels.tolist(), strict=True))
    return hashlib.sha256("".join(rows).encode()).hexdigest()


def _describe(view: object) -> dict[str, Any]:
    """A view's class and settings, as JSON has them."""
    found = {name: _describe(value) if hasattr(value, "__dict__") else value for name, value in vars(view).items()}
    return {"view": type(view).__name__, **found}
