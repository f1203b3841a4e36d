"""Speed from image files to the network's input on one core, compared with torchvision's references.

    ours, theirs = data_speed(Path("photos"), *detection_pipelines(Resizer(short=600, long=1000), augment), repeats=3)
    ours, theirs = data_speed(Path("photos"), *classification_pipelines(cfg), repeats=3)

Detection: both decode, flip half of the images with their boxes, resize, make a batch of one and normalize it. The
references (pytorch/vision, references/detection, preset "hflip", back end "pil") decode with Pillow and resize in fp32
in the model (GeneralizedRCNNTransform); resdet keeps uint8 until the batch is on the device.

Classification: both decode, resize to a random short side, crop, flip and normalize; torchvision with Pillow, by
ImageFolder's default loader and the transforms of references/classification.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.transforms import v2

from resdet.benchmarks.classifier_speed import references_views
from resdet.data.classification.loading import collate_images
from resdet.data.detection.loading import collate_detection
from resdet.data.images import read_image
from resdet.data.transforms import DetectionAugmentation, Resizer
from resdet.engine.config import Config, build, require
from resdet.errors import UserError
from resdet.nets.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from resdet.structures import Sample

Pipeline = Callable[[Path, int], object]  # from a file and a seed to the network's input
BOXES = torch.tensor([[10.0, 10.0, 60.0, 60.0], [20.0, 5.0, 90.0, 40.0]])  # every image has these


def data_speed(folder: Path, ours: Pipeline, theirs: Pipeline, repeats: int = 3) -> tuple[float, float]:
    """Time two pipelines on one core, in turns.

    Args:
        folder: of JPEG or PNG files; subfolders are searched.
        ours: resdet's pipeline.
        theirs: torchvision's pipeline.
        repeats: passes over the folder by each.

    Returns:
        Images per second of ours and theirs, medians over the passes.

    Raises:
        UserError: there is no JPEG or PNG in the folder.
    """
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not paths:
        raise UserError(f"{folder}: no .jpg or .png in this folder")
    with _one_core():
        for run in (ours, theirs):  # fills the disk cache
            _seconds(run, paths)
        turns = [[len(paths) / _seconds(run, paths) for run in (ours, theirs)] for _ in range(repeats)]
    medians = [statistics.median(column) for column in zip(*turns, strict=True)]
    return medians[0], medians[1]


def detection_pipelines(resizer: Resizer, augment: DetectionAugmentation | None) -> tuple[Pipeline, Pipeline]:
    """The training pipelines of a detector, resdet's and torchvision's; `augment` is None for no augmentation."""
    preprocess = Preprocess()
    labels, flags = torch.zeros(len(BOXES), dtype=torch.int64), torch.zeros(len(BOXES), dtype=torch.bool)
    mean, std = [v / 255 for v in IMAGENET_MEAN], [v / 255 for v in IMAGENET_STD]
    resize = GeneralizedRCNNTransform(resizer.short, resizer.long, mean, std)
    flip, to_tensor, to_float = v2.RandomHorizontalFlip(0.5), v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)

    def ours(path: Path, seed: int) -> object:
        sample = Sample(torch.from_numpy(read_image(path)), BOXES, labels, flags, flags, path.stem)
        if augment is not None:
            sample = augment(sample, seed)
        height, width = sample.image.shape[:2]
        sample.image = torch.from_numpy(resizer(sample.image.numpy()))
        return preprocess(collate_detection([(sample, (height, width), seed)]).images)

    def theirs(path: Path, seed: int) -> object:
        with Image.open(path) as file:
            image = file.convert("RGB")
        boxes = tv_tensors.BoundingBoxes(BOXES, format="XYXY", canvas_size=(image.height, image.width))
        image, boxes = flip(image, boxes)
        return resize([to_float(to_tensor(image))], [{"boxes": torch.as_tensor(boxes)}])

    return ours, theirs


def classification_pipelines(cfg: Config) -> tuple[Pipeline, Pipeline]:
    """The training pipelines of a classifier of image files, resdet's and torchvision's.

    Raises:
        UserError: the config's data are not image files, or torchvision has no peer of their crop.
    """
    require(cfg, "a classifier of image files", "data.train_view")
    preprocess, view = Preprocess(), build(cfg.data.train_view)
    decode_to = cfg.data.train.get("decode_to")
    normalise = v2.Normalize([v / 255 for v in IMAGENET_MEAN], [v / 255 for v in IMAGENET_STD])
    to_tensor = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)]
    transform = v2.Compose([*references_views(cfg), v2.RandomHorizontalFlip(), *to_tensor, normalise])

    def ours(path: Path, seed: int) -> object:
        return preprocess(collate_images([(view(read_image(path, decode_to), seed, 0), 0, seed, path.stem)]).images)

    def theirs(path: Path, seed: int) -> object:
        with path.open("rb") as file:
            return transform(Image.open(file).convert("RGB"))[None]

    return ours, theirs


def _seconds(run: Pipeline, paths: list[Path]) -> float:
    started = time.perf_counter()
    for seed, path in enumerate(paths):
        run(path, seed)
    return time.perf_counter() - started


@contextmanager
def _one_core() -> Iterator[None]:
    """torch and OpenCV with one thread, as in a loader process."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
