"""A trained detector as a function of images.

detector = load_detector("runs/voc07_r50/best.pth")
detections = detector("photo.jpg")          # .boxes [N, 4], .scores [N], .labels [N], in the photo's pixels
detector.classes[detections.labels[0]]
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import torch

from resdet.data.detection.loading import collate_detection, collate_pyramid, resize_sample
from resdet.data.transforms import Resizer
from resdet.detection.inference import InferenceSettings
from resdet.engine.config import Config, build, build_call, require
from resdet.engine.distributed import join_processes
from resdet.engine.precision import Precision, fast_precision, precision_context
from resdet.errors import UserError
from resdet.recipes.detection.inference import Detects, make_inference, sizes_of
from resdet.recipes.detection.load import require_detector
from resdet.recipes.detection.onnx_detector import precision_of
from resdet.recipes.detection.pixels import Pixels, Readable, to_pixels
from resdet.recipes.detection.result import ImageDetections
from resdet.recipes.trained import given_nets
from resdet.structures import Batch, Pyramid, Sample


class Detector:
    """One detector or an ensemble, ready to be called.

    Args:
        inference: what detects, on `device` (`make_inference`).
        classes: their names, by label.
        resizer: resizes images as in the training.
        device: to compute on.
        precision: of torch's convolutions and matrix products; an .onnx file computes in its own.
    """

    def __init__(
        self,
        inference: Detects,
        classes: Sequence[str],
        resizer: Resizer,
        device: torch.device,
        precision: Precision,
    ) -> None:
        inference.eval()
        self.inference, self.sizes = inference, sizes_of(inference.settings, resizer)
        self.classes, self.device, self.precision = list(classes), device, precision

    @overload
    def __call__(self, image: Readable) -> ImageDetections: ...

    @overload
    def __call__(self, image: list[Any] | tuple[Any, ...]) -> list[ImageDetections]: ...

    def __call__(self, image: Any) -> ImageDetections | list[ImageDetections]:
        """Detect in one image, or in a list of images one by one.

        Args:
            image: a path, the bytes of a file, an array, a tensor or a Pillow image, in a form that `to_pixels` lists;
                or a list of these.

        Returns:
            The detections, on the CPU, with boxes in the image's own pixels; for a list, a list.

        Raises:
            UserError: a file cannot be read, a URL is given, or an array has another type or shape.
        """
        if isinstance(image, list | tuple):
            return [found for one in image for found in self.detect([one])]
        return self.detect([image])[0]

    def detect(self, images: Iterable[Readable]) -> list[ImageDetections]:
        """Detect in images of any sizes, as one batch.

        Args:
            images: as `__call__` takes them.

        Returns:
            The detections of each image, on the CPU, with boxes in the image's own pixels.

        Raises:
            UserError: a file cannot be read, a URL is given, or an array has another type or shape.
        """
        pixels = [to_pixels(image, f"image {i}") for i, image in enumerate(images)]
        if not pixels:
            return []
        samples = [_sample(own, str(i)) for i, own in enumerate(pixels)]
        with precision_context(self.precision, self.device):
            found = [d.cpu() for d in self.inference.detect(self._collate(samples).to(self.device))]
        return [
            ImageDetections(d.boxes, d.scores, d.labels, self.classes, (own.shape[0], own.shape[1]))
            for d, own in zip(found, pixels, strict=True)
        ]

    def _collate(self, samples: Sequence[Sample]) -> Batch | Pyramid:
        if isinstance(self.sizes, Resizer):
            return collate_detection([resize_sample(sample, self.sizes) for sample in samples])
        return collate_pyramid([[resize_sample(sample, resizer) for resizer in self.sizes] for sample in samples])


def load_detector(
    config: str | Path | Config,
    checkpoint: str | Path | Sequence[str | Path] = (),
    device: str = "auto",
    precision: Precision | None = None,
    testing: InferenceSettings | None = None,
    options: Mapping[str, Any] | None = None,
) -> Detector:
    """Load a trained detector.

    Examples:
        >>> detector = resdet.load_detector("runs/mine/last.pth", device="cpu")
        >>> detections = detector("photo.jpg")
        >>> detections.boxes.shape[1], detector.classes
        (4, ['apple', 'pear'])

    Args:
        config: a checkpoint of resdet or an .onnx file of `resdet export`, which keep the config of the training; the
            name of a published detector ("detectron2://COCO-Detection/faster_rcnn_R_101_C4_3x", weights/zoo.py), which
            is downloaded; or a config, its file, or the name of one that comes with resdet.
        checkpoint: a file of resdet, or a detectron2 C4 model; several make an ensemble. If `config` is a checkpoint:
            further members of its ensemble. Model and resizer are those of the training (recipes/trained.py).
        device: "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:1".
        precision: of convolutions and matrix products; None: bf16 where the device computes it faster than fp32. An
            .onnx file has its own.
        testing: the improvements of Appendix B; None: the config's section `testing`. An .onnx file has none.
        options: values of the config to change; they override the checkpoint's: {"model.head.score_floor": 0.3}.

    Raises:
        UserError: a file cannot be read, or a checkpoint does not fit the config.
    """
    return make_detector(given_nets(config, checkpoint, options), device, precision, testing)


def make_detector(
    nets: Sequence[tuple[Config, Path]],
    device: str = "auto",
    precision: Precision | None = None,
    testing: InferenceSettings | None = None,
) -> Detector:
    """Load the detector of a config and a checkpoint or .onnx file, or an ensemble of several pairs (`trained_nets`).

    Args:
        nets: the first config says how images are resized and, unless `testing` does, how they are tested.
        device, precision, testing: as `load_detector` takes them.

    Raises:
        UserError: a checkpoint does not fit its config.
    """
    chosen = join_processes("none", device)  # chooses the device; a program of several processes has joined before
    if not nets:
        raise UserError("there is no checkpoint to load; give at least one")
    precision = precision_of([path for _, path in nets], precision) or fast_precision(chosen)
    cfg = nets[0][0]
    require_detector(cfg)
    require(cfg, "a detector", "data.resizer")
    testing = testing or build_call(InferenceSettings, cfg.get("testing", {}))
    resizer: Resizer = build(cfg.data.resizer)
    inference, classes = make_inference(nets, testing, resizer, chosen, precision)
    return Detector(inference, classes, resizer, chosen, precision)


def _sample(pixels: Pixels, image_id: str) -> Sample:
    none = torch.zeros(0, dtype=torch.bool)
    return Sample(torch.from_numpy(pixels), torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), none, none, image_id)
