"""Detect in files: images, folders, or a video. Writes drawn pictures, detections.jsonl and detections.json.

While the detector computes, the next images are decoded and the last ones are drawn, in threads. An image that cannot
be read is named, left out and counted. What is done is on disk at once: after an interruption the same call goes on.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from rich.console import Console

from resdet.data.detection.writing import AnnotatedImage, write_annotations
from resdet.data.images import read_image
from resdet.engine.distributed import get_rank, get_world_size, is_main_process
from resdet.engine.run import make_folder
from resdet.engine.run_folder import hold
from resdet.engine.typed import check_values
from resdet.errors import Stopped, UserError
from resdet.ranges import Share
from resdet.recipes.detection.detector import Detector
from resdet.recipes.detection.pixels import Pixels
from resdet.recipes.detection.predict_folder import refuse_annotations
from resdet.recipes.detection.predict_records import Lines, Record, Records, settings_of
from resdet.recipes.detection.predict_sharing import from_main, gather, own_share
from resdet.recipes.detection.predict_sources import Source, find_sources
from resdet.recipes.detection.result import ImageDetections
from resdet.recipes.detection.tiling import Tiled, Tiling
from resdet.recipes.detection.video import predict_video
from resdet.recipes.detection.video_frames import Video, find_video
from resdet.report.drawing import draw_detections
from resdet.report.image_files import save_image
from resdet.report.progress import progress_bar
from resdet.report.sheets import side_by_side

AHEAD = 4  # images that are decoded before they are needed
THREADS = 2

logger = logging.getLogger("resdet")
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class PredictOptions:
    """What `predict_files` writes.

    Args:
        threshold: lowest score that is drawn and written.
        annotations: "voc", "coco" or "yolo": also a data set of this form in OUT/<form>, to be corrected by hand.
        overwrite: begin anew, whatever OUT holds; OUT/<form> is renamed to OUT/<form>.old-DATE.
        tiling: how large images are cut into tiles; None: they are not.

    Raises:
        UserError: a value is not of its type or range.
    """

    threshold: Share = 0.5
    annotations: Literal["voc", "coco", "yolo"] | None = None
    overwrite: bool = False
    tiling: Tiling | None = None

    def __post_init__(self) -> None:
        check_values(PredictOptions, vars(self))


@dataclass
class PredictResult:
    """What `predict_files` did.

    Args:
        images: number of images (or frames of a video) whose detections are written, those of an interrupted call too.
        reused: how many of them are of that call.
        unreadable: file and reason of each image that was left out.
        empty: images without a detection of at least the threshold; not counted for a video.
        best_empty: file and best score among these; None if there is none, or nothing was found at all.
        video: the drawn video; None: images were given.
    """

    images: int
    reused: int = 0
    unreadable: list[dict[str, str]] = field(default_factory=list)
    empty: int = 0
    best_empty: tuple[str, float] | None = None
    video: Path | None = None


def predict_files(
    detector: Detector,
    inputs: Sequence[str | Path],
    out: Path,
    options: PredictOptions | None = None,
    beside: Detector | None = None,
) -> PredictResult:
    """Draw the detections in images or a video, and write them to OUT/detections.jsonl and OUT/detections.json.

    Several processes (`join_processes`) share the images; all must see the same files.

    Args:
        detector: what detects.
        inputs: images, folders that are searched with their subfolders, patterns such as "photos/*.jpg"; or one video,
            which is a file, the number of a webcam ("0") or the URL of a stream.
        out: folder of the results, made if needed; the pictures have the names of the images.
        options: None: the defaults.
        beside: another detector whose detections are drawn on the left of each image, for comparison; not in videos.

    Returns:
        What was done, by all processes together.

    Raises:
        UserError: there is no image or video, a video cannot be read, a picture would overwrite an image, or `out`
            holds detections of other weights or settings or annotations of this form, or another process writes there.
        Stopped: by Ctrl-C or SIGTERM; what was done is kept.
        LostProcessError: another process has died; what was done is kept.
    """
    options, texts = options or PredictOptions(), [str(one) for one in inputs]
    tiled = detector if options.tiling is None else Tiled(detector, options.tiling)
    if (video := find_video(texts)) is not None:
        return _predict_video(tiled, video, out, options)
    settings = settings_of(detector, options.threshold, beside, options.tiling)
    done: list[Records] = []  # of the main process
    held: list[object] = []  # the folder's lock, while this function runs

    def look() -> tuple[list[Source], int]:
        """The images that are missing, and the number of all."""
        sources = find_sources(texts, out)
        make_folder(out)
        held.append(hold(out, "--out"))
        refuse_annotations(out, None if options.overwrite else options.annotations)
        done.append(Records(out, settings, sources, options.overwrite))
        return done[0].missing, len(sources)

    missing, count = from_main(look)
    if (before := count - len(missing)) and is_main_process():
        logger.warning("%s: %d of %d images are done (same weights, same settings)", out, before, count)
    unreadable = gather(_predict_images(_Drawing(tiled, beside, out, options.threshold), missing, count))
    return from_main(lambda: _finish(done[0], unreadable, detector.classes, options))


def _predict_video(detector: Detector | Tiled, video: Video, out: Path, options: PredictOptions) -> PredictResult:
    if get_world_size() > 1:
        raise UserError(f"{video.text}: a video is not shared among processes; start one, without torchrun")
    if options.annotations:
        raise UserError("--save-annotations is for images: cut the video into images, or leave the option out")
    frames, drawn = predict_video(detector, video, out, options.threshold, options.overwrite)
    return PredictResult(frames, video=drawn)


def _predict_images(drawing: _Drawing, missing: Sequence[Source], count: int) -> list[Record]:
    """Detect in this process's share of the missing images; returns file and reason of those that cannot be read."""
    unreadable, share = [], own_share(missing)
    with (
        Lines(drawing.out) as lines,
        _stoppable(lines, share, count - len(missing)),
        ThreadPoolExecutor(THREADS) as pool,
        progress_bar(share, "detecting", console=None if is_main_process() else Console(quiet=True)) as shown,
    ):
        decoded = _ahead(pool, _read, shown, AHEAD)
        try:
            for record in _ahead(pool, drawing.save, drawing.detect(decoded), 1):
                if "reason" in record:
                    unreadable.append(record)
                else:
                    lines.add(record)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return unreadable


