"""Batches of the R-CNN stage: regions sampled over all images, their crops and targets."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from helpers.cls_loc import FISH, VAL, Layout
from helpers.coloured_localizer import DENSE, SIZE, ColourRPN, make_cache, make_rcnn, make_sampler, truth_of
from helpers.coloured_photos import COLOURS, TRAIN, write_photos
from helpers.datasets import write_cls_loc
from resdet.boxes.coding import decode
from resdet.boxes.geometry import pairwise_iou
from resdet.data.localization.crops import ShortSideWithBoxes, warped_crop
from resdet.data.localization.dataset import LocalizationDataset
from resdet.data.localization.regions import RegionDraw, RegionSampler, region_loader
from resdet.data.sampling import StepShare
from resdet.data.unreadable import MOST_SKIPPED
from resdet.engine.run import Run
from resdet.errors import UserError
from resdet.localization.rcnn import RCNNSettings
from resdet.recipes.localization.rcnn_inference import RescoreSettings, rescore_all
from resdet.recipes.localization.rcnn_proposals import CacheSettings, ProposalSpec, cache_proposals
from resdet.structures import RegionBatch


def test_a_quarter_is_positive_and_the_regions_of_all_images_are_equally_likely(coloured: Path, run: Run) -> None:
    train, cache, sampler = make_sampler(coloured, run, regions=64)
    drawn: dict[bool, Counter] = {True: Counter(), False: Counter()}
    for step in range(60):
        draws = sampler.step(step)
        assert sum(draw.positive for draw in draws) == 16
        for draw in draws:
            drawn[draw.positive][draw.index, draw.box] += 1
    for kind in (True, False):
        regions = {
            (i, tuple(box.tolist()))
            for i in range(TRAIN)
            for box in cache.boxes[i][cache.valid[i]]
            if (pairwise_iou(truth_of(train, i), box[None]).max() >= 0.5) == kind
        }
        assert set(drawn[kind]) <= regions
        expected = sum(drawn[kind].values()) / len(regions)
        by_image = Counter({i: sum(n for (j, _), n in drawn[kind].items() if j == i) for i in range(TRAIN)})
        for i in range(TRAIN):
            share = expected * sum(j == i for j, _ in regions)
            assert abs(by_image[i] - share) <= 5 * share**0.5
    assert len({index for index, _ in drawn[True]}) == TRAIN


def test_passes_and_processes_share_a_step_and_a_resumed_run_goes_on(coloured: Path, run: Run) -> None:
    train, cache, sampler = make_sampler(coloured, run)
    steps = list(islice(sampler, 5))
    assert steps[3] == sampler.step(3)
    assert steps[3] != steps[4]
    settings = sampler.settings
    assert list(islice(RegionSampler(train, cache, 32, run.seed, settings, start=3), 2)) == steps[3:]
    shares = [
        list(islice(RegionSampler(train, cache, 32, run.seed, settings, StepShare(2, rank, 2), start=3), 4))
        for rank in (0, 1)
    ]
    for step in (0, 1):
        parts = [shares[rank][2 * step + of_pass] for of_pass in (0, 1) for rank in (0, 1)]
        assert [draw for part in parts for draw in part] == steps[3 + step]
        assert [sum(draw.positive for draw in part) for part in parts] == [2] * 4
    assert RegionSampler(train, cache, 32, run.seed + 1, settings).step(3) != steps[3]
    with pytest.raises(UserError, match="32 regions per step cannot be shared evenly by 3 passes"):
        RegionSampler(train, cache, 32, 0, settings, StepShare(accumulate=3))
    with pytest.raises(UserError, match="proposals of 10 images for a data set of 5"):
        RegionSampler(LocalizationDataset(coloured, "val"), cache, 32, 0, settings)
    with pytest.raises(UserError, match=r"of \d+ proposals none has an IoU of 0.999 with an object"):
        RegionSampler(train, cache, 32, 0, RCNNSettings(positive_iou=0.999))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_has_the_crops_and_targets_of_its_draws(workers: int, coloured: Path, run: Run) -> None:
    train, _, sampler = make_sampler(coloured, run, start=4)
    train.decoded.clear()
    batch: RegionBatch = next(iter(region_loader(train, sampler, workers)))
    draws = sampler.step(4)
    if not workers:
        assert train.decoded == sorted({draw.index for draw in draws})  # each once
    assert batch.images.shape == (32, 3, SIZE, SIZE)
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert batch.valid.all()
    assert (batch.seeds.tolist(), batch.positive.tolist()) == ([d.seed for d in draws], [d.positive for d in draws])
    assert batch.image_ids == [train.image_id(draw.index) for draw in draws]
    assert batch.labels.tolist() == [train.labels[draw.index] for draw in draws]
    assert 8 <= sum(draw.flip for draw in draws) <= 24
    for draw, crop in zip(draws, batch.images, strict=True):
        expected = warped_crop(train[draw.index].image, np.array(draw.box), SIZE, context=16)
        expected = expected[:, ::-1] if draw.flip else expected
        assert torch.equal(crop, torch.from_numpy(expected.copy()).permute(2, 0, 1))


def test_an_unreadable_image_gives_slots_without_a_region(tmp_path: Path, run: Run) -> None:
    coloured = write_photos(tmp_path / "coloured")
    train, _, sampler = make_sampler(coloured, run)
    whole: RegionBatch = next(iter(region_loader(train, sampler, workers=0)))
    lost = sampler.step(0)[3].index
    (coloured / train.image_id(lost)).unlink()
    with pytest.raises(UserError, match="no such image"):
        next(iter(region_loader(train, sampler, workers=0)))
    batch: RegionBatch = next(iter(region_loader(train, sampler, workers=0, skip_unreadable=True)))
    there = torch.tensor([draw.index != lost for draw in sampler.step(0)])
    assert 0 < there.sum() < len(batch)
    assert torch.equal(batch.valid, there)
    assert torch.equal(batch.images[there], whole.images[there])
    assert torch.equal(batch.labels, whole.labels)


def test_slots_without_a_region_read_no_image(coloured: Path, run: Run) -> None:
    train, cache = make_cache(coloured, run)
    for i in range(TRAIN):  # all that is valid is positive
        ious = pairwise_iou(truth_of(train, i), cache.boxes[i])
        cache.valid[i] &= (ious.max(0).values >= 0.5) & torch.tensor(i != 0)
    sampler = RegionSampler(train, cache, 32, run.seed, RCNNSettings(size=SIZE))
    train.decoded.clear()
    batch: RegionBatch = next(iter(region_loader(train, sampler, workers=0)))
    assert torch.equal(batch.valid, batch.positive)
    assert batch.valid.sum() == 8
    assert 0 not in train.decoded  # which stands in the empty slots
    losses = make_rcnn()(batch)
    assert all(value.isfinite() for value in losses.values())


def test_a_missing_dataset_is_not_treated_as_an_unreadable_image(tmp_path: Path, run: Run) -> None:
    write_cls_loc(tmp_path / "images", train=MOST_SKIPPED + 5, val=1)
    train, rpn = LocalizationDataset(tmp_path / "images", "train"), ColourRPN()
    paths = [tmp_path / "images" / train.image_id(i) for i in range(len(train))]
    for path in paths[1 : MOST_SKIPPED + 1]:
        path.unlink()
    spec, settings = ProposalSpec([ShortSideWithBoxes(20)], count=2), CacheSettings(workers=0, skip_unreadable=True)
    cache = cache_proposals([rpn], train, spec, run.work_dir / "a", run, settings)
    assert cache.valid.any(1).sum() == 5
    paths[-1].unlink()  # one more, but not in a row
    with pytest.raises(
        UserError, match="101 of 105 training images cannot be read, which is more than single damaged files"
    ):
        cache_proposals([rpn], train, spec, run.work_dir / "b", run, settings)
    paths[0].unlink()
    with pytest.raises(UserError, match="more than 100 images in a row cannot be read"):
        cache_proposals([rpn], train, spec, run.work_dir / "c", run, settings)


def test_a_mirrored_crops_target_is_the_object_in_the_mirror(coloured: Path, run: Run) -> None:
    train, _, sampler = make_sampler(coloured, run)
    seen = {True: 0, False: 0}
    for draw in (draw for step in range(4) for draw in sampler.step(step) if draw.positive):
        seen[draw.flip] += 1
        width = train[draw.index].size[1]
        region, objects = torch.tensor([draw.box]), truth_of(train, draw.index)
        best = objects[pairwise_iou(objects, region)[:, 0].argmax()]
        if draw.flip:
            region, best = (mirrored(boxes, width) for boxes in (region, best[None]))
            image = np.ascontiguousarray(train[draw.index].image[:, ::-1])
            crop = region_crop(train, draw)
            direct = warped_crop(image, region[0].numpy(), SIZE)
            assert np.abs(crop.astype(int) - direct).mean() < 0.1  # 5 for the crop that is not mirrored
        learned = decode(torch.tensor([draw.target]), region, sampler.settings.delta_weights)
        torch.testing.assert_close(learned, best.view(1, 4), atol=1e-3, rtol=0)
    assert min(seen.values()) > 5


def mirrored(boxes: Tensor, width: int) -> Tensor:
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack([width - x2, y1, width - x1, y2], -1)


def region_crop(train: LocalizationDataset, draw: RegionDraw) -> np.ndarray:
    crop = warped_crop(train[draw.index].image, np.array(draw.box), SIZE)
    return crop[:, ::-1] if draw.flip else crop


def test_an_image_that_is_decoded_smaller_has_the_same_regions(tmp_path: Path, run: Run) -> None:
    layout = Layout(tmp_path)
    large = np.random.default_rng(0).integers(90, 170, (200, 300, 1)).repeat(3, 2).astype(np.uint8)
    large[60:140, 80:200] = COLOURS[0]
    layout.image("train", f"{FISH}/{FISH}_0", [(FISH, 80, 60, 199, 139)], (300, 200))
    layout.image("val", f"{VAL}1", [(FISH, 0, 0, 9, 9)])
    cv2.imwrite(str(tmp_path / f"ILSVRC/Data/CLS-LOC/train/{FISH}/{FISH}_0.JPEG"), large[..., ::-1])
    layout.close()
    whole, half = (LocalizationDataset(tmp_path, "train", decode_to=to) for to in (None, 100))
    assert half[0].image.shape == (100, 150, 3)
    spec = ProposalSpec(DENSE, count=30, nms_iou=None)
    caches = [
        cache_proposals([ColourRPN()], data, spec, run.work_dir / str(i), run) for i, data in enumerate((whole, half))
    ]
    torch.testing.assert_close(caches[1].boxes, caches[0].boxes, atol=5, rtol=0)
    samplers = [RegionSampler(data, caches[0], 16, 0, RCNNSettings(size=SIZE)) for data in (whole, half)]
    batches = [next(iter(region_loader(s.dataset, s, workers=0))) for s in samplers]
    assert torch.equal(batches[0].targets, batches[1].targets)
    assert (batches[0].images.float() - batches[1].images.float()).abs().mean() < 12
    labels = np.array([[0]])
    spec, settings = ProposalSpec(DENSE, count=30), RescoreSettings(("keep",), workers=0)
    found = [rescore_all([ColourRPN()], [make_rcnn()], data, labels, spec, run, settings) for data in (whole, half)]
    boxes = [by_rule["keep"].boxes for by_rule in found]
    # Weights are random, but small: the answer is near the best proposal, in pixels of the file.
    assert pairwise_iou(*(torch.from_numpy(b[0]) for b in boxes)).item() > 0.5
    assert boxes[1].max() > 150
