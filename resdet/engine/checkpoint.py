"""Checkpoints: written whole or not at all, checked and read without running code (``weights_only=True``).

A checkpoint is a dict: format "resdet", step, model, config (its text), classes, and for resuming seed, optimizer,
scaler, ema, best. A run keeps last.pth and the one before it, previous.pth.
"""

from __future__ import annotations

import logging
import os
import zipfile
from pathlib import Path
from typing import Any

import torch

from resdet.errors import UserError

FORMAT = "resdet"
LAST, PREVIOUS = "last.pth", "previous.pth"

logger = logging.getLogger("resdet")


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write beside, flush to the disk, then rename: whoever looks sees the old file or the new one, never half of one.

    The old last.pth becomes previous.pth.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            torch.save({"format": FORMAT, **state}, file)
            file.flush()
            os.fsync(file.fileno())
        if path.name == LAST and path.is_file():
            path.replace(path.with_name(PREVIOUS))
        partial.replace(path)
    except (OSError, RuntimeError) as error:  # of a full disk torch's zip writer makes a RuntimeError
        reason = error.strerror if isinstance(error, OSError) else str(error.__context__ or error).splitlines()[0]
        raise UserError(f"{path} cannot be written: {reason}; the checkpoint before it is untouched") from error
    finally:
        if partial.is_file():
            partial.unlink()


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read one of our checkpoints, onto the CPU.

    Raises:
        UserError: the file is missing, cut short, damaged, of another program, or holds more than plain data.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint; train one, or give the path of last.pth or best.pth in a run")
    try:
        damaged = zipfile.ZipFile(path).testzip()  # torch.load itself does not look at the checksums
        if damaged:
            raise zipfile.BadZipFile(f"wrong checksum of {damaged}")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged byte leads the unpickler to IndexError, KeyError, struct.error ...
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:120]
        raise UserError(f"{path} is not a checkpoint that can be read safely ({reason}); give another file") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise UserError(f"{path} is not a resdet checkpoint; weights of other programs go into --init-from")
    return state


def find_resume(work_dir: Path, resume: str | None) -> dict[str, Any] | None:
    """The checkpoint to go on from: the file named, or with "auto" the run's last one that can be read, if any."""
    if resume is None:
        return None
    if resume != "auto":
        return read_checkpoint(resume)
    found = [path for name in (LAST, PREVIOUS) if (path := work_dir / name).is_file()]
    if not found:
        logger.warning("--resume: there is no %s, the run starts at step 0", work_dir / LAST)
        return None
    for path in found[:-1]:
        try:
            return read_checkpoint(path)
        except UserError as error:
            logger.warning("%s; taking the one before it", error)
    return read_checkpoint(found[-1])
