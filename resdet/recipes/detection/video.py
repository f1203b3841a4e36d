"""Detect in a video, a webcam or a stream: writes a video with drawn detections, and a record of each frame."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from resdet.engine.run import make_folder
from resdet.engine.run_folder import hold
from resdet.errors import Stopped, UserError
from resdet.recipes.detection.detector import Detector
from resdet.recipes.detection.predict_records import Lines, clear_frames, write_whole
from resdet.recipes.detection.tiling import Tiled
from resdet.recipes.detection.video_frames import Frames, Video
from resdet.report.drawing import draw_detections
from resdet.report.progress import progress_bar
from resdet.report.video_file import VideoFile

logger = logging.getLogger("resdet")
WHOLE_SHARE = 0.9  # of the frames that a video says it has, which for some codecs is an estimate


def predict_video(
    detector: Detector | Tiled, video: Video, out: Path, threshold: float, overwrite: bool = False
) -> tuple[int, Path]:
    """Write OUT/NAME.mp4 with drawn detections, OUT/detections.jsonl as frames are done, and OUT/detections.json.

    Args:
        detector: is called with every frame.
        video: where frames come from. A webcam or a stream is followed until it ends, or Ctrl-C.
        out: folder of the results, made once the video is open.
        threshold: lowest score that is drawn and recorded.
        overwrite: whether records of images in `out` may be replaced.

    Returns:
        The number of frames, and the drawn video.

    Raises:
        UserError: the video cannot be read, `out` holds detections of images or is in use, or the drawn video would
            replace it.
        Stopped: by Ctrl-C or SIGTERM; all files are whole, up to the last frame.
    """
    target = out / f"{video.name}.mp4"
    if isinstance(video.source, str) and Path(video.source).resolve() == target.resolve():
        raise UserError(f"--out {out} would overwrite {video.source}; choose another folder")
    records: list[dict[str, Any]] = []
    with closing(Frames(video)) as frames:
        make_folder(out)
        _held = hold(out, "--out")  # while this function runs
        clear_frames(out, overwrite)
        try:
            with Lines(out) as lines, VideoFile(target, frames.rate) as drawn:
                for record in _detect(detector, frames, drawn, threshold):
                    lines.add(record)
                    records.append(record)
        except KeyboardInterrupt as error:
            stopped = error if isinstance(error, Stopped) else Stopped()
            how = f"{len(records)} frames are in {target}" if records else "no frame was done"
            raise Stopped(stopped.number, f"{stopped}: {how}") from None
        finally:
            write_whole(out, {"classes": detector.classes, "threshold": threshold, "images": records})
    if frames.count and len(records) < WHOLE_SHARE * frames.count:
        logger.warning(
            "%s: only %d of about %d frames could be read; is the file whole?", video.text, len(records), frames.count
        )
    return len(records), target


def _detect(detector: Detector | Tiled, frames: Frames, drawn: VideoFile, threshold: float) -> Iterator[dict[str, Any]]:
    """Draw each frame, and yield its record."""
    with progress_bar(frames, "detecting", frames.count) as shown:
        for number, (second, pixels) in enumerate(shown):
            found = detector(pixels).above(threshold)
            boxes, labels, scores = found.boxes.numpy(), found.labels.numpy(), found.scores.numpy()
            drawn.write(draw_detections(pixels, boxes, labels, scores, detector.classes, 0.0, scale=1), second)
            plain = {"boxes": boxes.tolist(), "scores": scores.tolist(), "labels": labels.tolist()}
            yield {"frame": number, "second": second, **plain}
