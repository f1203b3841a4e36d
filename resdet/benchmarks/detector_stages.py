"""Speed of a detector by stage, on noise and with random weights.

report = benchmark(load_config("configs/voc07_r50.py"), device, "bf16", Workload(size=(600, 1000), proposals=300))
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from resdet.detection.faster_rcnn import FasterRCNN
from resdet.detection.inference import Inference, InferenceSettings
from resdet.detection.refinement import Predictions, refine
from resdet.engine.compiled import begin_batch, compiled
from resdet.engine.config import Config, build, require
from resdet.engine.memory import peak_gib
from resdet.engine.precision import DTYPES, Precision, precision_context
from resdet.nets.backbone import Backbone
from resdet.nets.blocks import fold_for_inference
from resdet.nets.precise_bn import compute_statistics
from resdet.structures import Batch, Pyramid

T = TypeVar("T")


@dataclass(frozen=True)
class Workload:
    """What is timed.

    Args:
        mode: "infer", or "train" for training steps.
        size: height and width of the network's input in pixels.
        proposals: regions per image that the head computes.
        images: images per batch.
        repeats: measured runs; one before them is not counted.
    """

    mode: str = "infer"
    size: tuple[int, int] = (600, 1000)
    proposals: int = 300
    images: int = 1
    repeats: int = 5


@dataclass
class BenchmarkReport:
    """Medians over the measured runs.

    Attributes:
        stages: seconds per image of each stage, in order.
        seconds: per image.
        gflop: per image: 2 * multiply-adds of convolutions and matrix products, in 10^9.
        peak_gib: peak memory: resident on a CPU, allocated on a GPU.
    """

    stages: dict[str, float]
    seconds: float
    gflop: float
    peak_gib: float

    @property
    def gflops(self) -> float:
        """Speed in GFLOP/s."""
        return self.gflop / self.seconds


def benchmark(
    cfg: Config,
    device: torch.device,
    precision: Precision,
    workload: Workload,
    compile: str | None = None,
    testing: InferenceSettings | None = None,
) -> BenchmarkReport:
    """Time inference or training steps.

    Args:
        cfg: a detector's config; its data are not read.
        device: to compute on.
        precision: of convolutions and matrix products.
        workload: what is timed.
        compile: mode of torch.compile for trunk and conv5, or None.
        testing: improvements of Appendix B for inference; `workload.size` is then the size of the plain test.
    """
    require(cfg, "a detector", "model")
    model = random_detector(cfg, workload.proposals, workload.mode).to(device)
    batch = random_batch(model.num_classes, workload.size, workload.images).to(device)
    timer = _Timer(device)
    run: Callable[[_Timer], None]
    if workload.mode == "infer":
        fold_for_inference(model.eval(), DTYPES[precision])
        run = _inference(model, batch, testing or InferenceSettings())
    else:
        optimizer = torch.optim.SGD([p for p in model.train().parameters() if p.requires_grad], 1e-5, momentum=0.9)
        run = lambda t: _step(model, batch, optimizer, t)  # noqa: E731
    first = int(compile is not None)  # a run that compiles is not counted
    with precision_context(precision, device):
        with FlopCounterMode(display=False) as counter:
            run(timer)
        with compiled(model.net, compile):
            for turn in range(workload.repeats + first):
                if turn == first:
                    timer.forget()
                begin_batch(compile)
                run(timer)
    stages = {name: statistics.median(v) / workload.images for name, v in timer.stages.items()}
    whole = statistics.median(timer.totals()) / workload.images
    gflop = counter.get_total_flops() / 1e9 / workload.images
    return BenchmarkReport(stages, whole, gflop, peak_gib(device))


def random_detector(cfg: Config, proposals: int, mode: str = "infer") -> FasterRCNN:
    """Build a detector with random weights whose BN statistics are those of noise, so that nothing overflows.

    Args:
        cfg: a detector's config.
        proposals: regions per image at test; in mode "train" also those that are sampled.
        mode: "infer" or "train".
    """
    net: Backbone = build(cfg.model.net)
    if any(isinstance(layer, nn.BatchNorm2d) for layer in net.modules()):  # VGG has none
        compute_statistics(net, (net.preprocess(_noise(8, 128, 128)) for _ in range(2)), 16)
    model: FasterRCNN = build(cfg.model)
    model.net.load_state_dict({k: v for k, v in net.state_dict().items() if "num_batches" not in k})
    model.rpn.settings = replace(model.rpn.settings, test_post_nms=proposals)
    if mode == "train":
        model.head.settings = replace(model.head.settings, regions=proposals)
    return model


def random_batch(num_classes: int, size: tuple[int, int], images: int, objects: int = 8) -> Batch:
    """A batch of noise with random boxes, the same at every call.

    Args:
        num_classes: of the labels.
        size: height and width in pixels.
        images: images in the batch.
        objects: boxes per image.
    """
    random = torch.Generator().manual_seed(0)
    extent = torch.tensor([size[1], size[0]])
    corner = torch.rand(images, objects, 2, generator=random) * extent * 0.6
    boxes = torch.cat([corner, corner + (0.1 + 0.3 * torch.rand(images, objects, 2, generator=random)) * extent], -1)
    sizes = torch.tensor([size] * images)
    return Batch(
        images=_noise(images, *size),
        sizes=sizes,
        image_sizes=sizes.clone(),
        boxes=boxes,
        labels=torch.randint(num_classes, (images, objects), generator=random),
        crowd=torch.zeros(images, objects, dtype=torch.bool),
        mask=torch.ones(images, objects, dtype=torch.bool),
        seeds=torch.arange(images),
        padded=False,
        crowded=False,
        image_ids=[f"noise{i}" for i in range(images)],
    )


def _noise(images: int, height: int, width: int) -> torch.Tensor:
    """Smooth noise, with structures of 32 pixels as in photographs."""
    coarse = torch.rand(images, 3, -(-height // 32), -(-width // 32), generator=torch.Generator().manual_seed(1))
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    return (255 * smooth).to(torch.uint8).contiguous(memory_format=torch.channels_last)


def _inference(model: FasterRCNN, batch: Batch, testing: InferenceSettings) -> Callable[[_Timer], None]:
    if testing == InferenceSettings():
        return lambda timer: _infer(model, batch, timer)
    short = int(batch.sizes[0].min())
    images = Pyramid([_at_scale(batch, scale / short) for scale in testing.scales]) if testing.scales else batch
    inference = Inference([model], testing, short)
    return lambda timer: _infer_composed(inference, images, timer)


def _at_scale(batch: Batch, factor: float) -> Batch:
    """A batch of another input size, of images with the same original size."""
    height, width = (round(side * factor) for side in batch.images.shape[2:])
    sizes = torch.tensor([[height, width]] * len(batch), device=batch.sizes.device)
    return replace(batch, images=_noise(len(batch), height, width).to(batch.images.device), sizes=sizes)


def _infer_composed(inference: Inference, images: Batch | Pyramid, timer: _Timer) -> None:
    """The stages of `Inference.detect`."""
    detector, sizes, refinement = inference.composed, images.image_sizes, inference.settings.refinement
    with torch.inference_mode():
        timer.start()
        features = timer("trunk", lambda: detector.trunk(images))
        regions = timer("RPN and proposals", lambda: detector.propose(features).boxes)
        vectors = timer("pooling and conv5", lambda: detector.embed(features, regions))
        everywhere = torch.ones(regions.shape[:2], dtype=torch.bool, device=regions.device)
        answers = timer("siblings", lambda: detector.predict(vectors, regions, sizes))
        found = Predictions(*answers, everywhere)
        if refinement is not None:
            found = timer("refinement", lambda: refine(detector, features, found, sizes, refinement))
        timer("NMS and voting", lambda: inference.postprocess(found))


def _infer(model: FasterRCNN, batch: Batch, timer: _Timer) -> None:
    with torch.inference_mode():
        timer.start()
        features = timer("trunk", lambda: model.trunk(batch))
        outputs = timer("RPN", lambda: model.rpn(features))
        regions = timer("proposals (NMS)", lambda: model.rpn.propose(outputs, features).boxes)
        vectors = timer("pooling and conv5", lambda: model.vectors(features, regions))
        scores, boxes = timer("siblings", lambda: model.predict(vectors, regions, features.image_sizes))
        everywhere = torch.ones(regions.shape[:2], dtype=torch.bool, device=regions.device)
        found = Predictions(scores, boxes, everywhere)
        timer("detections (NMS)", lambda: Inference([model]).postprocess(found))


def _step(model: FasterRCNN, batch: Batch, optimizer: torch.optim.Optimizer, timer: _Timer) -> None:
    timer.start()
    losses = timer("forward", lambda: torch.stack(list(model(batch).values())).sum())
    timer("backward", losses.backward)
    timer("update", optimizer.step)
    optimizer.zero_grad(set_to_none=True)


class _Timer:
    """Wall time of named stages, synchronized with the device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.forget()

    def forget(self) -> None:
        """Forget all times."""
        self.stages: dict[str, list[float]] = {}

    def start(self) -> None:
        """Begin a run."""
        self._wait()

    def __call__(self, name: str, work: Callable[[], T]) -> T:
        """Call `work`, record its time under `name`, and return its result."""
        started = time.perf_counter()
        result = work()
        self._wait()
        self.stages.setdefault(name, []).append(time.perf_counter() - started)
        return result

    def totals(self) -> list[float]:
        """Sum of the stages of each run."""
        return [sum(run) for run in zip(*self.stages.values(), strict=True)]

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
