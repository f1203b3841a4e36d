"""Detect in a video: writes a video with drawn detections, and gives a record of each frame."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from resdet.errors import UserError
from resdet.recipes.detection.detector import Detector
from resdet.report.drawing import draw_detections
from resdet.report.progress import progress_bar


def predict_video(detector: Detector, source: Path, target: Path, threshold: float) -> Iterator[dict[str, Any]]:
    """Draw the detections in every frame, and yield their records.

    Args:
        detector: is called with every frame.
        source: the video.
        target: the drawn video, an mp4.
        threshold: lowest score that is drawn and recorded.

    Raises:
        UserError: the video cannot be read, or `target` is `source`.
    """
    if source.resolve() == target.resolve():
        raise UserError(f"--out {target.parent} would overwrite {source}; choose another folder")
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
                boxes, labels, scores = found.boxes.numpy(), found.labels.numpy(), found.scores.numpy()
                drawn = draw_detections(pixels, boxes, labels, scores, detector.classes, 0.0, scale=1)
                if writer is None:
                    size = (drawn.shape[1], drawn.shape[0])
                    writer = cv2.VideoWriter(str(target), cv2.VideoWriter.fourcc(*"mp4v"), rate, size)
                writer.write(np.ascontiguousarray(drawn[:, :, ::-1]))
                plain = {"boxes": boxes.tolist(), "scores": scores.tolist(), "labels": labels.tolist()}
                yield {"frame": number, "second": number / rate, **plain}
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
    """The number of frames in the container's header; None for a stream, which has none."""
    count = int(reader.get(cv2.CAP_PROP_FRAME_COUNT))
    return count if count > 0 else None
