"""What `resdet predict` has done so far, in the output folder: detections.jsonl, a line for each image as it is done.

An interrupted run goes on with what is missing. Beside the lines lies predict.json, with all that decides about them:
weights, classes, sizes, precision, threshold. What was made with other settings is not mixed with the new.

Of several processes each writes the lines of its own images (detections.part3.jsonl), and the main one unites them, at
the end or, after an interruption, at the next start.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import torch

from resdet.detection.inference import Inference
from resdet.engine.distributed import get_rank, get_world_size
from resdet.errors import UserError
from resdet.recipes.detection.detector import Detector
from resdet.recipes.detection.onnx_detector import OnnxDetector
from resdet.recipes.detection.predict_folder import LINES, PARTS, SETTINGS, WHOLE, set_annotations_aside
from resdet.recipes.detection.predict_sources import Source
from resdet.recipes.detection.tiling import Tiling
from resdet.whole_files import write_whole_file

Record = dict[str, Any]


def settings_of(detector: Detector, threshold: float, beside: Detector | None, tiling: Tiling | None = None) -> Record:
    """All that decides about the records, by name, as JSON holds it."""
    used = [one.inference for one in (detector, beside) if one is not None]
    models = [model for one in used if isinstance(one, Inference) for model in one.detectors]
    return {
        "weights": _digest(models, [one.digest for one in used if isinstance(one, OnnxDetector)]),
        "classes": list(detector.classes),
        "size": str(detector.sizes),
        "proposals": [str(model.rpn.settings) for model in models],
        "regions": [str(model.head.settings) for model in models],
        "testing": str(detector.inference.settings),
        "tiling": None if tiling is None else str(tiling),
        "compare": beside is not None,
        "precision": detector.precision,
        "threshold": threshold,
    }


class Lines:
    """The file that this process adds its lines to; use it in a `with` block, which closes the file.

    Args:
        out: the output folder.
    """

    def __init__(self, out: Path) -> None:
        name = LINES if get_world_size() == 1 else PARTS.replace("*", str(get_rank()))
        self.count = 0  # lines added
        self.file: IO[str] = (out / name).open("a", encoding="utf-8")

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def add(self, record: Record) -> None:
        """Write the record of one image or frame; from now on nothing loses it."""
        self.file.write(_line(record))
        self.file.flush()
        self.count += 1


class Records:
    """The records of an output folder, for one process alone: the main one.

    Args:
        out: the folder; it exists.
        settings: of `settings_of`.
        sources: the images of this call. Records of other images stay, unless their pictures will be replaced.
        overwrite: begin anew, whatever the folder holds; annotations in it are set aside.

    Raises:
        UserError: the folder holds detections of other settings, or of an unknown program.
    """

    def __init__(self, out: Path, settings: Record, sources: Sequence[Source], overwrite: bool = False) -> None:
        self.out, self.sources = out, sources
        if overwrite:
            set_annotations_aside(out)
            clear(out)
        _refuse_other(out, settings)
        found = self._read()
        self.missing = [source for source in sources if not self._has(source, found)]
        replaced = {source.name.as_posix() for source in self.missing}
        kept = [record for record in found.values() if record["picture"] not in replaced]
        write_whole_file(out / SETTINGS, (json.dumps(settings, indent=1) + "\n").encode())
        self._write(kept)  # also because the last line may be cut, and more must not follow it

    def finish(self, **facts: Any) -> list[Record]:
        """Unite the lines of all processes, in the images' order, and write detections.json.

        Args:
            facts: further entries of detections.json.

        Returns:
            The records of this call's images, in their order; images that could not be read have none.
        """
        found = self._read()
        records = [found[str(s.path)] for s in self.sources if str(s.path) in found]
        write_whole(self.out, {**facts, "images": records})
        own = {record["file"] for record in records}
        self._write([*(record for file, record in found.items() if file not in own), *records])
        return records

    def _read(self) -> dict[str, Record]:
        """The records of all files of lines, by image."""
        found = _read_lines(self.out / LINES)
        for path in sorted(self.out.glob(PARTS)):
            found |= _read_lines(path)
        return found

    def _write(self, records: Iterable[Record]) -> None:
        """Write all lines to one file, and remove the parts."""
        write_whole_file(self.out / LINES, "".join(map(_line, records)).encode())
        for path in self.out.glob(PARTS):
            path.unlink()

    def _has(self, source: Source, found: Mapping[str, Record]) -> bool:
        """Whether an image is done: its record and its picture are there, and the picture is newer than the image."""
        record = found.get(str(source.path))
        if record is None or record["picture"] != source.name.as_posix():
            return False
        try:
            read, drawn = source.path.stat(), (self.out / source.name).stat()
        except OSError:
            return False
        return max(read.st_mtime, read.st_ctime) <= drawn.st_mtime


def clear(out: Path) -> None:
    """Remove the records of an output folder; pictures stay."""
    for path in [*(out / name for name in (LINES, WHOLE, SETTINGS)), *out.glob(PARTS)]:
        path.unlink(missing_ok=True)


def clear_frames(out: Path, overwrite: bool) -> None:
    """Remove the records of a video for those of another one; with `overwrite` any, and annotations are set aside.

    Raises:
        UserError: the folder holds records of images, and `overwrite` is False.
    """
    if not overwrite and any(_read_lines(path) for path in (out / LINES, *out.glob(PARTS))):
        raise UserError(f"{out} holds detections of images; choose another folder with --out, or add --overwrite")
    if overwrite:
        set_annotations_aside(out)
    clear(out)


def write_whole(out: Path, content: Record) -> None:
    """Write detections.json."""
    write_whole_file(out / WHOLE, (json.dumps(content, indent=1) + "\n").encode())


def _line(record: Record) -> str:
    return json.dumps(record) + "\n"


def _digest(models: Sequence[torch.nn.Module], files: Sequence[str]) -> str:
    """Of all weights as they compute, and of the digests of exported files."""
    digest = hashlib.sha256("".join(files).encode())
    for model in models:
        for name, tensor in model.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _refuse_other(out: Path, settings: Record) -> None:
    """Refuse a folder with detections of other settings."""
    if not any((out / name).exists() for name in (LINES, WHOLE)):
        return
    try:
        before = json.loads((out / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = {}
    before = before if isinstance(before, dict) else {}
    changed = sorted(key for key in before.keys() | settings.keys() if before.get(key) != settings.get(key))
    if not changed:
        return
    what = f"other {', '.join(changed)}" if before else "unknown settings"
    if before and changed == ["threshold"]:
        what = f"--threshold {before.get('threshold')}"
    raise UserError(f"{out} holds detections of {what}; choose another folder with --out, or add --overwrite")


def _read_lines(path: Path) -> dict[str, Record]:
    """The records by file; a line that is cut, the last one after a crash, is left out."""
    found: dict[str, Record] = {}
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return found
    for line in lines:
        try:
            record = json.loads(line)
            if {"picture", "size", "boxes", "scores", "labels"} <= record.keys():
                found[record["file"]] = record
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return found
