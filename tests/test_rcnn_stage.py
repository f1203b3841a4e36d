"""The R-CNN stage's run: proposals on disk, batches drawn over all images, training with TrainLoop, rescoring."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from resdet.boxes.coding import decode
from resdet.boxes.geometry import clip_boxes, pairwise_iou
from resdet.data.loading import MOST_SKIPPED
from resdet.data.localization import LocalizationDataset, LocalizedImage
from resdet.data.localization_views import CenterLocalizationCrop, WholeLocalizationImage, warped_crop
from resdet.engine.checkpoint import find_resume, read_checkpoint
from resdet.engine.loop import LoopSettings, TrainLoop
from resdet.engine.run import Run
from resdet.engine.schedule import MultiStep
from resdet.errors import UserError
from resdet.localization.class_rpn import ClassRPN, ClassRPNSettings
from resdet.localization.ensemble import unite
from resdet.localization.rcnn import LocalizationRCNN, RCNNSettings, RegionBatch
from resdet.localization.testing import class_proposals
from resdet.localization.views import View
from resdet.nets.resnet import ResNet
from resdet.recipes.proposal_cache import ProposalCache, cache_proposals
from resdet.recipes.region_loading import RegionDraw, RegionSampler, region_loader
from resdet.recipes.rescoring import Rescored, rescore_all
from test_localization_data import FISH, SHARK, VAL, Layout
from test_processes import free_port
from tiny import write_cls_loc

COLOURS = ((220, 40, 40), (40, 60, 220))  # RGB, of each class's objects; what is around them is gray
TRAIN, TEST = 10, 5  # images
SIZE = 64  # of the crops
DENSE = [WholeLocalizationImage(64), WholeLocalizationImage(96)]


def write_photos(root: Path) -> Path:
    """Coloured rectangles, a fish red and a shark blue, on gray noise; images lie or stand. Train's second has two."""
    layout, random = Layout(root), np.random.default_rng(0)
    for i in range(TRAIN + TEST):
        kind = i % 2
        name = (FISH, SHARK)[kind]
        width, height = (90, 70) if i % 3 else (70, 90)
        pixels = random.integers(90, 170, (height, width, 1)).repeat(3, 2).astype(np.uint8)
        boxes = []
        for left in (4, 46) if i == 1 else (int(random.integers(5, 25)),):
            top, right = int(random.integers(5, 30)), left + int(random.integers(30, 40))
            boxes.append((name, left, top, right, top + int(random.integers(25, 35))))
            pixels[top : boxes[-1][4] + 1, left : right + 1] = COLOURS[kind]
        part, stem = ("train", f"{name}/{name}_{i}") if i < TRAIN else ("val", f"{VAL}{i - TRAIN}")
        layout.image(part, stem, boxes, (width, height))
        cv2.imwrite(str(root / f"ILSVRC/Data/CLS-LOC/{part}/{stem}.JPEG"), pixels[..., ::-1])
    return layout.close()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(tmp_path / "run")


def make_run(folder: Path, resume: str | None = None) -> Run:
    return Run(folder, torch.device("cpu"), "fp32", seed=5, resume=resume)


