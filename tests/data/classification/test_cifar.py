"""CIFAR-10's files in both layouts, and batches that are kept on the device."""

from __future__ import annotations

import pickle
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.paths import DATA
from resdet.classification.augment import ColourNoise, ShiftAndFlip
from resdet.data.classification.cifar import BINARY, PYTHON, Cifar10
from resdet.data.classification.resident import ResidentLoader, resident_batches
from resdet.data.sampling import TrainSampler
from resdet.draws import random_keys
from resdet.engine.checkpoint import read_checkpoint
from resdet.engine.log import read_scalars
from resdet.engine.run import Run
from resdet.errors import UserError
from resdet.recipes.classification.training import train_classifier
from resdet.recipes.sections import load_config

CPU = torch.device("cpu")
TRAIN = [f"data_batch_{i}" for i in range(1, 6)]


@pytest.fixture(scope="session")
def records() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Six files of 10,000 images each; all values of an image are equal."""
    random = np.random.default_rng(0)
    return {
        name: (np.repeat(random.integers(0, 256, (10_000, 1), np.uint8), 3072, 1), random.integers(0, 10, 10_000))
        for name in [*TRAIN, "test_batch"]
    }


@pytest.fixture(scope="session")
def binary(records: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cifar")
    (root / BINARY).mkdir()
    for name, (images, labels) in records.items():
        np.concatenate([labels[:, None].astype(np.uint8), images], 1).tofile(root / BINARY / f"{name}.bin")
    return root


def test_the_python_and_binary_layouts_hold_the_same_images(records: dict, binary: Path, tmp_path: Path) -> None:
    (tmp_path / PYTHON).mkdir()
    for name, (images, labels) in records.items():
        batch = {"data": images, "labels": labels.tolist(), "batch_label": name, "filenames": ["a.png"] * 10_000}
        (tmp_path / PYTHON / name).write_bytes(pickle.dumps(batch, protocol=2))
    for image_set, length in (("train", 50_000), ("test", 10_000)):
        ours, theirs = Cifar10(binary, image_set), Cifar10(tmp_path, image_set)  # type: ignore[arg-type]
        assert len(ours) == length
        assert torch.equal(ours.images, theirs.images)
        assert torch.equal(ours.labels, theirs.labels)
        assert ours.images.is_contiguous(memory_format=torch.channels_last)
    whole = Cifar10(binary, "train")
    parts = Cifar10(binary, "train45k"), Cifar10(binary, "val5k")
    assert [len(p) for p in parts] == [45_000, 5_000]
    assert torch.equal(torch.cat([p.images for p in parts]), whole.images)


def test_the_files_planes_are_red_green_and_blue(binary: Path, tmp_path: Path) -> None:
    pixels = np.zeros((10_000, 3, 32, 32), np.uint8)
    pixels[:, 2, 1, 5] = 200  # blue, second row, sixth column
    labels = np.zeros((10_000, 1), np.uint8)
    np.concatenate([labels, pixels.reshape(10_000, -1)], 1).tofile(tmp_path / "test_batch.bin")
    images = Cifar10(tmp_path, "test").images
    assert images[7].nonzero().tolist() == [[2, 1, 5]]


@pytest.mark.skipif(not any((DATA / name).is_dir() for name in (BINARY, PYTHON)), reason="CIFAR-10 is not in data/")
def test_the_published_cifar10_is_read() -> None:
    train = Cifar10(DATA, "train")
    assert train.labels.bincount().tolist() == [5000] * 10
    mean = train.mean_image.mean((1, 2)) / 255
    torch.testing.assert_close(mean, torch.tensor([0.4914, 0.4822, 0.4465]), atol=1e-4, rtol=0)  # as published


def test_bad_files_are_named(binary: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"neither cifar-10-batches-bin nor cifar-10-batches-py: unpack"):
        Cifar10(tmp_path, "train")
    with pytest.raises(UserError, match=r"image_set is 'val'"):
        Cifar10(binary, "val")  # type: ignore[arg-type]
    whole = (binary / BINARY / "test_batch.bin").read_bytes()
    (tmp_path / "test_batch.bin").write_bytes(whole[:-100])
    with pytest.raises(UserError, match=r"test_batch.bin has .* bytes, .* truncated"):
        Cifar10(tmp_path, "test")
    (tmp_path / "test_batch.bin").write_bytes(whole[: 3073 * 100])
    with pytest.raises(UserError, match=r"test_batch.bin holds 100 images, not 10,000"):
        Cifar10(tmp_path, "test")
    (tmp_path / "test_batch.bin").write_bytes(b"\x0a" + whole[1:])
    with pytest.raises(UserError, match=r"labels from 0 to 10: this is not CIFAR-10"):
        Cifar10(tmp_path, "test")
    (tmp_path / "data_batch_2.bin").write_bytes(whole)
    with pytest.raises(UserError, match=r"data_batch_1.bin is missing"):
        Cifar10(tmp_path, "train")


class Evil:
    def __reduce__(self) -> tuple:
        return eval, ("1/0",)


def test_a_python_batch_runs_no_code(tmp_path: Path) -> None:
    (tmp_path / PYTHON).mkdir()
    (tmp_path / PYTHON / "test_batch").write_bytes(pickle.dumps({"data": Evil(), "labels": []}))
    with pytest.raises(UserError, match=r"test_batch cannot be read as a batch of CIFAR-10 \(it asks for"):
        Cifar10(tmp_path, "test")


# On the device -------------------------------------------------------------------------------------------------------


def test_an_epoch_shows_every_image_once_and_a_resumed_run_goes_on(binary: Path) -> None:
    test = Cifar10(binary, "test")
    epoch = list(islice(ResidentLoader(test, TrainSampler(10_000, 500, seed=3), CPU), 20))
    ids = [name for batch in epoch for name in batch.image_ids]
    assert sorted(ids) == sorted(f"test/{i}" for i in range(10_000))
    index = torch.tensor([int(name.partition("/")[2]) for name in ids])
    assert torch.equal(torch.cat([b.labels for b in epoch]), test.labels[index])
    assert torch.equal(torch.cat([b.images for b in epoch]), test.images[index])
    later = next(iter(ResidentLoader(test, TrainSampler(10_000, 500, seed=3, start=13), CPU)))
    assert later.image_ids == epoch[13].image_ids
    assert torch.equal(later.seeds, epoch[13].seeds)


def test_two_processes_share_a_step(binary: Path) -> None:
    test = Cifar10(binary, "test")
    whole = next(iter(ResidentLoader(test, TrainSampler(10_000, 8, seed=0), CPU)))
    parts = [next(iter(ResidentLoader(test, TrainSampler(10_000, 8, 0, rank=r, world=2), CPU))) for r in range(2)]
    assert {*parts[0].image_ids, *parts[1].image_ids} == {*whole.image_ids}
    seeds = dict(zip(whole.image_ids, whole.seeds.tolist(), strict=True))
    for part in parts:
        assert part.seeds.tolist() == [seeds[name] for name in part.image_ids]


def test_batches_in_order(binary: Path) -> None:
    test = Cifar10(binary, "test")
    batches = list(resident_batches(test, np.arange(10, 35), 10, CPU))
    assert [len(b) for b in batches] == [10, 10, 5]
    assert torch.equal(torch.cat([b.images for b in batches]), test.images[10:35])


CONFIG = """
from resdet.classification.augment import ShiftAndFlip
from resdet.data.classification.cifar import Cifar10
from resdet.data.classification.settings import ResidentData
from resdet.engine.schedule import MultiStep, WarmUntil
from resdet.nets.cifar_resnet import CifarResNet

