"""A trained detector as a function: from a notebook, or over images, folders and videos.

detector = load_detector("configs/voc07_r50.py", "runs/voc07_r50/best.pth")
detections = detector("photo.jpg")          # .boxes [N, 4], .scores [N], .labels [N], in the photo's pixels
detector.classes[detections.labels[0]]
"""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from resdet.data.images import read_image
from resdet.data.loading import collate_detection, collate_pyramid, resized
from resdet.data.transforms import Resizer
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.detection.inference import Tester, Testing
from resdet.engine.config import Config, build, build_call, load_config, require
from resdet.engine.distributed import join_processes
from resdet.engine.precision import DTYPES, Precision, fast_precision, precision_context
from resdet.engine.run import make_folder
from resdet.errors import UserError
from resdet.nets.blocks import fold_for_inference
from resdet.recipes.detection.inference import sizes_of
from resdet.recipes.detection.load import read_detectors
from resdet.report.drawing import draw_detections, save_image, side_by_side
from resdet.structures import Batch, Detections, Pyramid, Sample

IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
VIDEOS = {".mp4", ".avi", ".mov", ".mkv", ".webm"}
logger = logging.getLogger("resdet")


class Detector:
    """Detectors ready to be called, one or an ensemble: BN folded, weights cast, images resized as in their config."""

    def __init__(
        self,
        models: Sequence[FasterRCNN],
        classes: Sequence[str],
        resizer: Resizer,
        device: torch.device,
        precision: Precision,
        testing: Testing | None = None,
    ) -> None:
        for model in models:
            fold_for_inference(model, DTYPES[precision])
            model.to(device)
        self.tester = Tester(models, testing, resizer.short).eval()
        self.sizes = sizes_of(self.tester.testing, resizer)
        self.classes, self.device, self.precision = list(classes), device, precision

    def __call__(self, image: str | Path | np.ndarray | Tensor) -> Detections:
        """Detect in one image: a file, or uint8 [H, W, 3] RGB."""
        return self.detect([image])[0]

    def detect(self, images: Iterable[str | Path | np.ndarray | Tensor]) -> list[Detections]:
        """Detect in several images at once, of any sizes."""
        samples = []
        for i, image in enumerate(images):
            pixels = read_image(image) if isinstance(image, str | Path) else np.ascontiguousarray(image)
            if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
                raise UserError(f"image {i}: expected uint8 [H, W, 3] RGB, got {pixels.dtype} {list(pixels.shape)}")
            samples.append(_sample(pixels, str(i)))
        if not samples:
            return []
        with precision_context(self.precision, self.device):
            return [d.cpu() for d in self.tester.detect(self._views(samples).to(self.device))]

    def _views(self, samples: Sequence[Sample]) -> Batch | Pyramid:
        if isinstance(self.sizes, Resizer):
            return collate_detection([resized(sample, self.sizes) for sample in samples])
        return collate_pyramid([[resized(sample, resizer) for resizer in self.sizes] for sample in samples])


def load_detector(
    config: str | Path | Config,
    checkpoint: str | Path | Sequence[str | Path],
    device: str = "auto",
    precision: Precision | None = None,
    testing: Testing | None = None,
) -> Detector:
    """Build a config's detector with a checkpoint's weights.

    Args:
        config: a file or the name of a config.
        checkpoint: one of ours, or a detectron2 C4 model; several are an ensemble.
        device: "auto" takes a GPU if there is one.
        precision: None takes bf16 where the device multiplies it faster.
        testing: box refinement, several scales ... (App. B); None: what the config says.
    """
    chosen = join_processes("none", device)
    cfg = config if isinstance(config, Config) else load_config(config)
    require(cfg, "a detector", "model", "data.resizer")
    models, classes = read_detectors(cfg, [checkpoint] if isinstance(checkpoint, str | Path) else checkpoint)
    testing = testing or build_call(Testing, cfg.get("testing", {}))
    return Detector(models, classes, build(cfg.data.resizer), chosen, precision or fast_precision(chosen), testing)