class Counted(LocalizationDataset):
    """Remembers which images were decoded."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.decoded: list[int] = []

    def __getitem__(self, index: int) -> LocalizedImage:
        self.decoded.append(index)
        return super().__getitem__(index)


class ColourRPN(nn.Module):
    """A localizer that needs no training: sixty-four boxes near the pixels of the class's colour, ranked by chance."""

    def __init__(self, spread: float = 0.16, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("shifts", torch.randn(64, 4, generator=generator) * spread)
        self.register_buffer("logits", torch.randn(64, generator=generator))

    def candidates(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        boxes = torch.stack([
            torch.stack([self._near(image, COLOURS[label]) for label in row])
            for image, row in zip(images, labels.tolist(), strict=True)
        ])  # fmt: skip
        return self.logits.expand(*labels.shape, -1), clip_boxes(boxes, torch.tensor(images.shape[-2:]))

    def _near(self, image: Tensor, colour: tuple[int, int, int]) -> Tensor:
        """[64, 4] around what has the colour, or in the image's corner if nothing has."""
        coloured = ((image - torch.tensor(colour)[:, None, None]).abs() < 60).all(0)
        if not coloured.any():
            return torch.tensor([0.0, 0, 12, 12]) + self.shifts.abs() * 12
        (top, bottom), (left, right) = ((c.min(), c.max() + 1) for c in coloured.nonzero().T)
        box = torch.stack([left, top, right, bottom])
        return box + self.shifts * (box[2:] - box[:2]).repeat(2)


def make_rpn(seed: int = 0) -> ClassRPN:
    torch.manual_seed(seed)
    net = ResNet(18, None, width=0.125)
    model = ClassRPN(net, 2, ClassRPNSettings(scales=(24, 48), frozen_bn=True))
    for layer in (model.objectness, model.deltas):
        nn.init.normal_(layer.weight, std=0.1)
    return model.eval()


def make_rcnn(seed: int = 0, **settings: Any) -> LocalizationRCNN:
    torch.manual_seed(seed)
    model = LocalizationRCNN(ResNet(18, None, width=0.125), 2, RCNNSettings(size=SIZE, **settings))
    for layer in (model.scores, model.deltas):
        nn.init.normal_(layer.weight, std=0.05)
    return model


def make_cache(root: Path, run: Run, name: str = "proposals", **options: Any) -> tuple[Counted, ProposalCache]:
    train = Counted(root, "train")
    cache = cache_proposals(
        ColourRPN(), train, DENSE, run.work_dir / name, run, count=30, nms_iou=None, workers=0, **options
    )
    return train, cache


def views_of(item: LocalizedImage, mirrored: bool) -> list[View]:
    """The dense views of one image."""
    views = []
    for view in DENSE:
        seen = view(item)
        images = torch.from_numpy(seen.image).permute(2, 0, 1)[None]
        views.append(View.of(images, torch.tensor([item.size])))
    return [*views, *(view.mirrored() for view in views)] if mirrored else views


# The cache -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("models", [1, 2])
def test_the_cache_has_the_proposals_of_the_true_class(models: int, root: Path, run: Run) -> None:
    train, rpns = LocalizationDataset(root, "train"), [make_rpn(seed) for seed in range(models)]
    cache = cache_proposals(rpns if models > 1 else rpns[0], train, DENSE, run.work_dir, run, mirrored=True, count=20)
    assert (cache.boxes.shape, cache.boxes.dtype) == ((TRAIN, 20, 4), torch.float32)
    assert (cache.scores.shape, cache.valid.shape, cache.valid.dtype) == ((TRAIN, 20), (TRAIN, 20), torch.bool)
    for i in range(TRAIN):
        item = train[i]
        views, labels = views_of(item, mirrored=True), torch.tensor([[item.label]])
        found = [class_proposals(model, views, labels, 20) for model in rpns]
        expected = unite(found, 20) if models > 1 else found[0]
        torch.testing.assert_close(cache.boxes[i], expected.boxes[0, 0], atol=1e-3, rtol=0)
        torch.testing.assert_close(cache.scores[i], expected.scores[0, 0], atol=1e-5, rtol=0)
        assert torch.equal(cache.valid[i], expected.valid[0, 0])
        assert cache.sizes[i].tolist() == list(item.size)
    assert sorted(path.name for path in run.work_dir.iterdir()) == [
        "boxes.npy", "manifest.json", "scores.npy", "sizes.npy", "valid.npy",
    ]  # fmt: skip


def test_a_killed_run_makes_the_parts_that_are_missing(root: Path, run: Run) -> None:
    _, whole = make_cache(root, run, "whole")
    folder, lost = run.work_dir / "proposals", root / Counted(root, "train").image_id(7)
    pixels = lost.read_bytes()
    lost.unlink()
    with pytest.raises(UserError, match="no such image"):
        make_cache(root, run, part=3, images=2)
    lost.write_bytes(pixels)
    assert sorted(path.name for path in folder.glob("*.npz")) == ["part-00000.npz", "part-00001.npz"]
    second = folder / "part-00001.npz"
    second.write_bytes(second.read_bytes()[:-100])  # cut short: made again
    (folder / "scores.npy").mkdir()  # not a file that can be replaced: the run dies when all parts are there
    with pytest.raises(UserError, match=r"scores.npy cannot be written: .*; parts that are finished are kept"):
        make_cache(root, run, part=3, images=2)
    (folder / "scores.npy").rmdir()
    again, found = make_cache(root, run, part=3, images=2)
    assert again.decoded == []
    for name in ("boxes", "scores", "valid", "sizes"):
        torch.testing.assert_close(getattr(found, name), getattr(whole, name))
    assert not list(folder.glob("*.npz"))
    assert make_cache(root, run, part=3)[0].decoded == []


def test_only_what_is_missing_is_read(root: Path, run: Run) -> None:
    lost = root / Counted(root, "train").image_id(7)
    pixels = lost.read_bytes()
    lost.unlink()
    with pytest.raises(UserError):
        make_cache(root, run, part=3, images=2)
    lost.write_bytes(pixels)
    second = run.work_dir / "proposals/part-00001.npz"
    damaged = bytearray(second.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    second.write_bytes(damaged)
    assert make_cache(root, run, part=3, images=2)[0].decoded == [3, 4, 5, 6, 7, 8, 9]
    # An array that is cut short later is no cache.
    array = run.work_dir / "proposals/boxes.npy"
    array.write_bytes(array.read_bytes()[:-1])
    assert make_cache(root, run, part=3)[0].decoded == list(range(TRAIN))


def test_a_cache_of_something_else_is_refused(root: Path, run: Run, tmp_path: Path) -> None:
    make_cache(root, run)
    train, folder = LocalizationDataset(root, "train"), run.work_dir / "proposals"

    def refusal(model: Any = None, dataset: Any = train, views: Any = DENSE, **options: Any) -> str:
        with pytest.raises(UserError) as caught:
            cache_proposals(
                model or ColourRPN(), dataset, views, folder, run, **{"nms_iou": None, "count": 30} | options
            )
        message = str(caught.value)
        assert str(folder) in message
        assert message.endswith("delete it or give another folder")
        assert "\n" not in message
        return message

    assert "of another checkpoint" in refusal(ColourRPN(seed=1))
    assert "of another checkpoint" in refusal([ColourRPN(), ColourRPN()])
    assert "of another checkpoint" in refusal(checkpoint_digest="step 7")
    assert "of another data set (images 10, here 5)" in refusal(dataset=LocalizationDataset(root, "val"))
    assert "of another setting (count 30, here 40)" in refusal(count=40)
    assert "of another setting (views" in refusal(views=[CenterLocalizationCrop(64)])
    assert "of another setting (mirrored False, here True)" in refusal(mirrored=True)
    assert "of another setting (decode_to" in refusal(dataset=LocalizationDataset(root, "train", decode_to=50))
    other = write_photos(tmp_path / "other")
    listing = other / "ILSVRC/ImageSets/CLS-LOC/train_cls.txt"
    listing.write_text("".join(reversed(listing.read_text().splitlines(keepends=True))))
    assert "of another data set (list" in refusal(dataset=LocalizationDataset(other, "train"))
    manifest = folder / "manifest.json"
    text = manifest.read_text()
    manifest.write_text(text[:50])
    assert "cannot be read" in refusal_of(folder, train, run)
    manifest.unlink()
    assert "no manifest.json" in refusal_of(folder, train, run)
    manifest.write_text(text)
    assert make_cache(root, run)[0].decoded == []


def refusal_of(folder: Path, train: LocalizationDataset, run: Run) -> str:
    with pytest.raises(UserError, match="or give another folder") as caught:
        cache_proposals(ColourRPN(), train, DENSE, folder, run)
    return str(caught.value)


# Batches -------------------------------------------------------------------------------------------------------------


def make_sampler(
    root: Path, run: Run, regions: int = 32, **options: Any
) -> tuple[Counted, ProposalCache, RegionSampler]:
    train, cache = make_cache(root, run)
    return train, cache, RegionSampler(train, cache, regions, run.seed, RCNNSettings(size=SIZE), **options)


def truth_of(train: LocalizationDataset, index: int) -> Tensor:
    return torch.from_numpy(train.boxes_of(index)).float()


def test_a_quarter_is_positive_and_all_images_regions_are_as_likely(root: Path, run: Run) -> None:
    train, cache, sampler = make_sampler(root, run, regions=64)
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


def test_passes_and_processes_share_a_step_and_a_resumed_run_goes_on(root: Path, run: Run) -> None:
    train, cache, sampler = make_sampler(root, run)
    steps = list(islice(sampler, 5))
    assert steps[3] == sampler.step(3)
    assert steps[3] != steps[4]
    settings = sampler.settings
    assert list(islice(RegionSampler(train, cache, 32, run.seed, settings, start=3), 2)) == steps[3:]
    shares = [
        list(islice(RegionSampler(train, cache, 32, run.seed, settings, 2, rank, 2, start=3), 4)) for rank in (0, 1)
    ]
    for step in (0, 1):
        parts = [shares[rank][2 * step + of_pass] for of_pass in (0, 1) for rank in (0, 1)]
        assert [draw for part in parts for draw in part] == steps[3 + step]
        assert [sum(draw.positive for draw in part) for part in parts] == [2] * 4
    assert RegionSampler(train, cache, 32, run.seed + 1, settings).step(3) != steps[3]
    with pytest.raises(UserError, match="32 regions a step cannot be shared by 3 passes"):
        RegionSampler(train, cache, 32, 0, settings, accumulate=3)
    with pytest.raises(UserError, match="proposals of 10 images for a set of 5"):
        RegionSampler(LocalizationDataset(root, "val"), cache, 32, 0, settings)
    with pytest.raises(UserError, match=r"of \d+ proposals none has an IoU of 0.999 with an object"):
        RegionSampler(train, cache, 32, 0, RCNNSettings(positive_iou=0.999))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_has_the_crops_and_targets_of_its_draws(workers: int, root: Path, run: Run) -> None:
    train, _, sampler = make_sampler(root, run, start=4)
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
        expected = warped_crop(train[draw.index].image, np.array(draw.box), SIZE)
        expected = expected[:, ::-1] if draw.flip else expected
        assert torch.equal(crop, torch.from_numpy(expected.copy()).permute(2, 0, 1))


def test_an_image_that_cannot_be_read_any_more_gives_slots_without_a_region(tmp_path: Path, run: Run) -> None:
    root = write_photos(tmp_path / "photos")
    train, _, sampler = make_sampler(root, run)
    whole: RegionBatch = next(iter(region_loader(train, sampler, workers=0)))
    lost = sampler.step(0)[3].index
    (root / train.image_id(lost)).unlink()
    with pytest.raises(UserError, match="no such image"):
        next(iter(region_loader(train, sampler, workers=0)))
    batch: RegionBatch = next(iter(region_loader(train, sampler, workers=0, skip=True)))
    there = torch.tensor([draw.index != lost for draw in sampler.step(0)])
    assert 0 < there.sum() < len(batch)
    assert torch.equal(batch.valid, there)
    assert torch.equal(batch.images[there], whole.images[there])
    assert torch.equal(batch.labels, whole.labels)


def test_slots_without_a_region_read_no_image(root: Path, run: Run) -> None:
    train, cache = make_cache(root, run)
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


def test_a_set_that_is_not_there_is_no_damaged_image(tmp_path: Path, run: Run) -> None:
    write_cls_loc(tmp_path / "images", train=MOST_SKIPPED + 5, val=1)
    train, rpn = LocalizationDataset(tmp_path / "images", "train"), ColourRPN()
    paths = [tmp_path / "images" / train.image_id(i) for i in range(len(train))]
    for path in paths[1 : MOST_SKIPPED + 1]:
        path.unlink()
    views = [WholeLocalizationImage(20)]
    cache = cache_proposals(rpn, train, views, run.work_dir / "a", run, count=2, workers=0, skip_unreadable=True)
    assert cache.valid.any(1).sum() == 5
    paths[0].unlink()
    with pytest.raises(UserError, match="101 of 105 training images cannot be read, more than single ones"):
        cache_proposals(rpn, train, views, run.work_dir / "b", run, count=2, workers=0, skip_unreadable=True)


def test_a_mirrored_crops_target_is_the_object_in_the_mirror(root: Path, run: Run) -> None:
    train, _, sampler = make_sampler(root, run)
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
    caches = [
        cache_proposals(ColourRPN(), data, DENSE, run.work_dir / str(i), run, count=30, nms_iou=None)
        for i, data in enumerate((whole, half))
    ]
    torch.testing.assert_close(caches[1].boxes, caches[0].boxes, atol=5, rtol=0)
    samplers = [RegionSampler(data, caches[0], 16, 0, RCNNSettings(size=SIZE)) for data in (whole, half)]
    batches = [next(iter(region_loader(s.dataset, s, workers=0))) for s in samplers]
    assert torch.equal(batches[0].targets, batches[1].targets)
    assert (batches[0].images.float() - batches[1].images.float()).abs().mean() < 12
    boxes = [
        rescore_all(ColourRPN(), make_rcnn(), data, np.array([[0]]), DENSE, run, count=30, workers=0).boxes
        for data in (whole, half)
    ]
    # Weights are random, but small: the answer is near the proposal, in pixels of the file.
    assert pairwise_iou(*(torch.from_numpy(b[0]) for b in boxes)).item() > 0.5
    assert boxes[1].max() > 150


# Training ------------------------------------------------------------------------------------------------------------


def make_loop(model: LocalizationRCNN, run: Run, steps: int, rate: float = 0.02, **settings: Any) -> TrainLoop:
    optimizer = torch.optim.SGD(model.parameters(), rate, momentum=0.9)
    return TrainLoop(model, optimizer, MultiStep(steps), LoopSettings(log_every=1, **settings), run)


class Stopped(RegionSampler):
    """The run dies when the fifth step is asked for."""

    def step(self, step: int) -> list[RegionDraw]:
        if step == 4:
            raise KeyboardInterrupt
        return super().step(step)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_training_ends_with_the_same_bits(workers: int, root: Path, run: Run) -> None:
    train, cache = make_cache(root, run)
    straight, killed = make_run(run.work_dir / "straight"), make_run(run.work_dir / "killed", resume="auto")
    for one in (straight, killed):
        one.work_dir.mkdir()
    settings = RCNNSettings(size=SIZE)
    make_loop(make_rcnn(), straight, 6)(region_loader(train, RegionSampler(train, cache, 16, 5, settings), workers))
    loop, loader = make_loop(make_rcnn(), killed, 6, checkpoint_every=3), Stopped(train, cache, 16, 5, settings)
    with pytest.raises(KeyboardInterrupt):
        loop(region_loader(train, loader, workers=0))
    state = find_resume(killed.work_dir, killed.resume)
    assert state is not None
    assert state["step"] == 3
    loop = make_loop(make_rcnn(seed=9), killed, 6)
    loop.resume(state)
    loop(region_loader(train, RegionSampler(train, cache, 16, 5, settings, start=loop.step), workers))
    one, other = (read_checkpoint(r.work_dir / "last.pth")["model"] for r in (straight, killed))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_two_passes_have_the_gradient_of_one(root: Path, run: Run) -> None:
    train, cache = make_cache(root, run)
    gradients = []
    for accumulate in (1, 2):
        model = make_rcnn(frozen_bn=True)
        before = {name: value.detach().clone() for name, value in model.named_parameters()}
        sampler = RegionSampler(train, cache, 32, 5, model.settings, accumulate)
        make_loop(model, run, 1, rate=1.0, accumulate=accumulate)(region_loader(train, sampler, workers=0))
        gradients.append({name: before[name] - value.detach() for name, value in model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-3, atol=1e-5, msg=name)
    assert gradients[0]["deltas.weight"].abs().max() > 1e-3


def test_a_short_training_improves_the_best_box(root: Path, run: Run) -> None:
    train, cache = make_cache(root, run)
    val, model = LocalizationDataset(root, "val"), make_rcnn()
    labels = val.labels[:, None]
    sampler = RegionSampler(train, cache, 32, 5, model.settings)
    optimizer = torch.optim.AdamW(model.parameters(), 0.003)
    loop = TrainLoop(model, optimizer, MultiStep(60, (45,)), LoopSettings(log_every=20), run)
    loop(region_loader(train, sampler, workers=0))
    rescored = rescore_all(ColourRPN(), model, val, labels, DENSE, run, count=30, nms_iou=None, workers=0)
    before, after = torch.zeros(TEST), torch.zeros(TEST)
    for i in range(TEST):
        truth = truth_of(val, i)
        proposals = class_proposals(ColourRPN(), views_of(val[i], False), torch.from_numpy(labels[i : i + 1]), 30, None)
        best = proposals.best(torch.tensor([val[i].size]))[0]
        before[i] = pairwise_iou(truth, best[0])
        after[i] = pairwise_iou(truth, torch.from_numpy(rescored.boxes[i]))
    assert before.mean() < 0.7
    assert after.mean() > before.mean() + 0.1, (before, after)


# Testing -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nets", [1, 2])
@pytest.mark.parametrize("combine", ["replace", "product"])
def test_rescoring_is_a_loop_over_images_classes_and_boxes(nets: int, combine: Any, root: Path, run: Run) -> None:
    val, rcnns = Counted(root, "val"), [make_rcnn(seed, context=16).eval() for seed in range(nets)]
    rpns = [ColourRPN(seed=seed) for seed in range(nets)]
    labels = np.stack([val.labels, 1 - val.labels], 1)
    found = rescore_all(
        rpns, rcnns, val, labels, DENSE, run, mirrored=True, count=9, combine=combine, images=3, workers=0, chunk=4
    )
    assert sorted(val.decoded) == list(range(TEST))
    assert (found.boxes.shape, found.scores.shape) == ((TEST, 2, 4), (TEST, 2))
    for i in range(TEST):
        item = val[i]
        for k, label in enumerate(labels[i].tolist()):
            given = [class_proposals(rpn, views_of(item, True), torch.tensor([[label]]), 9) for rpn in rpns]
            proposals = unite(given, 9) if nets > 1 else given[0]
            best, best_score = None, -1.0
            for r in range(int(proposals.valid.sum())):
                region = proposals.boxes[0, 0, r]
                crop = torch.from_numpy(warped_crop(item.image, region.numpy(), SIZE, 16)).permute(2, 0, 1)[None]
                answers = [rcnn.predict(crop, torch.tensor([label])) for rcnn in rcnns]
                score = np.mean([probability.item() for probability, _ in answers])
                score *= proposals.scores[0, 0, r].item() if combine == "product" else 1
                if score > best_score:
                    boxes = [decode(deltas, region[None], (10, 10, 5, 5)) for _, deltas in answers]
                    best, best_score = torch.stack(boxes).mean(0), score
            assert best is not None
            expected = clip_boxes(best, torch.tensor(item.size))[0]
            np.testing.assert_allclose(found.boxes[i, k], expected, atol=1e-2)
            assert found.scores[i, k] == pytest.approx(best_score, abs=1e-5)


class CountedRCNN(LocalizationRCNN):
    """Knows how many crops it has seen."""

    seen = 0

    def refine(self, images: Tensor, labels: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
        self.seen += len(images)
        return super().refine(images, labels, regions)


def test_a_class_that_is_asked_for_twice_is_rescored_once(root: Path, run: Run) -> None:
    val, labels = LocalizationDataset(root, "val"), np.array([[1, 0], [0, 1], [1, 0], [0, 1], [0, 1]])
    torch.manual_seed(0)
    model = CountedRCNN(ResNet(18, None, width=0.125), 2, RCNNSettings(size=SIZE))
    torch.nn.init.normal_(model.scores.weight, std=0.05)
    found, seen = [], []
    for asked in (labels, np.concatenate([val.labels[:, None], labels], 1)):
        model.seen = 0
        found.append(rescore_all(ColourRPN(), model, val, asked, DENSE, run, count=9, workers=0))
        seen.append(model.seen)
    assert seen[1] == seen[0] > TEST * 9
    np.testing.assert_allclose(found[1].boxes[:, 1:], found[0].boxes, atol=1e-3)
    for i in range(TEST):
        k = 1 + labels[i].tolist().index(val.labels[i])
        np.testing.assert_array_equal(found[1].boxes[i, 0], found[1].boxes[i, k])
        assert found[1].scores[i, 0] == found[1].scores[i, k] > 0


def test_one_crop_and_batches_of_any_size_do(root: Path, run: Run) -> None:
    val, model = LocalizationDataset(root, "val"), make_rcnn().eval()
    views = [CenterLocalizationCrop(64, short=224)]
    one, many = (
        rescore_all(ColourRPN(), model, val, val.labels[:, None], views, run, count=9, images=n, workers=w)
        for n, w in ((1, 0), (4, 2))
    )
    np.testing.assert_allclose(many.boxes, one.boxes, atol=1e-3)
    np.testing.assert_allclose(many.scores, one.scores, atol=1e-6)
    with pytest.raises(ValueError, match="labels of 3 images for a set of 5"):
        rescore_all(ColourRPN(), model, val, val.labels[:3, None], views, run)


# Several processes ---------------------------------------------------------------------------------------------------


def as_rank(rank: int, world: int, port: int, root: Path, folder: Path) -> None:
    """In a process of its own: cache, then rescore; the arrays go to FOLDER/rank.npz."""
    from resdet.engine.distributed import close_processes, join_processes

    torch.set_num_threads(1)
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({k: str(v) for k, v in names.items()})
    join_processes("pytorch", "cpu")
    train, cache, found = cache_and_rescore(root, folder, make_run(folder))
    np.savez(folder / f"{rank}.npz", decoded=train.decoded, boxes=cache.boxes, best=found.boxes, scores=found.scores)
    close_processes()


def cache_and_rescore(root: Path, folder: Path, run: Run) -> tuple[Counted, ProposalCache, Rescored]:
    train, val = Counted(root, "train"), LocalizationDataset(root, "val")
    cache = cache_proposals(ColourRPN(), train, DENSE, folder / "proposals", run, count=9, images=2, workers=0, part=3)
    found = rescore_all(
        ColourRPN(), make_rcnn().eval(), val, val.labels[:, None], DENSE, run, count=9, images=2, workers=0
    )
    return train, cache, found


def test_processes_share_the_parts_and_the_test_images(root: Path, tmp_path: Path, run: Run) -> None:
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["resdet.recipes.proposal_cache"])
    port = free_port()
    ranks = [server.Process(target=as_rank, args=(r, 2, port, root, tmp_path)) for r in range(2)]
    for rank in ranks:
        rank.start()
    _, cache, found = cache_and_rescore(root, tmp_path / "alone", run)
    for rank in ranks:
        rank.join(60)
    assert [rank.exitcode for rank in ranks] == [0, 0]
    answers = [np.load(tmp_path / f"{rank}.npz") for rank in range(2)]
    assert [sorted(answer["decoded"].tolist()) for answer in answers] == [[0, 1, 2, 6, 7, 8], [3, 4, 5, 9]]
    for answer in answers:
        np.testing.assert_allclose(answer["boxes"], cache.boxes, atol=1e-3)
        np.testing.assert_allclose(answer["best"], found.boxes, atol=1e-3)
        np.testing.assert_allclose(answer["scores"], found.scores, atol=1e-5)
