"""The R-CNN stage: training with TrainLoop, rescoring, several processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers.coloured_localizer import DENSE, SIZE, ColourRPN, Counted, crops_of, make_cache, make_rcnn, truth_of
from helpers.coloured_photos import TEST
from helpers.processes import SERVER, free_port
from helpers.runs import make_run
from resdet.boxes.coding import decode
from resdet.boxes.geometry import clip_boxes, pairwise_iou
from resdet.data.localization.crops import CenterCropWithBoxes, warped_crop
from resdet.data.localization.dataset import LocalizationDataset
from resdet.data.localization.regions import ProposalCache, RegionDraw, RegionSampler, region_loader
from resdet.data.sampling import StepShare
from resdet.engine.checkpoint import find_resume, read_checkpoint
from resdet.engine.loop import TrainLoop
from resdet.engine.loop_settings import LoopSettings
from resdet.engine.run import Run
from resdet.engine.schedule import MultiStep
from resdet.localization.ensemble import unite
from resdet.localization.inference import class_proposals
from resdet.localization.rcnn import LocalizationRCNN, RCNNSettings
from resdet.nets.resnet import ResNet
from resdet.recipes.localization.rcnn_inference import Rescored, RescoreSettings, rescore_all
from resdet.recipes.localization.rcnn_proposals import CacheSettings, ProposalSpec, cache_proposals

# Training ------------------------------------------------------------------------------------------------------------


def make_loop(model: LocalizationRCNN, run: Run, steps: int, rate: float = 0.02, **settings: Any) -> TrainLoop:
    optimizer = torch.optim.SGD(model.parameters(), rate, momentum=0.9)
    return TrainLoop(model, optimizer, MultiStep(steps), LoopSettings(log_every=1, **settings), run)


class Stopped(RegionSampler):
    """A sampler that raises at the fifth step."""

    def step(self, step: int) -> list[RegionDraw]:
        if step == 4:
            raise KeyboardInterrupt
        return super().step(step)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_training_ends_with_the_same_bits(workers: int, coloured: Path, run: Run) -> None:
    train, cache = make_cache(coloured, run)
    straight, killed = make_run(run.work_dir / "straight"), make_run(run.work_dir / "killed", resume="auto")
    for one in (straight, killed):
        one.work_dir.mkdir()
    settings = RCNNSettings(size=SIZE)
    undisturbed = region_loader(train, RegionSampler(train, cache, 16, 5, settings), workers)
    make_loop(make_rcnn(), straight, 6).train(undisturbed)
    loop, loader = make_loop(make_rcnn(), killed, 6, checkpoint_every=3), Stopped(train, cache, 16, 5, settings)
    with pytest.raises(KeyboardInterrupt):
        loop.train(region_loader(train, loader, workers=0))
    state = find_resume(killed.work_dir, killed.resume)
    assert state is not None
    assert state["step"] == 3
    loop = make_loop(make_rcnn(seed=9), killed, 6)
    loop.resume(state)
    loop.train(region_loader(train, RegionSampler(train, cache, 16, 5, settings, start=loop.step), workers))
    one, other = (read_checkpoint(r.work_dir / "last.pth")["model"] for r in (straight, killed))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_two_passes_have_the_gradient_of_one(coloured: Path, run: Run) -> None:
    train, cache = make_cache(coloured, run)
    gradients = []
    for accumulate in (1, 2):
        model = make_rcnn(frozen_bn=True)
        before = {name: value.detach().clone() for name, value in model.named_parameters()}
        sampler = RegionSampler(train, cache, 32, 5, model.settings, StepShare(accumulate))
        make_loop(model, run, 1, rate=1.0, accumulate=accumulate).train(region_loader(train, sampler, workers=0))
        gradients.append({name: before[name] - value.detach() for name, value in model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-3, atol=1e-5, msg=name)
    assert gradients[0]["deltas.weight"].abs().max() > 1e-3


def test_a_short_training_improves_the_best_box(coloured: Path, run: Run) -> None:
    train, cache = make_cache(coloured, run)
    val, model = LocalizationDataset(coloured, "val"), make_rcnn()
    labels = val.labels[:, None]
    sampler = RegionSampler(train, cache, 32, 5, model.settings)
    optimizer = torch.optim.AdamW(model.parameters(), 0.003)
    loop = TrainLoop(model, optimizer, MultiStep(60, (45,)), LoopSettings(log_every=20), run)
    loop.train(region_loader(train, sampler, workers=0))
    spec = ProposalSpec(DENSE, count=30, nms_iou=None)
    rescored = rescore_all([ColourRPN()], [model], val, labels, spec, run, RescoreSettings(workers=0))["replace"]
    before, after = torch.zeros(TEST), torch.zeros(TEST)
    for i in range(TEST):
        truth = truth_of(val, i)
        proposals = class_proposals(ColourRPN(), crops_of(val[i], False), torch.from_numpy(labels[i : i + 1]), 30, None)
        best = proposals.best(torch.tensor([val[i].size]))[0]
        before[i] = pairwise_iou(truth, best[0])
        after[i] = pairwise_iou(truth, torch.from_numpy(rescored.boxes[i]))
    assert before.mean() < 0.7
    assert after.mean() > before.mean() + 0.1, (before, after)


# Testing -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nets", [1, 2])
@pytest.mark.parametrize(("combine", "vote"), [("replace", None), ("product", None), ("replace", 0.5), ("odds", 0.3)])
def test_rescoring_equals_a_loop_over_images_classes_and_boxes(
    nets: int, combine: Any, vote: float | None, coloured: Path, run: Run
) -> None:
    val, rcnns = Counted(coloured, "val"), [make_rcnn(seed, context=16).eval() for seed in range(nets)]
    rpns = [ColourRPN(seed=seed) for seed in range(nets)]
    labels = np.stack([val.labels, 1 - val.labels], 1)
    settings = RescoreSettings((combine,), vote, batch_size=3, workers=0, chunk=4)
    spec = ProposalSpec(DENSE, mirrored=True, count=9)
    found = rescore_all(rpns, rcnns, val, labels, spec, run, settings)[combine]
    assert sorted(val.decoded) == list(range(TEST))
    assert (found.boxes.shape, found.scores.shape) == ((TEST, 2, 4), (TEST, 2))
    for i in range(TEST):
        item = val[i]
        for k, label in enumerate(labels[i].tolist()):
            given = [class_proposals(rpn, crops_of(item, True), torch.tensor([[label]]), 9) for rpn in rpns]
            proposals = unite(given, 9) if nets > 1 else given[0]
            refined, scores = [], []
            for r in range(int(proposals.valid.sum())):
                region = proposals.boxes[0, 0, r]
                crop = torch.from_numpy(warped_crop(item.image, region.numpy(), SIZE, 16)).permute(2, 0, 1)[None]
                answers = [rcnn.predict(crop, torch.tensor([label])) for rcnn in rcnns]
                mirrored = [rcnn.predict(crop.flip(-1), torch.tensor([label])) for rcnn in rcnns]
                answers += [(score, deltas * torch.tensor([-1, 1, 1, 1])) for score, deltas in mirrored]
                own, new = proposals.scores[0, 0, r].item(), np.mean([score.item() for score, _ in answers])
                odds = own / (1 - own) * (new / (1 - new)) ** 0.5
                scores.append({"replace": new, "product": own * new, "odds": odds / (1 + odds)}[combine])
                boxes = [decode(deltas, region[None], (10, 10, 5, 5)) for _, deltas in answers]
                refined.append(clip_boxes(torch.stack(boxes).mean(0), torch.tensor(item.size))[0])
            best = int(np.argmax(scores))
            expected = refined[best]
            if vote is not None:
                boxes_of_all = torch.stack(refined)
                agree = pairwise_iou(boxes_of_all, expected[None])[:, 0] >= vote
                weights = agree * torch.tensor(scores)
                expected = (boxes_of_all * weights[:, None]).sum(0) / weights.sum()
            np.testing.assert_allclose(found.boxes[i, k], expected, atol=1e-2)
            assert found.scores[i, k] == pytest.approx(scores[best], abs=1e-5)


class CountedRCNN(LocalizationRCNN):
    """Counts the crops of its forward passes."""

    seen = 0

    def refine(self, images: Tensor, labels: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
        self.seen += len(images)
        return super().refine(images, labels, regions)


def test_a_class_requested_twice_is_rescored_once(coloured: Path, run: Run) -> None:
    val, labels = LocalizationDataset(coloured, "val"), np.array([[1, 0], [0, 1], [1, 0], [0, 1], [0, 1]])
    torch.manual_seed(0)
    model = CountedRCNN(ResNet(18, None, width=0.125), 2, RCNNSettings(size=SIZE))
    torch.nn.init.normal_(model.scores.weight, std=0.05)
    found, seen = [], []
    for asked in (labels, np.concatenate([val.labels[:, None], labels], 1)):
        model.seen = 0
        spec, settings = ProposalSpec(DENSE, count=9), RescoreSettings(workers=0)
        found.append(rescore_all([ColourRPN()], [model], val, asked, spec, run, settings)["replace"])
        seen.append(model.seen)
    assert seen[1] == seen[0] > TEST * 9
    np.testing.assert_allclose(found[1].boxes[:, 1:], found[0].boxes, atol=1e-3)
    for i in range(TEST):
        k = 1 + labels[i].tolist().index(val.labels[i])
        np.testing.assert_array_equal(found[1].boxes[i, 0], found[1].boxes[i, k])
        assert found[1].scores[i, 0] == found[1].scores[i, k] > 0


def test_one_crop_and_any_batch_size_are_allowed(coloured: Path, run: Run) -> None:
    val, model = LocalizationDataset(coloured, "val"), make_rcnn().eval()
    spec, labels = ProposalSpec([CenterCropWithBoxes(64, short=224)], count=9), val.labels[:, None]
    one, many = (
        rescore_all([ColourRPN()], [model], val, labels, spec, run, RescoreSettings(batch_size=n, workers=w))["replace"]
        for n, w in ((1, 0), (4, 2))
    )
    np.testing.assert_allclose(many.boxes, one.boxes, atol=1e-3)
    np.testing.assert_allclose(many.scores, one.scores, atol=1e-6)
    with pytest.raises(ValueError, match="labels of 3 images for a set of 5"):
        rescore_all([ColourRPN()], [model], val, val.labels[:3, None], spec, run)


# Several processes ---------------------------------------------------------------------------------------------------


def as_rank(rank: int, world: int, port: int, coloured: Path, folder: Path) -> None:
    """Runs in a child process: cache proposals, rescore, write the arrays to FOLDER/{rank}.npz."""
    from resdet.engine.distributed import close_processes, join_processes

    torch.set_num_threads(1)
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({k: str(v) for k, v in names.items()})
    join_processes("pytorch", "cpu")
    train, cache, found = cache_and_rescore(coloured, folder, make_run(folder))
    np.savez(folder / f"{rank}.npz", decoded=train.decoded, boxes=cache.boxes, best=found.boxes, scores=found.scores)
    close_processes()


def cache_and_rescore(coloured: Path, folder: Path, run: Run) -> tuple[Counted, ProposalCache, Rescored]:
    train, val = Counted(coloured, "train"), LocalizationDataset(coloured, "val")
    spec, rpns = ProposalSpec(DENSE, count=9), [ColourRPN()]
    cache = cache_proposals(
        rpns, train, spec, folder / "proposals", run, CacheSettings(batch_size=2, workers=0, part=3)
    )
    settings = RescoreSettings(batch_size=2, workers=0)
    found = rescore_all(rpns, [make_rcnn()], val, val.labels[:, None], spec, run, settings)
    return train, cache, found["replace"]


def test_processes_share_the_parts_and_the_test_images(coloured: Path, tmp_path: Path, run: Run) -> None:
    port = free_port()
    ranks = [SERVER.Process(target=as_rank, args=(r, 2, port, coloured, tmp_path)) for r in range(2)]
    for rank in ranks:
        rank.start()
    _, cache, found = cache_and_rescore(coloured, tmp_path / "alone", run)
    for rank in ranks:
        rank.join(60)
    assert [rank.exitcode for rank in ranks] == [0, 0]
    answers = [np.load(tmp_path / f"{rank}.npz") for rank in range(2)]
    assert [sorted(answer["decoded"].tolist()) for answer in answers] == [[0, 1, 2, 6, 7, 8], [3, 4, 5, 9]]
    for answer in answers:
        np.testing.assert_allclose(answer["boxes"], cache.boxes, atol=1e-3)
        np.testing.assert_allclose(answer["best"], found.boxes, atol=1e-3)
        np.testing.assert_allclose(answer["scores"], found.scores, atol=1e-5)
