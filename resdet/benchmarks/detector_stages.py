"""How fast a detector is, stage by stage, on random pixels with random weights (BN calibrated on them).

report = benchmark(load_config("configs/voc07_r50.py"), device, "bf16", size=(600, 1000), proposals=300)
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch.utils.flop_counter import FlopCounterMode

from resdet.detection.faster_rcnn import FasterRCNN
from resdet.detection.inference import Tester, Testing
from resdet.detection.refinement import Predictions, refine
from resdet.engine.compiled import compiled
from resdet.engine.config import Config, build, require
from resdet.engine.memory import peak_gib
from resdet.engine.precision import DTYPES, Precision, precision_context
from resdet.nets.blocks import fold_for_inference
from resdet.nets.precise_bn import compute_statistics
from resdet.nets.resnet import ResNet
from resdet.nets.vgg import VGG
from resdet.structures import Batch, Pyramid

T = TypeVar("T")


@dataclass
class BenchmarkReport:
    """Medians over the counted runs."""

    stages: dict[str, float]  # seconds, in order
    seconds: float  # one image, or one training step's image
    gflop: float  # 2 x multiply-accumulates of convolutions and matrix products, one image
    peak_gib: float  # resident memory on a CPU, allocated on a GPU

    @property
    def gflops(self) -> float:
        """Achieved GFLOP/s."""
        return self.gflop / self.seconds


def benchmark(
    cfg: Config,
    device: torch.device,
    precision: Precision,
    mode: str = "infer",
    size: tuple[int, int] = (600, 1000),
    proposals: int = 300,
    images: int = 1,
    repeats: int = 5,
    compile: str | None = None,
    testing: Testing | None = None,
) -> BenchmarkReport:
    """Time inference or a training step.

    Args:
        cfg: a detector's config; its data are not touched.
        device, precision: where and how.
        mode: "infer" or "train".
        size: (height, width) of the network's input.
        proposals: regions an image that the head sees.
        images: a step.
        repeats: counted runs, after one that is not.
        compile: the mode to compile the trunk and conv5 with (engine/compiled.py), or None.
        testing: inference with App. B's improvements; `size` is then the one of the plain test.
    """
    require(cfg, "a detector", "model")
    model = random_detector(cfg, proposals, mode).to(device)
    batch = random_batch(model.num_classes, size, images).to(device)
    timer = _Timer(device)
    run: Callable[[_Timer], None]
    if mode == "infer":
        fold_for_inference(model.eval(), DTYPES[precision])
        run = _inference(model, batch, testing or Testing())
    else:
        optimizer = torch.optim.SGD([p for p in model.train().parameters() if p.requires_grad], 1e-5, momentum=0.9)
        run = lambda t: _step(model, batch, optimizer, t)  # noqa: E731
    first = int(compile is not None)  # a turn that compiles, and does not count
    with precision_context(precision, device):
        with FlopCounterMode(display=False) as counter:
            run(timer)
        with compiled(model.net, compile):
            for turn in range(repeats + first):
                if turn == first:
                    timer.forget()
                run(timer)
    stages = {name: statistics.median(v) / images for name, v in timer.stages.items()}
    whole = statistics.median(timer.totals()) / images
    return BenchmarkReport(stages, whole, counter.get_total_flops() / 1e9 / images, peak_gib(device))


def random_detector(cfg: Config, proposals: int, mode: str = "infer") -> FasterRCNN:
    """The config's detector with random weights, its BN calibrated on noise so that nothing overflows."""
    net: ResNet | VGG = build(cfg.model.net)
    if isinstance(net, ResNet):  # VGG has no BN
        compute_statistics(net, (net.preprocess(_noise(8, 128, 128)) for _ in range(2)), 16)
    model: FasterRCNN = build(cfg.model)
    model.net.load_state_dict({k: v for k, v in net.state_dict().items() if "num_batches" not in k})
    model.rpn.settings = replace(model.rpn.settings, test_post_nms=proposals)
    if mode == "train":
        model.head.settings = replace(model.head.settings, regions=proposals)
    return model


