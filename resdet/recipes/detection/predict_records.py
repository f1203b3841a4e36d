"""What `resdet predict` has done so far, in the output folder: detections.jsonl, a line for each image as it is done.

An interrupted run goes on with what is missing. Beside the lines lies predict.json, with all that decides about them:
weights, classes, sizes, precision, threshold. What was made with other settings is not mixed with the new.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import torch

from resdet.errors import UserError
from resdet.recipes.detection.detector import Detector
from resdet.recipes.detection.predict_sources import Source
from resdet.whole_files import write_whole_file

LINES, WHOLE, SETTINGS = "detections.jsonl", "detections.json", "predict.json"

Record = dict[str, Any]


def settings_of(detector: Detector, threshold: float, beside: Detector | None) -> Record:
    """All that decides about the records, by name, as JSON holds it."""
    models = [*detector.inference.detectors, *(beside.inference.detectors if beside is not None else [])]
    return {
        "weights": _digest(models),
        "classes": list(detector.classes),
        "size": str(detector.sizes),
        "proposals": [str(model.rpn.settings) for model in models],
        "regions": [str(model.head.settings) for model in models],
        "testing": str(detector.inference.settings),
        "compare": beside is not None,
        "precision": detector.precision,
        "threshold": threshold,
    }


class Records:
    """The records of an output folder; use it in a `with` block, which closes the file.

    Args:
        out: the folder; it exists.
        settings: of `settings_of`.
        sources: the images of this call. Records of other images stay, unless their pictures will be replaced.
        overwrite: begin anew, whatever the folder holds.

    Raises:
        UserError: the folder holds detections of other settings, or of an unknown program.
    """

    def __init__(self, out: Path, settings: Record, sources: Sequence[Source], overwrite: bool = False) -> None:
        self.out, self.sources = out, sources
        if overwrite:
            for name in (LINES, WHOLE, SETTINGS):
                (out / name).unlink(missing_ok=True)
        _refuse_other(out, settings)
        self.found = _read_lines(out / LINES)
        self.missing = [source for source in sources if not self._has(source)]
        replaced = {source.name.as_posix() for source in self.missing}
        self.found = {file: record for file, record in self.found.items() if record["picture"] not in replaced}
        write_whole_file(out / SETTINGS, (json.dumps(settings, indent=1) + "\n").encode())
        # Rewritten, because the last line may be cut, and more must not follow it.
        write_whole_file(out / LINES, "".join(_line(record) for record in self.found.values()).encode())
        self.file: IO[str] = (out / LINES).open("a", encoding="utf-8")

    def __enter__(self) -> Records:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def add(self, record: Record) -> None:
        """Write the record of one image; from now on nothing loses it."""
        self.found[record["file"]] = record
        self.file.write(_line(record))
        self.file.flush()

    def of_sources(self) -> list[Record]:
        """The records of this call's images, in their order; images without one are left out."""
        return [self.found[str(s.path)] for s in self.sources if str(s.path) in self.found]

    def finish(self, **facts: Any) -> list[Record]:
        """Write detections.json, and bring the lines of this call's images in their order; returns these records.

        Args:
            facts: further entries of detections.json.
        """
        records = self.of_sources()
        write_whole(self.out, {**facts, "images": records})
        own = {record["file"] for record in records}
        others = [record for file, record in self.found.items() if file not in own]
        self.file.close()
        write_whole_file(self.out / LINES, "".join(map(_line, [*others, *records])).encode())
        return records

    def _has(self, source: Source) -> bool:
        """Whether an image is done: its record and its picture are there, and the picture is newer than the image."""
        record = self.found.get(str(source.path))
        if record is None or record["picture"] != source.name.as_posix():
            return False
        try:
            read, drawn = source.path.stat(), (self.out / source.name).stat()
        except OSError:
            return False
        return max(read.st_mtime, read.st_ctime) <= drawn.st_mtime


def write_whole(out: Path, content: Record) -> None:
    """Write detections.json."""
    write_whole_file(out / WHOLE, (json.dumps(content, indent=1) + "\n").encode())


def _line(record: Record) -> str:
    return json.dumps(record) + "\n"


def _digest(models: Sequence[torch.nn.Module]) -> str:
    """Of all weights as they compute."""
    digest = hashlib.sha256()
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
    if before == settings:
        return
    changed = [key for key in settings if not isinstance(before, dict) or before.get(key) != settings[key]]
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
