"""Checkpoints: written atomically, and read without executing code from the file (`weights_only=True`).

A checkpoint is a dict: format ("resdet"), run (the run's id), step, model, config (as text), classes, and what a resume
needs: seed, optimizer, scaler, schedule, random generators, EMA, best. A run keeps last.pth and the one before it,
previous.pth, and may keep best.pth.

`find_resume` reads the checkpoint that --resume names or finds. The training resumes in training.py (`begin`).
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
LAST, PREVIOUS, BEST = "last.pth", "previous.pth", "best.pth"

_DIRECTORY = 0x10  # of a part's attributes in a zip archive

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
    except (OSError, RuntimeError) as error:  # torch's zip writer turns whatever is raised into a RuntimeError
        if isinstance(error.__context__, KeyboardInterrupt):
            raise error.__context__ from None
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
    if path.is_dir():
        raise UserError(f"{path} is a folder; give a checkpoint in it, such as last.pth")
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint; train one, or give the path of last.pth or best.pth in a run")
    try:
        with zipfile.ZipFile(path) as archive:
            # torch compresses nothing, so that what does could be of any size; and it reads nothing of a directory.
            if any(part.compress_type or part.external_attr & _DIRECTORY for part in archive.infolist()):
                raise zipfile.BadZipFile("a part that is not as torch.save writes it")
            damaged = archive.testzip()  # torch.load does not verify the checksums
        if damaged:
            raise zipfile.BadZipFile(f"wrong checksum of {damaged}")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}); check its permissions") from error
    except Exception as error:  # damaged bytes raise IndexError, KeyError, struct.error ...
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:120]
        raise UserError(f"{path} is not a checkpoint that can be read safely ({reason}); give another file") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise UserError(f"{path} is not a resdet checkpoint; weights of other programs go into --init-from")
    return state


def find_resume(work_dir: Path, resume: str | None, run_id: str | None = None) -> dict[str, Any] | None:
    """Find and read the checkpoint to resume.

    Args:
        work_dir: folder of the run.
        resume: a file; "auto": the newest checkpoint in `work_dir` that can be read; None: do not resume.
        run_id: of the run that the folder holds, if that is known.

    Returns:
        The checkpoint; None if there is nothing to resume.

    Raises:
        UserError: the file, or every checkpoint in the folder, cannot be read, or the folder's is of another run.
    """
    if resume is None:
        return None
    if resume != "auto":
        return read_checkpoint(resume)
    if (work_dir / LAST).is_dir():
        raise UserError(f"{work_dir / LAST} is a folder, where the run writes its checkpoint; move it away")
    found = [path for name in (LAST, PREVIOUS) if (path := work_dir / name).is_file()]
    if not found:
        logger.warning("--resume: there is no %s, the run starts at step 0", work_dir / LAST)
        return None
    return _of_run(*_newest(found), run_id)


def _newest(found: list[Path]) -> tuple[Path, dict[str, Any]]:
    """The first of these files that can be read, and its content."""
    for path in found[:-1]:
        try:
            return path, read_checkpoint(path)
        except UserError as error:
            logger.warning("%s; using the one before it", error)
    return found[-1], read_checkpoint(found[-1])


def _of_run(path: Path, state: dict[str, Any], run_id: str | None) -> dict[str, Any]:
    own = state.get("run")
    if run_id is None or own in (None, run_id):
        return state
    raise UserError(
        f"{path} is of run {own}, but the folder holds run {run_id}; to go on from it all the same give --resume {path}"
    )