def random_batch(num_classes: int, size: tuple[int, int], images: int, objects: int = 8) -> Batch:
    """Noise with random boxes, the same every time."""
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
    """Coarse blobs: noise of single pixels would give the RPN nothing like an image."""
    coarse = torch.rand(images, 3, -(-height // 32), -(-width // 32), generator=torch.Generator().manual_seed(1))
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    return (255 * smooth).to(torch.uint8).contiguous(memory_format=torch.channels_last)


def _inference(model: FasterRCNN, batch: Batch, testing: Testing) -> Callable[[_Timer], None]:
    if testing == Testing():
        return lambda timer: _infer(model, batch, timer)
    short = int(batch.sizes[0].min())
    views = Pyramid([_at_scale(batch, scale / short) for scale in testing.scales]) if testing.scales else batch
    tester = Tester([model], testing, short)
    return lambda timer: _infer_composed(tester, views, timer)


def _at_scale(batch: Batch, factor: float) -> Batch:
    """The same images as the network sees them at another scale; their own pixels stay."""
    height, width = (round(side * factor) for side in batch.images.shape[2:])
    sizes = torch.tensor([[height, width]] * len(batch), device=batch.sizes.device)
    return replace(batch, images=_noise(len(batch), height, width).to(batch.images.device), sizes=sizes)


def _infer_composed(tester: Tester, views: Batch | Pyramid, timer: _Timer) -> None:
    """As Tester.detect, in stages."""
    detector, sizes, refinement = tester.composed, views.image_sizes, tester.testing.refinement
    with torch.inference_mode():
        timer.start()
        features = timer("trunk", lambda: detector.trunk(views))
        regions = timer("RPN and proposals", lambda: detector.propose(features).boxes)
        vectors = timer("pooling and conv5", lambda: detector.embed(features, regions))
        everywhere = torch.ones(regions.shape[:2], dtype=torch.bool, device=regions.device)
        answers = timer("siblings", lambda: detector.predict(vectors, regions, sizes))
        found = Predictions(*answers, everywhere)
        if refinement is not None:
            found = timer("refinement", lambda: refine(detector, features, found, sizes, refinement))
        timer("NMS and voting", lambda: tester.detections(found))


def _infer(model: FasterRCNN, batch: Batch, timer: _Timer) -> None:
    with torch.inference_mode():
        timer.start()
        features = timer("trunk", lambda: model.trunk(batch))
        outputs = timer("RPN", lambda: model.rpn(features))
        regions = timer("proposals (NMS)", lambda: model.rpn.propose(outputs, features).boxes)
        cells = timer("pooling", lambda: model.pool(features, regions))
        even, shape = model.net.reads_even_cells, regions.shape[:2]
        vectors = timer("conv5", lambda: model.net.head(cells, even).unflatten(0, shape))
        scores, boxes = timer("siblings", lambda: model.predict(vectors, regions, features.image_sizes))
        everywhere = torch.ones(regions.shape[:2], dtype=torch.bool, device=regions.device)
        timer("detections (NMS)", lambda: model.head.detections(scores, boxes, everywhere))


def _step(model: FasterRCNN, batch: Batch, optimizer: torch.optim.Optimizer, timer: _Timer) -> None:
    timer.start()
    losses = timer("forward", lambda: torch.stack(list(model(batch).values())).sum())
    timer("backward", losses.backward)
    timer("update", optimizer.step)
    optimizer.zero_grad(set_to_none=True)


class _Timer:
    """Wall time of named stages, waiting for the device around each."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.forget()

    def forget(self) -> None:
        """Drop what was measured so far."""
        self.stages: dict[str, list[float]] = {}

    def start(self) -> None:
        """Begin a run."""
        self._wait()

    def __call__(self, name: str, work: Callable[[], T]) -> T:
        """Do `work` and book its time under `name`."""
        started = time.perf_counter()
        result = work()
        self._wait()
        self.stages.setdefault(name, []).append(time.perf_counter() - started)
        return result

    def totals(self) -> list[float]:
        """The sum of all stages of each run."""
        return [sum(run) for run in zip(*self.stages.values(), strict=True)]

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
