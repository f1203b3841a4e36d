"""Unreadable images: skipped in training if requested, for all tasks; never skipped at test time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from helpers.cls_loc import FISH, Layout
from helpers.imagenet_det import ANT, CLASSES, write_image, write_list
from resdet.data.classification.imagenet import ImageNetDataset
from resdet.data.classification.settings import ClassificationData
from resdet.data.detection.annotations import Annotation, AnnotationTable, DetectionDataset
from resdet.data.detection.imagenet_det import ImageNetDETDataset
from resdet.data.detection.loading import detection_eval_loader, detection_loader
from resdet.data.detection.settings import DetectionData
from resdet.data.localization.crops import CenterCropWithBoxes, TrainCropWithBoxes
from resdet.data.localization.dataset import LocalizationDataset
from resdet.data.localization.settings import LocalizationData
from resdet.data.sampling import TrainSampler
from resdet.data.transforms import CenterCrop, Resizer, TrainCrop
from resdet.data.unreadable import MOST_SKIPPED, UnreadableImages
from resdet.errors import UserError

CPU, IMAGES, BROKEN = torch.device("cpu"), 6, 3

Batches = Iterable[Any]  # loader workers start, and read ahead, when it is iterated
Task = Callable[[Path, bool, int], tuple[Batches, Callable[[], Batches]]]  # training and test batches


def write_photo(path: Path, number: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(number).integers(0, 256, (40, 50, 3)).astype(np.uint8))
    return path


def sampler() -> TrainSampler:
    return TrainSampler(IMAGES, IMAGES, seed=0)


def detection(root: Path, skip: bool, workers: int) -> tuple[Batches, Callable[[], Batches]]:
    paths = [write_photo(root / f"{i}.jpg", i) for i in range(IMAGES)]
    table = AnnotationTable([Annotation(str(path), path.stem, (40, 50), [[1, 2, 9, 9]], [0]) for path in paths])
    data = DetectionData(DetectionDataset(("a",), table), Resizer(40), IMAGES, skip_unreadable=skip, workers=workers)
    training = detection_loader(
        data.test, data.train_resizers, sampler(), workers=workers, skip_unreadable=data.skip_unreadable
    )
    return training, lambda: detection_eval_loader(data.test, data.resizer, workers=workers)


def imagenet_det(root: Path, skip: bool, workers: int) -> tuple[Batches, Callable[[], Batches]]:
    (root / "map_det.txt").write_text(CLASSES)
    for i in range(IMAGES):
        write_image(root, "train", str(i), [(ANT, 5, 5, 40, 30)], size=False)
        write_photo(root / f"ILSVRC/Data/DET/train/{i}.JPEG", i)
    write_list(root, "train", *map(str, range(IMAGES)))
    data = DetectionData(
        ImageNetDETDataset(root, ["train"]), Resizer(40), IMAGES, skip_unreadable=skip, workers=workers
    )
    training = detection_loader(
        data.test, data.train_resizers, sampler(), workers=workers, skip_unreadable=data.skip_unreadable
    )
    return training, lambda: detection_eval_loader(data.test, data.resizer, workers=workers)


def classification(root: Path, skip: bool, workers: int) -> tuple[Batches, Callable[[], Batches]]:
    for i in range(IMAGES):
        write_photo(root / "train" / "cat" / f"{i}.jpg", i)
    photos = ImageNetDataset(root, "train")
    data = ClassificationData(
        photos, TrainCrop(16), CenterCrop(16), IMAGES, photos, workers=workers, skip_unreadable=skip
    )
    return data.training(sampler(), CPU), lambda: data.testing(np.arange(IMAGES), CPU)


def localization(root: Path, skip: bool, workers: int) -> tuple[Batches, Callable[[], Batches]]:
    layout = Layout(root)
    for i in range(IMAGES):
        layout.image("train", f"{FISH}/{i}", [(FISH, 5, 5, 40, 30)])
    photos = LocalizationDataset(layout.close(), "train")
    data = LocalizationData(
        photos, TrainCropWithBoxes(16), CenterCropWithBoxes(16), IMAGES, photos, workers=workers, skip_unreadable=skip
    )
    return data.training(sampler(), CPU), lambda: data.one_crop(np.arange(IMAGES), CPU)


def truncate_image(root: Path, number: int) -> None:
    path = next(path for path in root.rglob(f"{number}.*") if path.suffix in (".jpg", ".JPEG"))
    path.write_bytes(path.read_bytes()[:500])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("task", [detection, imagenet_det, classification, localization])
def test_a_truncated_training_image_is_replaced_by_the_next_one_if_asked(
    task: Task, workers: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = next(iter(task(tmp_path, True, workers)[0]))
    assert len(set(whole.image_ids)) == IMAGES
    training, testing = task(tmp_path, True, workers)
    truncate_image(tmp_path, BROKEN)
    batch = next(iter(training))
    assert batch.seeds.tolist() == whole.seeds.tolist()
    for i, (found, wanted) in enumerate(zip(batch.image_ids, whole.image_ids, strict=True)):
        if Path(wanted).stem == str(BROKEN):
            assert Path(found).stem == str(BROKEN + 1)
        else:
            assert found == wanted
            assert torch.equal(batch.images[i], whole.images[i])
    if not workers:
        [warning] = [record for record in caplog.records if "truncated" in record.message]
        assert "the next readable image is used instead" in warning.message
    with pytest.raises(UserError, match="truncated"):  # every image counts at test
        list(testing())


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("task", [detection, imagenet_det, classification, localization])
def test_a_truncated_image_is_an_error_by_default_whose_remedy_a_training_names(
    task: Task, workers: int, tmp_path: Path
) -> None:
    training, testing = task(tmp_path, False, workers)
    truncate_image(tmp_path, BROKEN)
    with pytest.raises(UserError, match=rf"{BROKEN}\.\w+: the image is truncated.*set data\.skip_unreadable=True"):
        next(iter(training))
    with pytest.raises(UserError, match="truncated") as caught:
        list(testing())
    assert "skip_unreadable" not in str(caught.value)


class Damaged:
    """A dataset of numbers, some of which cannot be read."""

    def __init__(self, length: int, unreadable: set[int]) -> None:
        self.length, self.unreadable = length, unreadable

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> int:
        if index in self.unreadable:
            raise UserError(f"{index}: unreadable")
        return 10 * index


def test_the_image_after_the_last_is_the_first() -> None:
    assert UnreadableImages(skip=True).next_readable(Damaged(5, {3, 4, 0}), 3) == (1, 10)


def test_the_first_unreadable_image_is_named_and_later_ones_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    images, unreadable = Damaged(300, set(range(0, 300, 2))), UnreadableImages(skip=True, instead="it is left out")
    for _ in range(2):  # in a second epoch the same images are not counted again
        for index in range(300):
            assert unreadable.read(images, index) == (10 * index if index % 2 else None)
    assert [record.message for record in caplog.records] == [
        "0: unreadable; it is left out (later unreadable images are only counted)",
        "10 unreadable images so far; it is left out",
        "100 unreadable images so far; it is left out",
    ]


def test_too_many_unreadable_images_in_a_row_are_an_error() -> None:
    few, many = Damaged(500, set(range(MOST_SKIPPED))), Damaged(500, set(range(MOST_SKIPPED + 1)))
    assert UnreadableImages(skip=True).next_readable(few, 0)[0] == MOST_SKIPPED
    with pytest.raises(UserError, match=f"more than {MOST_SKIPPED} images in a row cannot be read"):
        UnreadableImages(skip=True).next_readable(many, 0)
    with pytest.raises(UserError, match="in a row"):  # of a small set all
        UnreadableImages(skip=True).next_readable(Damaged(2, {0, 1}), 0)
