"""Detect in files: an image, a folder of images, or a video. Writes drawn pictures and detections.json."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from resdet.data.images import read_image
from resdet.engine.run import make_folder
from resdet.errors import UserError
from resdet.recipes.detection.detector import Detector
from resdet.report.drawing import draw_detections
from resdet.report.image_files import save_image
from resdet.report.progress import progress_bar
from resdet.report.sheets import side_by_side
from resdet.structures import Detections

IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
VIDEOS = {".mp4", ".avi", ".mov", ".mkv", ".webm"}
Pixels = npt.NDArray[np.uint8]  # [H, W, 3] RGB


def predict_files(detector: Detector, source: Path, out: Path, threshold: float, beside: Detector | None = None) -> int:
    """Draw the detections in an image, a folder of images or a video, and write them to OUT/detections.json.

    Args:
        detector: what detects.
        source: an image, a folder that is searched with its subfolders, or a video.
        out: folder of the results, made if needed; the pictures have the names of the images.
        threshold: lowest score that is drawn and written.
        beside: another detector whose detections are drawn on the left of each image, for comparison; not in videos.

    Returns:
        The number of images or frames.

    Raises:
        UserError: there is no image or video, one cannot be read, or a picture would overwrite the source.
    """
    make_folder(out)
    if source.suffix.lower() in VIDEOS:
        records = list(_video(detector, source, out / f"{source.stem}.mp4", threshold))
    else:
        root = source if source.is_dir() else source.parent
        with progress_bar(_images(source), "detecting") as paths:
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


def _image(detector: Detector, path: Path, target: Path, threshold: float, beside: Detector | None) -> dict[str, Any]:
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


def _video(detector: Detector, source: Path, target: Path, threshold: float) -> Iterator[dict[str, Any]]:
    _keep_source(source, target)
    reader = cv2.VideoCapture(str(source))
    if not reader.isOpened():
        raise UserError(f"{source}: OpenCV cannot open this video; convert it to mp4 (H.264)")
    rate = reader.get(cv2.CAP_PROP_FPS) or 25.0
    writer: cv2.VideoWriter | None = None
    try:
        with progress_bar(_read_frames(reader), "detecting", _frames(reader)) as frames:
            for number, frame in enumerate(frames):
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


def _read_frames(reader: cv2.VideoCapture) -> Iterator[np.ndarray]:
    """All frames, uint8 [H, W, 3], BGR."""
    while True:
        ok, frame = reader.read()
        if not ok:
            return
        yield frame


def _frames(reader: cv2.VideoCapture) -> int | None:
    """The number of frames as the container states it; None for a stream, which states none."""
    count = int(reader.get(cv2.CAP_PROP_FRAME_COUNT))
    return count if count > 0 else None


def _draw(detector: Detector, pixels: Pixels, found: Detections, scale: int | None = None) -> Pixels:
    boxes, labels, scores = found.boxes.numpy(), found.labels.numpy(), found.scores.numpy()
    return draw_detections(pixels, boxes, labels, scores, detector.classes, 0.0, scale=scale)


def _plain(found: Detections) -> dict[str, Any]:
    return {"boxes": found.boxes.tolist(), "scores": found.scores.tolist(), "labels": found.labels.tolist()}
