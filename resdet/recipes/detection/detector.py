"""A trained detector as a function of images.

detector = load_detector("configs/voc07_r50.py", "runs/voc07_r50/best.pth")
detections = detector("photo.jpg")          # .boxes [N, 4], .scores [N], .labels [N], in the photo's pixels
detector.classes[detections.labels[0]]
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from resdet.data.detection.loading import collate_detection, collate_pyramid, resize_sample
from resdet.data.images import read_image
from resdet.data.transforms import Resizer
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.detection.inference import Inference, InferenceSettings
from resdet.engine.config import Config, build, build_call, require
from resdet.engine.distributed import join_processes
from resdet.engine.precision import Precision, fast_precision, precision_context
from resdet.errors import UserError
from resdet.recipes.detection.inference import prepare, sizes_of
from resdet.recipes.detection.load import read_detectors
from resdet.recipes.sections import load_config
from resdet.structures import Batch, Detections, Pyramid, Sample

Readable = str | Path | npt.NDArray[np.uint8] | Tensor  # a file, or uint8 [H, W, 3] RGB


class Detector:
    """One detector or an ensemble, ready to be called.

    Args:
        models: trained on the same classes. They are changed: BN is folded, the weights are cast, and they are moved.
        classes: their names, by label.
        resizer: of the training.
        device: to compute on.
        precision: of convolutions and matrix products.
        testing: the improvements of Appendix B; None is the plain test.
    """

    def __init__(
        self,
        models: Sequence[FasterRCNN],
        classes: Sequence[str],
        resizer: Resizer,
        device: torch.device,
        precision: Precision,
        testing: InferenceSettings | None = None,
    ) -> None:
        prepare(models, device, precision)
        self.inference = Inference(models, testing, resizer.short).eval()
        self.sizes = sizes_of(self.inference.settings, resizer)
        self.classes, self.device, self.precision = list(classes), device, precision

    def __call__(self, image: Readable) -> Detections:
        """Detect in one image: a file, or uint8 [H, W, 3] RGB. Returns boxes in its pixels, on the CPU."""
        return self.detect([image])[0]

    def detect(self, images: Iterable[Readable]) -> list[Detections]:
        """Detect in a batch of images of any sizes.

        Args:
            images: files, or uint8 [H, W, 3] RGB.

        Returns:
            For each image boxes in its pixels, scores and labels, on the CPU.

        Raises:
            UserError: a file cannot be read, or an array has another type or shape.
        """
        samples = []
        for i, image in enumerate(images):
            pixels = read_image(image) if isinstance(image, str | Path) else np.ascontiguousarray(image)
            if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
                raise UserError(f"image {i}: expected uint8 [H, W, 3] RGB, got {pixels.dtype} {list(pixels.shape)}")
            samples.append(_sample(pixels, str(i)))
        if not samples:
            return []
        with precision_context(self.precision, self.device):
            return [d.cpu() for d in self.inference.detect(self._collate(samples).to(self.device))]

    def _collate(self, samples: Sequence[Sample]) -> Batch | Pyramid:
        if isinstance(self.sizes, Resizer):
            return collate_detection([resize_sample(sample, self.sizes) for sample in samples])
        return collate_pyramid([[resize_sample(sample, resizer) for resizer in self.sizes] for sample in samples])


def load_detector(
    config: str | Path | Config,
    checkpoint: str | Path | Sequence[str | Path],
    device: str = "auto",
    precision: Precision | None = None,
    testing: InferenceSettings | None = None,
) -> Detector:
    """Load a trained detector.

    Args:
        config: a config, its file, or the name of one that comes with resdet.
        checkpoint: one of ours, or a detectron2 C4 model; several are an ensemble.
        device: "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:1".
        precision: None: bf16 where the device computes it faster than fp32.
        testing: the improvements of Appendix B; None: the config's section `testing`.

    Raises:
        UserError: a file cannot be read, or a checkpoint does not fit the config.
    """
    chosen = join_processes("none", device)
    cfg = config if isinstance(config, Config) else load_config(config)
    require(cfg, "a detector", "model", "data.resizer")
    models, classes = read_detectors(cfg, [checkpoint] if isinstance(checkpoint, str | Path) else checkpoint)
    testing = testing or build_call(InferenceSettings, cfg.get("testing", {}))
    return Detector(models, classes, build(cfg.data.resizer), chosen, precision or fast_precision(chosen), testing)


def _sample(pixels: npt.NDArray[np.uint8], image_id: str) -> Sample:
    none = torch.zeros(0, dtype=torch.bool)
    return Sample(torch.from_numpy(pixels), torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), none, none, image_id)
