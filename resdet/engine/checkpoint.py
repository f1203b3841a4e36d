"""Checkpoints: written atomically, and read without executing code from the file (`weights_only=True`).

A checkpoint is a dict: format ("resdet"), step, model, config (as text), classes, and what a resume needs: seed,
optimizer, scaler, schedule, random generators, EMA, best. A run keeps last.pth and the one before it, previous.pth.
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
    """Write a checkpoint to a temporary file, flush it to the disk and rename it: readers never see part of a file.

    Args:
        path: the file. If it is named last.pth and exists, the old one is kept as previous.pth.
        state: entries of the checkpoint.

    Raises:
        UserError: the file cannot be written, as on a full disk; the old one is unchanged.
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
    except (OSError, RuntimeError) as error:  # torch's zip writer raises RuntimeError on a full disk
        reason = error.strerror if isinstance(error, OSError) else str(error.__context__ or error).splitlines()[0]
        raise UserError(f"{path} cannot be written: {reason}; the checkpoint before it is unchanged") from error
    finally:
        if partial.is_file():
            partial.unlink()


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint of this program; tensors are on the CPU.

    Raises:
        UserError: the file is missing, truncated or damaged, of another program, or contains pickled code.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint; train one, or give the path of last.pth or best.pth in a run")
    try:
        damaged = zipfile.ZipFile(path).testzip()  # torch.load does not verify the checksums
        if damaged:
            raise zipfile.BadZipFile(f"wrong checksum of {damaged}")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes raise IndexError, KeyError, struct.error ...
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:120]
        raise UserError(f"{path} is not a checkpoint that can be read safely ({reason}); give another file") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise UserError(f"{path} is not a resdet checkpoint; weights of other programs go into --init-from")
    return state


def find_resume(work_dir: Path, resume: str | None) -> dict[str, Any] | None:
    """Find and read the checkpoint to resume.

    Args:
        work_dir: folder of the run.
        resume: a file; "auto": the newest checkpoint in `work_dir` that can be read; None: do not resume.

    Returns:
        The checkpoint; None if there is nothing to resume.

    Raises:
        UserError: the file, or every checkpoint in the folder, cannot be read.
    """
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
            logger.warning("%s; using the one before it", error)
    return read_checkpoint(found[-1])