net = dict(type=CifarResNet, depth=8)
augment = dict(type=ShiftAndFlip)
data = dict(
    type=ResidentData, images=500,
    train=dict(type=Cifar10, root={root!r}, image_set="val5k"),
    test=dict(type=Cifar10, root={root!r}, image_set="val5k"),
)
optimizer = dict(lr=0.1, reference_images=128)
schedule = dict(type=WarmUntil, schedule=dict(type=MultiStep, steps=14, milestones=(13,)), below=101)
loop = dict(log_every=1, checkpoint_every=2)
precise_bn = dict(images=0)
"""


def test_a_stopped_run_goes_on_to_the_same_bits_in_mid_epoch(binary: Path, tmp_path: Path) -> None:
    config = tmp_path / "tiny_cifar.py"
    config.write_text(CONFIG.format(root=str(binary)))
    found = []
    for name, stops in (("whole", [14]), ("parts", [3, 12, 14])):  # an epoch has 10 steps
        for stop in stops:
            cfg = load_config(config, {"schedule.schedule.steps": stop})
            torch.manual_seed(0)
            train_classifier(cfg, Run(tmp_path / name, CPU, "fp32", resume="auto"))
        records = [r for r in read_scalars(tmp_path / name / "scalars.json") if "loss" in r]
        found.append((read_checkpoint(tmp_path / name / "last.pth")["model"], [(r["lr"], r["loss"]) for r in records]))
    assert found[0][1] == found[1][1]
    assert all(torch.equal(tensor, found[1][0][name]) for name, tensor in found[0][0].items())
    torch.testing.assert_close(found[0][0]["net.preprocess.mean"], Cifar10(binary, "val5k").mean_image)


# Augmentation ---------------------------------------------------------------------------------------------------------


def test_shift_and_flip_is_a_crop_of_the_padded_image() -> None:
    x = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    seeds = torch.arange(6)
    found = ShiftAndFlip(2)(x, seeds, torch.ones(3))
    for n, (down, right, flip) in enumerate(random_keys(seeds, 3, 2).tolist()):
        top, left = int(down * 5), int(right * 5)
        crop = torch.nn.functional.pad(x[n], (2, 2, 2, 2))[:, top : top + 8, left : left + 8]
        assert torch.equal(found[n], crop.flip(2) if flip < 0.5 else crop)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_all_shifts_and_both_directions_come_equally_often() -> None:
    image = torch.arange(1.0, 65).view(1, 1, 8, 8).expand(20_000, -1, -1, -1)
    crops = ShiftAndFlip(1)(image, torch.arange(20_000), torch.ones(1))
    counts = crops[:, 0, 3, 3:5].unique(dim=0, return_counts=True)[1]
    assert len(counts) == 3 * 3 * 2
    assert (counts - 20_000 / 18).abs().max() < 5 * (20_000 / 18) ** 0.5


def test_colour_noise_moves_along_imagenets_colour_axes() -> None:
    x, std = torch.zeros(50_000, 3, 1, 1), torch.tensor([58.395, 57.12, 57.375])
    noise = ColourNoise(0.1)(x, torch.arange(50_000), std)[:, :, 0, 0] * std / 255  # RGB in 0..1
    assert noise.mean(0).abs().max() < 5 * 0.1 * 0.22 / 50_000**0.5
    values, vectors = torch.linalg.eigh(noise.T.cov())
    expected = torch.tensor([0.2175, 0.0188, 0.0045])  # of the covariance of ImageNet's pixels
    torch.testing.assert_close(values.flip(0).sqrt(), 0.1 * expected, rtol=0.02, atol=0)
    assert (vectors[:, 2] @ torch.tensor([-0.5675, -0.5808, -0.5836])).abs() > 0.999