def _finish(done: Records, unreadable: list[Record], classes: Sequence[str], options: PredictOptions) -> PredictResult:
    """Unite what all processes have written, and count it."""
    order = {str(source.path): i for i, source in enumerate(done.sources)}
    unreadable = sorted(unreadable, key=lambda record: order[record["file"]])
    records = done.finish(classes=classes, threshold=options.threshold, unreadable=unreadable)
    if options.annotations:
        _save_annotations(options.annotations, done, records, classes)
    empty = [record for record in records if not record["scores"]]
    scores = [(record["file"], record["best_score"]) for record in empty if record.get("best_score") is not None]
    best = max(scores, key=lambda pair: pair[1], default=None)
    return PredictResult(len(records), len(done.sources) - len(done.missing), unreadable, len(empty), best)


@dataclass(frozen=True)
class _Drawing:
    """Detects in images and draws what was found."""

    detector: Detector | Tiled
    beside: Detector | None
    out: Path
    threshold: float

    def detect(self, images: Iterable[tuple[Source, Pixels | str]]) -> Iterator[tuple[Source, Any]]:
        """Yield each source with its pixels and detections (those of `beside` too), or with why it cannot be read."""
        for source, pixels in images:
            if isinstance(pixels, str):
                yield source, pixels
                continue
            other = self.beside(pixels) if self.beside is not None else None
            yield source, (pixels, self.detector(pixels), other)

    def save(self, item: tuple[Source, Any]) -> Record:
        """Draw, write the picture, and return the record; of an unreadable image file and reason."""
        source, content = item
        if isinstance(content, str):
            return {"file": str(source.path), "reason": content}
        pixels, found, other = content
        drawn = self._draw(pixels, found)
        if other is not None:
            drawn = side_by_side(self._draw(pixels, other), drawn, ("plain", "improved"))
        save_image(self.out / source.name, drawn)
        shown = found.above(self.threshold)
        plain = {"boxes": shown.boxes.tolist(), "scores": shown.scores.tolist(), "labels": shown.labels.tolist()}
        names = {"file": str(source.path), "picture": source.name.as_posix()}
        record = {**names, "size": list(found.image_size), **plain}
        if not len(shown):
            record["best_score"] = float(found.scores[0]) if len(found) else None
        return record

    def _draw(self, pixels: Pixels, found: ImageDetections) -> Pixels:
        boxes, labels, scores = found.boxes.numpy(), found.labels.numpy(), found.scores.numpy()
        return draw_detections(pixels, boxes, labels, scores, self.detector.classes, self.threshold)


def _read(source: Source) -> tuple[Source, Pixels | str]:
    """The pixels of an image, or the reason why there are none."""
    try:
        return source, read_image(source.path)
    except UserError as error:
        reason = str(error).removeprefix(f"{source.path}: ")
        logger.warning("left out: %s", error)
        return source, reason


def _ahead(pool: ThreadPoolExecutor, function: Callable[[T], R], items: Iterable[T], count: int) -> Iterator[R]:
    """The results of `function` in order, computed in threads up to `count` items before they are asked for."""
    waiting: deque[Future[R]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > count:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


@contextmanager
def _stoppable(lines: Lines, share: Sequence[Source], before: int) -> Iterator[None]:
    """Say after a signal what is done and how to go on."""
    try:
        yield
    except KeyboardInterrupt as error:
        of = f"process {get_rank()}: " if get_world_size() > 1 else ""
        reused = before if get_world_size() == 1 else 0
        how = f"{of}{reused + lines.count} of {reused + len(share)} images are done; the same command goes on"
        stopped = error if isinstance(error, Stopped) else Stopped()
        raise Stopped(stopped.number, f"{stopped}: {how}") from None


def _save_annotations(form: str, done: Records, records: Sequence[Record], classes: Sequence[str]) -> None:
    images = [
        AnnotatedImage(Path(r["file"]), r["picture"], (r["size"][0], r["size"][1]), r["boxes"], r["labels"])
        for r in records
    ]
    write_annotations(form, images, classes, done.out / form)
