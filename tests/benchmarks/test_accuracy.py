"""Comparison with torchvision's Faster R-CNN: with equal parts, a step gives equal losses and gradients."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor

from helpers.commands import benchmark
from helpers.datasets import write_voc
from resdet.benchmarks.part_names import PARTS
from resdet.benchmarks.parts import Contender, TorchvisionDetector
from resdet.boxes.targets import sample
from resdet.data.detection.loading import collate_detection, resize_sample
from resdet.data.transforms import Resizer
from resdet.detection import roi_head, rpn
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.draws import random_keys
from resdet.engine.config import build
from resdet.ledger.measurement import read_measurement
from resdet.nets.frozen_bn import FrozenBatchNorm
from resdet.recipes.sections import load_config
from resdet.structures import Batch, Sample

LOSSES = {
    "loss_class": "loss_classifier", "loss_box": "loss_box_reg",
    "loss_rpn_objectness": "loss_objectness", "loss_rpn_box": "loss_rpn_box_reg",
}  # fmt: skip
SIBLINGS = {
    "head.scores.weight": "roi_heads.box_predictor.cls_score.weight",
    "rpn.objectness.weight": "rpn.head.cls_logits.weight",
    "rpn.deltas.weight": "rpn.head.bbox_pred.weight",
    "rpn.conv.weight": "rpn.head.conv.0.weight",
}
TORCHVISION_LAYERS = {"a": "conv1", "b": "conv2", "shortcut": "downsample.0"}
OPTIONS = {"model.rpn.train_post_nms": 40, "model.rpn.anchors_per_image": 64, "model.head.regions": 32}
BOXES = torch.tensor([[[10.0, 12, 60, 70], [40, 30, 120, 90]], [[5, 20, 50, 110], [30, 5, 75, 60]]])


class SameDraws:
    """Replaces torchvision's sampler: returns the anchors or regions that resdet samples, image by image."""

    def __init__(self, batch: Batch, stream: int, count: int, fraction: float) -> None:
        self.seeds, self.stream, self.count, self.fraction = iter(batch.seeds), stream, count, fraction

    def __call__(self, labels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        masks: tuple[list[Tensor], list[Tensor]] = [], []
        for row in labels:
            keys = random_keys(next(self.seeds)[None], len(row), self.stream)
            chosen = sample(row.clamp(max=1).to(torch.int8)[None], keys, self.count, self.fraction)
            for found, wanted in zip(masks, (chosen.positive, chosen.valid & ~chosen.positive), strict=True):
                found.append(torch.zeros(len(row), dtype=torch.uint8).index_fill_(0, chosen.index[wanted], 1))
        return masks


def two_photos(shapes: tuple[tuple[int, int], tuple[int, int]]) -> Batch:
    """Two images of noise of the given (height, width)."""
    torch.manual_seed(0)
    none = torch.zeros(2, dtype=torch.bool)
    items = []
    for i, (height, width) in enumerate(shapes):
        image = torch.randint(0, 256, (height, width, 3), dtype=torch.uint8)
        one = Sample(image, BOXES[i], torch.tensor([i, 2]), none, none, str(i))
        items.append(resize_sample(one, Resizer(2 * min(height, width), None), seed=7 + i))
    return collate_detection(items)


def random_statistics(model: FasterRCNN) -> None:
    """Random BN statistics and output layers, so that differences would show."""
    for module in model.modules():
        if isinstance(module, FrozenBatchNorm):
            module.bias.normal_(0, 0.2)
            module.running_mean.normal_(0, 0.2)
    torch.nn.init.normal_(model.head.deltas.weight, std=0.02)


@pytest.mark.parametrize("parts", ["", "align,anchors,padding"])
def test_with_all_parts_equal_a_step_gives_torchvisions_losses_and_gradients(parts: str) -> None:
    ours = Contender.parse(f"resdet:{parts}")
    theirs = Contender("torchvision", frozenset(PARTS) - ours.swapped)
    torch.manual_seed(0)
    model: FasterRCNN = build(ours.config(load_config("compare_fruit_r18", OPTIONS)).model)
    random_statistics(model)
    # Of several shapes only where both pad: ours numbers anchors, and with them draws, by the padded map.
    batch = two_photos(((96, 128), (112, 80)) if "padding" in parts else ((112, 128), (112, 128)))
    detector, peer = ours.detector(model).train(), theirs.detector(model).train()
    assert isinstance(peer, TorchvisionDetector)
    use_same_draws(peer, model, batch)
    losses, their_losses = detector(batch), peer(batch)
    for name, their_name in LOSSES.items():
        torch.testing.assert_close(losses[name], their_losses[their_name], rtol=1e-4, atol=1e-6)
    torch.stack(list(losses.values())).sum().backward()
    torch.stack(list(their_losses.values())).sum().backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    their_gradients = {n: p.grad for n, p in peer.peer.named_parameters() if p.grad is not None}
    compared = {their_name: gradients[name] for name, their_name in SIBLINGS.items()}
    compared |= {f"backbone.layers.5.{n}": g for n, g in of_stage(gradients, 3).items()}
    compared |= {f"backbone.layers.6.{n}": g for n, g in of_stage(gradients, 4).items()}
    compared |= {f"roi_heads.box_head.layer4.{n}": g for n, g in of_stage(gradients, 5).items()}
    for name, gradient in compared.items():
        expected = their_gradients[name]
        if name.endswith("cls_score.weight"):
            gradient = gradient.roll(1, 0)  # the background comes first
        assert (gradient - expected).norm() < 5e-3 * expected.norm(), name  # a few ReLUs flip
    assert len(compared) == len(SIBLINGS) + 15


def of_stage(gradients: dict[str, Tensor], stage: int) -> dict[str, Tensor]:
    """Gradients of conv{stage}, under the names within torchvision's layer."""
    named = {}
    for name, gradient in gradients.items():
        if name.startswith(f"net.conv{stage}."):
            _, _, block, layer, _, _ = name.split(".")
            named[f"{block}.{TORCHVISION_LAYERS[layer]}.weight"] = gradient
    return named


def use_same_draws(peer: TorchvisionDetector, model: FasterRCNN, batch: Batch) -> None:
    """Make both detectors train on the same anchors and regions."""
    r, h = model.rpn.settings, model.head.settings
    peer.peer.rpn.fg_bg_sampler = SameDraws(batch, rpn.STREAM, r.anchors_per_image, r.positive_fraction)
    peer.peer.roi_heads.fg_bg_sampler = SameDraws(batch, roi_head.STREAM, h.regions, h.foreground_fraction)


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weight file of torchvision's ResNet-18, with random weights."""
    path = tmp_path_factory.mktemp("trunk") / "r18.pth"
    torch.save(torchvision.models.resnet18().state_dict(), path)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    """Options that put three small photographs in the place of the config's fruit."""
    root = tmp_path / "devkit"
    write_voc(
        root,
        {
            "trainval": {"a": [("apple", 10, 10, 60, 50)], "b": [("banana", 5, 5, 90, 70)]},
            "test": {"c": [("orange", 10, 10, 60, 50)]},
        },
        year="fruit",
    )
    return [f"data.{part}.root={root}" for part in ("train", "test")]


def test_the_benchmark_trains_compares_and_reuses_finished_trainings(
    tmp_path: Path, trunk: Path, photos: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["data.resizer.short=48", "data.resizer.long=80", "data.workers=0", "schedule.steps=1"]
    small += ["model.rpn.test_post_nms=4", "model.rpn.train_post_nms=4", "model.head.regions=4"]
    command = [
        "compare_fruit_r18", "--mode", "accuracy", "--against", "torchvision", "--device", "cpu", "--precision", "fp32",
        "--init-from", str(trunk), "--work-dir", str(tmp_path / "runs"), "--seeds", "0", "1", "--resamples", "3",
        "--contenders", "torchvision", f"resdet:{','.join(PARTS)}", "--cfg-options", *photos, *small,
    ]  # fmt: skip
    benchmark([*command, "--json", str(tmp_path / "a.json")])
    assert "resdet:siblings,align" in capsys.readouterr().out.replace("\n", "")
    weights = sorted((tmp_path / "runs").rglob("last.pth"))
    assert len(weights) == 4
    times = [path.stat().st_mtime_ns for path in weights]
    benchmark([*command, "--json", str(tmp_path / "b.json"), "--record", str(tmp_path / "ledger.json")])
    assert [path.stat().st_mtime_ns for path in weights] == times
    first, second = (json.loads((tmp_path / name).read_text()) for name in ("a.json", "b.json"))
    assert first == second
    assert [row["name"] for row in first["rows"]] == ["torchvision", f"resdet:{','.join(PARTS)}"]
    recorded = read_measurement(tmp_path / "ledger.json").rows
    name = f"resdet:{','.join(PARTS)}"
    assert [(r.name, r.seeds) for r in recorded] == [
        (n, [0, 1]) for n in ("torchvision", name, f"{name} - torchvision")
    ]
    with pytest.raises(SystemExit) as caught:
        benchmark([*command, "optimizer.lr=0.5"])
    assert caught.value.code == 2
    assert "has a training with another config" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--contenders", "detectron2"], "a contender is resdet or torchvision"),
        (["--contenders", "resdet:colour"], "there is no part 'colour'; there are siblings"),
        ([], "--init-from is missing: give the trunk"),
        (["--init-from", "TRUNK", "--cfg-options", "PHOTOS", "model.head.beta=1.0"], "model.head.beta is 1.0"),
    ],
)
def test_invalid_comparisons_are_refused(
    options: list[str], message: str, tmp_path: Path, trunk: Path, photos: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"TRUNK": [str(trunk)], "PHOTOS": photos}
    options = [word for option in options for word in places.get(option, [option])]
    with pytest.raises(SystemExit):
        benchmark(["compare_fruit_r18", "--mode", "accuracy", "--against", "torchvision", "--device", "cpu",
                        "--work-dir", str(tmp_path), *options])  # fmt: skip
    assert message in capsys.readouterr().err
