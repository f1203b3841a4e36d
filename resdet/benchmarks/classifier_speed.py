"""Training speed of a classifier, compared with the training loop of torchvision's references on the same net.

speed = classifier_speed(load_config("configs/cifar10_r20.py"), device, ["bf16"], images=128, against=True)
speed.medians()["resdet bf16"], speed.medians()["torchvision bf16"]     # images per second

Both crop, normalize and train on noise in memory; nothing is decoded (data_speed.py times that). The references
(pytorch/vision, references/classification) crop with Pillow in loader processes, keep the net in torch's default memory
format, and read loss and error at every step.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from resdet.benchmarks.torchvision_peer import move_strides
from resdet.benchmarks.turns import Turns
from resdet.classification.classifier import Classifier
from resdet.data.classification.loading import CroppedImages, collate_images
from resdet.data.classification.resident import ResidentLoader
from resdet.data.loading import make_loader
from resdet.data.sampling import TrainSampler
from resdet.data.transforms import TrainCrop
from resdet.engine.config import Config, build, require
from resdet.engine.precision import Precision, float32_products, precision_context
from resdet.errors import UserError
from resdet.nets.backbone import Net
from resdet.nets.resnet import ResNet
from resdet.weights.export import to_torchvision

WORKERS = 2
STEPS = 10  # steps per turn; one before them is not counted
TOLERANCE = 1e-3  # of the logits
RESIDENT_SIZE, PHOTO_SIZE = (32, 32), (375, 500)  # height, width: CIFAR-10's, the most common one of ImageNet

Contender = tuple[Callable[[], Iterable[Any]], Callable[[Any], None]]  # makes batches; trains on one


def classifier_speed(
    cfg: Config,
    device: torch.device,
    precisions: Sequence[Precision],
    images: int,
    repeats: int = 3,
    against: bool = False,
) -> Turns:
    """Time training in turns of `STEPS` steps.

    Args:
        cfg: a classifier's config; its data are not read.
        device: to compute on.
        precisions: each one is timed; torchvision's bf16 is by autocast.
        images: images per step.
        repeats: turns.
        against: whether torchvision is timed too.

    Returns:
        Images per second in every turn.

    Raises:
        UserError: torchvision's net computes something else, or it has no peer of the config's crop.
    """
    require(cfg, "a classifier", "net", "data")
    contenders: dict[str, Contender] = {}
    noise = Noise(4 * images, cfg)
    for precision in precisions:
        net: Net = build(cfg.net).to(device)
        contenders[f"resdet {precision}"] = _ours(cfg, copy.deepcopy(net), noise, images, device, precision)
        if against:
            peer = references_net(net)
            contenders[f"torchvision {precision}"] = _theirs(cfg, net, peer, noise, images, device, precision)
    speed = Turns({name: [] for name in contenders})
    for _ in range(repeats):
        for name, (load, step) in contenders.items():
            speed[name].append(images * STEPS / _seconds(load(), step, device))
    return speed


class Noise:
    """A data set of random pixels in memory, for both kinds of a classifier's data."""

    def __init__(self, count: int, cfg: Config) -> None:
        size = PHOTO_SIZE if _reads_files(cfg) else RESIDENT_SIZE
        random = torch.Generator().manual_seed(0)
        pixels = torch.randint(256, (count, *size, 3), dtype=torch.uint8, generator=random)
        self.images = pixels.permute(0, 3, 1, 2)  # channels_last memory
        self.pixels, self.labels = pixels.numpy(), torch.arange(count) % 2
        self.classes: Sequence[str] = ("one", "other")
        self.names: Sequence[str] = self.classes

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return self.pixels[index], int(self.labels[index])

    def image_id(self, index: int) -> str:
        """The image's name in messages."""
        return f"noise/{index}"


def references_net(net: Net) -> nn.Module:
    """torchvision's ResNet with the same weights and strides; for other nets a copy in torch's default memory format.

    Raises:
        UserError: the logits of torchvision's net differ by more than TOLERANCE.
    """
    peer = copy.deepcopy(net).to(memory_format=torch.contiguous_format)
    if isinstance(net, ResNet) and net.fc is not None:
        theirs = getattr(torchvision.models, f"resnet{net.depth}")(num_classes=net.fc.out_features)
        if net.reads_even_cells:
            move_strides(theirs)
        with suppress(UserError):  # torchvision has no shortcut options A and C
            state = to_torchvision(net.state_dict())
            wanted = {k: v.shape for k, v in theirs.state_dict().items() if not k.endswith("num_batches_tracked")}
            if wanted == {k: v.shape for k, v in state.items() if not k.endswith("num_batches_tracked")}:
                theirs.load_state_dict(state, strict=False)
                peer = theirs
    x = torch.rand(4, 3, 64, 64)
    with torch.no_grad():
        difference = float((copy.deepcopy(net).cpu()(x) - copy.deepcopy(peer).cpu()(x)).abs().max())
    if difference > TOLERANCE:
        raise UserError(f"the logits differ by {difference:.2g}, so the speed cannot be compared")
    return peer.to(next(net.parameters()).device)