def predict_files(detector: Detector, source: Path, out: Path, threshold: float, beside: Detector | None = None) -> int:
    """Draw the detections in an image, a folder of images, or a video; write them to OUT/detections.json too.

    `beside` is another detector whose pictures stand on the left of each image's; in a video it is left out.
    Returns the number of images or frames. Detections below `threshold` are in neither.
    """
    make_folder(out)
    if source.suffix.lower() in VIDEOS:
        records = list(_video(detector, source, out / f"{source.stem}.mp4", threshold))
    else:
        root = source if source.is_dir() else source.parent
        paths = track(_images(source), "detecting", transient=True)
        records = [_image(detector, path, out / path.relative_to(root), threshold, beside) for path in paths]
    (out / "detections.json").write_text(json.dumps({"classes": detector.classes, "images": records}, indent=1) + "\n")
    return len(records)


def _images(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    found = sorted(p for p in source.rglob("*") if p.suffix.lower() in IMAGES) if source.is_dir() else []
    if not found:
        kinds = ", ".join(sorted(IMAGES | VIDEOS))
        raise UserError(f"{source}: no image or video there ({kinds})")
    return found


def _image(detector: Detector, path: Path, target: Path, threshold: float, beside: Detector | None) -> dict:
    _keep_source(path, target)
    pixels = read_image(path)
    found = detector(pixels).above(threshold)
    drawn = _draw(detector, pixels, found)
    if beside is not None:
        other = _draw(beside, pixels, beside(pixels).above(threshold))
        drawn = side_by_side(other, drawn, ("plain", "improved"))
    save_image(target, drawn)
    return {"file": str(path), "size": list(pixels.shape[:2]), **_plain(found)}


def _keep_source(source: Path, target: Path) -> None:
    if source.resolve() == target.resolve():
        raise UserError(f"--out {target.parent} would overwrite {source}; choose another folder")


def _video(detector: Detector, source: Path, target: Path, threshold: float) -> Iterator[dict]:
    _keep_source(source, target)
    reader = cv2.VideoCapture(str(source))
    if not reader.isOpened():
        raise UserError(f"{source}: OpenCV cannot open this video; convert it to mp4 (H.264)")
    rate = reader.get(cv2.CAP_PROP_FPS) or 25.0
    writer: cv2.VideoWriter | None = None
    try:
        for number in track(itertools.count(), "detecting", total=_frames(reader), transient=True):
            ok, frame = reader.read()
            if not ok:
                break
            pixels = np.ascontiguousarray(frame[:, :, ::-1])
            found = detector(pixels).above(threshold)
            drawn = _draw(detector, pixels, found, scale=1)
            if writer is None:
                size = (drawn.shape[1], drawn.shape[0])
                writer = cv2.VideoWriter(str(target), cv2.VideoWriter.fourcc(*"mp4v"), rate, size)
            writer.write(np.ascontiguousarray(drawn[:, :, ::-1]))
            yield {"frame": number, "second": number / rate, **_plain(found)}
    finally:
        reader.release()
        if writer is not None:
            writer.release()


def _frames(reader: cv2.VideoCapture) -> int | None:
    """What the container says, which for streams is nothing: the end is where reading fails."""
    count = int(reader.get(cv2.CAP_PROP_FRAME_COUNT))
    return count if count > 0 else None


def _draw(detector: Detector, pixels: np.ndarray, found: Detections, scale: int | None = None) -> np.ndarray:
    boxes, labels, scores = found.boxes.numpy(), found.labels.numpy(), found.scores.numpy()
    return draw_detections(pixels, boxes, labels, scores, detector.classes, 0.0, scale=scale)


def _plain(found: Detections) -> dict:
    return {"boxes": found.boxes.tolist(), "scores": found.scores.tolist(), "labels": found.labels.tolist()}


def _sample(pixels: np.ndarray, image_id: str) -> Sample:
    none = torch.zeros(0, dtype=torch.bool)
    return Sample(torch.from_numpy(pixels), torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), none, none, image_id)
