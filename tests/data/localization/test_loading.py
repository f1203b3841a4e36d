"""Batches of localization: padded boxes, boxes mapped back to their images."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.cls_loc import FISH, VAL, Layout
from resdet.data.loading import make_loader
from resdet.data.localization.crops import (
    CenterCropWithBoxes,
    ShortSideWithBoxes,
    TrainCropWithBoxes,
)
from resdet.data.localization.dataset import LocalizationDataset
from resdet.data.localization.loading import CroppedWithBoxes, collate_localization, localization_eval_loader
from resdet.data.sampling import TrainSampler


@pytest.mark.parametrize("workers", [0, 2])
def test_training_batches_have_slots_for_the_most_boxes(layout: Layout, workers: int) -> None:
    train = LocalizationDataset(layout.close(), "train")
    sampler = TrainSampler(4, images=4, seed=3)
    crops = CroppedWithBoxes(train, TrainCropWithBoxes(32))
    batch = next(iter(make_loader(crops, sampler, collate_localization, workers, pin=False)))
    assert batch.images.shape == (4, 3, 32, 32)
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    order = [batch.image_ids.index(train.image_id(i)) for i in range(4)]
    assert batch.mask[order].sum(1).tolist() == [0, batch.mask.shape[1], 0, 1]
    assert batch.labels[order].tolist() == [0, 0, 1, 1]
    [draws] = islice(sampler, 1)
    for i, draw in enumerate(draws):
        view = TrainCropWithBoxes(32)(train[draw.index], draw.seed)
        assert torch.equal(batch.images[i], torch.from_numpy(view.image).permute(2, 0, 1))
        assert torch.equal(batch.boxes[i][batch.mask[i]], torch.from_numpy(view.boxes))
        assert batch.seeds[i] == draw.seed


def test_boxes_of_test_batches_map_back_to_their_images(layout: Layout) -> None:
    layout.image("val", f"{VAL}3", [(FISH, 20, 30, 49, 59)], size=(70, 90))
    val = LocalizationDataset(layout.close(), "val")
    order = np.array([2, 0, 1])
    center = CenterCropWithBoxes(64, short=224)
    cut = [batch for [batch] in localization_eval_loader(val, [center], order, batch_size=2, workers=0)]
    whole = list(localization_eval_loader(val, [ShortSideWithBoxes(80)], order, batch_size=3, workers=0))
    assert [batch.indices.tolist() for batch in cut] == [[2, 0], [1]]
    assert [(batch.indices.tolist(), list(batch.images.shape)) for [batch] in whole] == [
        ([2], [1, 3, 103, 80]),
        ([0, 1], [2, 3, 80, 120]),
    ]
    for [batch] in whole:
        batch = batch.to("cpu")
        mapped = batch.boxes / batch.scale[:, None] + batch.offset[:, None]
        for i, index in enumerate(batch.indices.tolist()):
            np.testing.assert_allclose(mapped[i][batch.mask[i]], val.boxes_of(index), atol=1e-4)
            assert batch.image_sizes[i].tolist() == list(val[index].size)
    mapped = cut[0].boxes / cut[0].scale[:, None] + cut[0].offset[:, None]
    np.testing.assert_allclose(mapped[0, 0], [20, 30, 50, 60], atol=1e-4)


def test_the_crops_of_an_image_stay_together_whatever_their_shapes(loc_images: Path) -> None:
    val = LocalizationDataset(loc_images, "val")
    views = [ShortSideWithBoxes(20), CenterCropWithBoxes(16), ShortSideWithBoxes(30)]
    seen = []
    for batches in localization_eval_loader(val, views, np.arange(len(val)), batch_size=3, workers=0):
        indices = [batch.indices.tolist() for batch in batches]
        assert indices[0] == indices[1] == indices[2]
        assert [min(batch.images.shape[2:]) for batch in batches] == [20, 16, 30]
        for batch in batches[::2]:
            boxes = batch.boxes / batch.scale[:, None] + batch.offset[:, None]
            for i, index in enumerate(batch.indices.tolist()):
                np.testing.assert_allclose(boxes[i][batch.mask[i]], val.boxes_of(index), atol=1e-4)
        seen += indices[0]
    assert sorted(seen) == list(range(7))