def _ours(cfg: Config, net: Net, noise: Noise, images: int, device: torch.device, precision: Precision) -> Contender:
    classifier = Classifier(net, build(cfg.get("augment"))).to(device).to(memory_format=torch.channels_last).train()
    optimizer = _sgd(classifier)

    def load() -> Iterable[Any]:
        sampler = TrainSampler(len(noise), images, seed=0)
        if _reads_files(cfg):
            crops = CroppedImages(noise, build(cfg.data.train_view))
            return make_loader(crops, sampler, collate_images, WORKERS, pin=device.type == "cuda")
        return ResidentLoader(noise, sampler, device)

    def step(batch: Any) -> None:
        with float32_products(precision):
            with precision_context(precision, device):
                losses = classifier(batch.to(device))
            torch.autograd.backward(losses["loss_class"])
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return load, step


def _theirs(
    cfg: Config, net: Net, peer: nn.Module, noise: Noise, images: int, device: torch.device, precision: Precision
) -> Contender:
    optimizer = _sgd(peer.train())
    mean, std = _by_channel(net)
    to_tensor = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)]
    normalise = v2.Normalize([v / 255 for v in mean], [v / 255 for v in std])
    views = v2.Compose([*references_views(cfg), v2.RandomHorizontalFlip(), *to_tensor, normalise])
    pictures = _Pictures(noise, views)

    def load() -> Iterable[Any]:
        pin = device.type == "cuda"
        loader = DataLoader(
            pictures, images, shuffle=True, num_workers=WORKERS, pin_memory=pin, persistent_workers=True
        )
        return _endless(loader)

    def step(batch: Any) -> None:
        x, labels = (part.to(device, non_blocking=True) for part in batch)
        optimizer.zero_grad()
        with float32_products(precision):
            with precision_context(precision, device):
                logits = peer(x)
                loss = F.cross_entropy(logits, labels)
            torch.autograd.backward(loss)
        optimizer.step()
        error = (logits.argmax(1) != labels).float().mean()
        loss.item(), error.item()

    return load, step


def references_views(cfg: Config) -> list[nn.Module]:
    """The config's random crops as torchvision's transforms of a Pillow image.

    Raises:
        UserError: `data.train_view` is not a TrainCrop.
    """
    if not _reads_files(cfg):
        return [v2.RandomCrop(RESIDENT_SIZE, padding=4)]
    view = build(cfg.data.train_view)
    if not isinstance(view, TrainCrop):
        raise UserError("data.train_view: only resdet.data.transforms.TrainCrop has a peer in torchvision")
    size = view.sizes[0]
    low, high = (round(side * size / 224) for side in view.short_side)
    return [v2.RandomShortestSize(list(range(low, high + 1))), v2.RandomCrop(size)]


def _reads_files(cfg: Config) -> bool:
    """Whether the config's data are image files; otherwise they are resident on the device."""
    return "train_view" in cfg.data


class _Pictures(Dataset[tuple[torch.Tensor, int]]):
    def __init__(self, noise: Noise, views: Callable[[Image.Image], torch.Tensor]) -> None:
        self.noise, self.views = noise, views

    def __len__(self) -> int:
        return len(self.noise)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        pixels, label = self.noise[index]
        return self.views(Image.fromarray(pixels)), label


def _endless(loader: DataLoader[Any]) -> Iterator[Any]:
    while True:
        yield from loader


def _sgd(model: nn.Module) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9, weight_decay=1e-4)


def _seconds(batches: Iterable[Any], step: Callable[[Any], None], device: torch.device) -> float:
    """The time of `STEPS` steps, after one that starts the loader processes."""
    batch = iter(batches)
    step(next(batch))
    _wait(device)
    started = time.perf_counter()
    for _ in range(STEPS):
        step(next(batch))
    _wait(device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _by_channel(net: Net) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel that the net normalizes with; a mean image is averaged."""
    mean, std = net.preprocess.mean.float().cpu(), net.preprocess.std.float().cpu()
    return mean.reshape(3, -1).mean(1).tolist(), std.reshape(3, -1).mean(1).tolist()
