"""Batches of detection: padding, sizes, workers, processes."""

from __future__ import annotations

import multiprocessing
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from albumentations import HorizontalFlip

from helpers.samples import sample_of
from resdet.data.detection.annotations import Annotation, AnnotationTable, DetectionDataset
from resdet.data.detection.loading import collate_detection, detection_eval_loader, detection_loader
from resdet.data.detection.settings import DetectionData
from resdet.data.sampling import TrainSampler, aspect_groups
from resdet.data.transforms import DetectionAugmentation, Resizer
from resdet.structures import Batch


def test_collate_pads_with_zeros_and_masks_empty_slots() -> None:
    a = sample_of(20, 30, [[1, 2, 3, 4], [5, 6, 7, 8]], crowd=[False, True])
    b = sample_of(26, 24, [])
    batch = collate_detection([(a, (40, 60), 11), (b, (13, 12), 12)])
    assert batch.images.shape == (2, 3, 26, 30)
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(batch.images[0, :, :20], a.image.permute(2, 0, 1))
    assert torch.equal(batch.images[1, :, :, :24], b.image.permute(2, 0, 1))
    assert not batch.images[0, :, 20:].any()
    assert not batch.images[1, :, :, 24:].any()
    assert batch.padded
    assert batch.sizes.tolist() == [[20, 30], [26, 24]]
    assert batch.image_sizes.tolist() == [[40, 60], [13, 12]]
    assert batch.scale.tolist() == [[0.5] * 4, [2.0] * 4]
    assert batch.mask.tolist() == [[True, True], [False, False]]
    assert batch.crowd.tolist() == [[False, True], [False, False]]
    assert batch.boxes[0].tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert batch.seeds.tolist() == [11, 12]
    assert batch.image_ids == ["30x20", "24x26"]


def test_collate_of_images_without_objects_keeps_one_empty_slot() -> None:
    batch = collate_detection([(sample_of(20, 30, []), (20, 30), 0)])
    assert (batch.boxes.shape, batch.mask.tolist(), batch.padded) == ((1, 1, 4), [[False]], False)


@pytest.fixture(scope="module")
def detection_set(tmp_path_factory: pytest.TempPathFactory) -> DetectionDataset:
    folder = tmp_path_factory.mktemp("images")
    annotations = []
    for i in range(7):
        height, width = (40, 60) if i % 2 else (50, 30)
        path = folder / f"{i}.png"
        cv2.imwrite(str(path), sample_of(height, width, []).image.numpy())
        boxes = [[1 + i, 2, 20, 30]] * (i % 3)
        annotations.append(Annotation(str(path), str(i), (height, width), np.array(boxes), np.arange(i % 3)))
    return DetectionDataset(("a", "b"), AnnotationTable(annotations))


def test_workers_do_not_change_the_batches(detection_set: DetectionDataset) -> None:
    def batches(workers: int) -> list[Batch]:
        groups = aspect_groups(detection_set.table.aspect_ratios())
        sampler = TrainSampler(7, images=2, seed=5, groups=groups)
        augment = DetectionAugmentation([HorizontalFlip(p=0.5)])
        return list(islice(detection_loader(detection_set, [Resizer(48, 80)], sampler, augment, workers), 7))

    for alone, shared in zip(batches(0), batches(2), strict=True):
        assert alone.image_ids == shared.image_ids
        for name in ("images", "sizes", "image_sizes", "boxes", "labels", "crowd", "mask", "seeds"):
            assert torch.equal(getattr(alone, name), getattr(shared, name)), name


def test_multi_scale_training_draws_a_size_for_each_image_and_epoch(detection_set: DetectionDataset) -> None:
    data = DetectionData(detection_set, Resizer(48, 80), images=1, train_scales=(32, 48, 64))
    assert data.train_resizers == [Resizer(32, 53), Resizer(48, 80), Resizer(64, 107)]

    def shorts(workers: int) -> list[int]:
        sampler = TrainSampler(7, images=1, seed=5)
        loader = detection_loader(detection_set, data.train_resizers, sampler, None, workers)
        return [int(batch.sizes.min()) for batch in islice(loader, 70)]

    drawn = shorts(0)
    assert all(drawn.count(short) > 10 for short in (32, 48, 64))
    assert drawn[:7] != drawn[7:14]
    assert drawn == shorts(2)


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="memory is read from Linux's /proc")
def test_workers_share_the_annotations_and_their_memory_stays_flat(tmp_path: Path) -> None:
    path = tmp_path / ("long" * 50 + ".png")
    cv2.imwrite(str(path), np.zeros((4, 4, 3), np.uint8))
    boxes, labels = np.tile([1.0, 1.0, 3.0, 3.0], (100, 1)), np.zeros(100, np.int64)
    table = AnnotationTable([Annotation(str(path), str(i), (4, 4), boxes, labels) for i in range(4000)])
    size = sum(array.nbytes for array in vars(table).values())
    assert size > 20e6
    dataset = DetectionDataset(("a",), table)
    sampler = TrainSampler(len(dataset), images=20, seed=0)
    others = multiprocessing.active_children()
    loader = iter(detection_loader(dataset, [Resizer(4, 4)], sampler, None, workers=2))

    def private() -> float:
        """Bytes that the workers do not share with this process."""
        return sum(
            1024 * int(line.split()[1])
            for worker in multiprocessing.active_children()
            if worker not in others
            for line in Path(f"/proc/{worker.pid}/smaps_rollup").read_text().splitlines()
            if line.startswith("Private_Dirty")
        )

    used = []
    for epoch in range(3):
        for _ in islice(loader, 100 if epoch else 20):
            pass
        used.append(private())
    assert max(used) - used[0] < size / 5  # a list of objects would be copied page by page, as it is read


@pytest.mark.parametrize("world", [1, 2, 3])
def test_evaluation_sees_every_image_once(detection_set: DetectionDataset, world: int) -> None:
    shares = [detection_eval_loader(detection_set, Resizer(48, 80), 2, 0, False, r, world) for r in range(world)]
    ids = [i for loader in shares for batch in loader for i in batch.image_ids]
    assert sorted(ids) == [str(i) for i in range(7)]
    assert world > 1 or ids == sorted(ids)
