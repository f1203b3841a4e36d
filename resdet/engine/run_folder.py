"""The folder of a run: one process writes in it at a time (`.lock`), and it holds one run (`run.json`).

A new run in the folder of an older one moves the older run's files to older/DATE_ID/, so that no checkpoint, figure or
page is taken for the new run's. It happens when the new run has been checked and its first step is about to begin: a
mistake in a config costs nothing. A process that is killed while it moves files leaves the rest to the next one.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from filelock import BaseFileLock, FileLock, Timeout

from resdet.engine.checkpoint import BEST, LAST, PREVIOUS
from resdet.engine.distributed import gather_objects, is_main_process
from resdet.errors import UserError

T = TypeVar("T")
logger = logging.getLogger("resdet")

LOCK, RECORD, OLDER, LOG = ".lock", "run.json", "older", "run.log"
EVENTS = "events.out.tfevents.*"  # TensorBoard's
RESULTS = (LAST, PREVIOUS, BEST, "scalars.json", EVENTS)  # what shows that there was a run
STAGES = "[1-9]_*"  # folders of a run's stages
LEFT = (
    LOG, "eval.log", "ablate.log", "page.html", "pictures", "eval_pictures", "lr_range.*", "scalars.partial",
    ".*.partial",
)  # fmt: skip
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP)


@dataclass
class RunIdentity:
    """Which run this is. The runs of its stages share one object.

    Attributes:
        id: eight hexadecimal digits, in run.json, the log, the page and every checkpoint; "" before the run has begun.
        locked: whether the main process has the lock of the folder.
        lock: keeps other processes out of the folder while this object exists; None on all but the main process.
        log_begin: size of run.log in bytes before this process wrote to it; None: it did not.
    """

    id: str = ""
    locked: bool = False
    lock: BaseFileLock | None = None
    log_begin: int | None = None


def lock_folder(identity: RunIdentity, folder: Path) -> None:
    """Keep other processes out of a run's folder; the kernel ends the lock with this process, whatever ends it.

    The lock is of the whole process: a second run in it may use the folder too.

    Raises:
        UserError: another process has the lock, or the folder cannot be written to.
    """

    def lock() -> None:
        identity.lock = hold(folder, "--work-dir")

    if not identity.locked:
        on_main(lock)
        identity.locked = True


def hold(folder: Path, option: str) -> BaseFileLock | None:
    """Keep other processes out of a folder as long as the result exists.

    Args:
        folder: exists.
        option: names it on the command line, for the message.

    Returns:
        The lock; None on a file system without locks.

    Raises:
        UserError: another process has the lock, or the folder cannot be written to.
    """
    path = folder / LOCK
    # Singleton: one object per path and process. It goes, and the lock with it, when nothing refers to it any more.
    lock = FileLock(path, timeout=0, thread_local=False, is_singleton=True)
    try:
        lock.acquire()
        path.write_text(f"process {os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")
    except Timeout:
        holder = path.read_text(encoding="utf-8").strip() or "another process"
        raise UserError(f"{folder} is in use by {holder}: wait until it ends, or choose another {option}") from None
    except OSError as error:
        if error.errno in NO_LOCKS:
            logger.warning("%s is on a file system without locks: let no other process write there", folder)
            return None
        raise UserError(f"{folder} cannot be written to ({error.strerror}); choose another {option}") from error
    return lock


def recorded_id(identity: RunIdentity, folder: Path) -> str | None:
    """The id of the run that a folder holds, after files that an interrupted process left have been moved.

    Returns:
        None: the folder is new, or of before runs had ids.
    """

    def read() -> str | None:
        record = _read(folder)
        if name := record.get("aside"):
            target = folder / OLDER / Path(name).name  # below the folder, whatever the file says
            target.mkdir(parents=True, exist_ok=True)
            _set_aside(folder, target, identity.log_begin)
            _write(folder, {key: value for key, value in record.items() if key != "aside"})
        return record.get("id")

    return on_main(read)


def claim(
    identity: RunIdentity, folder: Path, resume: str | None, state: Mapping[str, Any] | None, command: str
) -> None:
    """Make the folder this run's: go on with the run that it holds, or set that one aside.

    Args:
        identity: gets the run's id, unless it has one.
        folder: of the whole run, locked.
        resume: as in RunOptions.
        state: the checkpoint to resume, if there is one.
        command: the command line, for run.json.
    """
    if not identity.id:
        gather_objects([0])  # every process has read what it starts from, and none was refused
        identity.id = on_main(lambda: _claim(identity, folder, resume, state, command))


def on_main(action: Callable[[], T]) -> T:
    """Run `action` in the main process; every process gets its result, or its UserError."""
    own: list[tuple[T | None, str]] = []
    if is_main_process():
        try:
            own.append((action(), ""))
        except UserError as error:
            own.append((None, str(error)))
    result, refused = gather_objects(own)[0]
    if refused:
        raise UserError(refused)
    return result  # type: ignore[return-value]  # None only if `action` returned it


def older_run(folder: Path) -> list[Path]:
    """The files and folders of the run that a folder holds; empty if there is none.

    Other files of the user's in the folder are not among them.
    """
    stages = [path for path in folder.glob(STAGES) if path.is_dir() and (_found(path, RESULTS) or _is_cache(path))]
    found = [*_found(folder, RESULTS), *stages]
    known = (folder / RECORD).is_file() or any(not path.is_dir() or any(path.iterdir()) for path in found)
    return [*found, *_found(folder, LEFT)] if known else []


def _claim(
    identity: RunIdentity, folder: Path, resume: str | None, state: Mapping[str, Any] | None, command: str
) -> str:
    record = _read(folder)
    known, found = record.get("id"), (state or {}).get("run")
    if resume == "auto" or (resume is not None and _goes_on(folder, Path(resume), known, found)):
        identified: str = known or found or _new_id()
        if known is None:
            _write(folder, _record(identified, command))
        logger.info("run %s goes on in %s", identified, folder)
        return identified
    record, new = _read(folder), _record(_new_id(), command)
    files = older_run(folder)
    if files:
        target = _free_name(folder / OLDER, _date(record, files), known)
        target.mkdir(parents=True, exist_ok=True)
        if record:
            _write(target, record)
        _write(folder, {**new, "aside": target.name})
        _set_aside(folder, target, identity.log_begin)
        logger.warning("%s held an older run: its files are in %s now", folder, target)
    _write(folder, new)
    logger.info("run %s begins in %s", new["id"], folder)
    return new["id"]


def _goes_on(folder: Path, checkpoint: Path, known: str | None, found: str | None) -> bool:
    """Whether a checkpoint that --resume names is of the folder's own run."""
    return found == known if known else folder.resolve() in checkpoint.resolve().parents


def _set_aside(folder: Path, target: Path, log_begin: int | None) -> None:
    for path in reversed(older_run(folder)):  # the results last: they show the next process what was left
        if path.name == LOG and log_begin is not None:
            _split_log(path, target / LOG, log_begin)
        else:
            path.replace(target / path.name)


def _split_log(log: Path, older: Path, begin: int) -> None:
    """Move the first `begin` bytes of an open log; the log goes on with the others."""
    if older.exists():  # an interrupted process has done it
        return
    content = log.read_bytes()
    for path, part in ((older, content[:begin]), (log, content[begin:])):
        partial = path.with_name(f".{path.name}.partial")
        partial.write_bytes(part)
        partial.replace(path)
    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler):
            handler.close()  # it opens the file of this name when it writes the next line


def _found(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    return sorted(path for pattern in patterns for path in folder.glob(pattern))


def _is_cache(folder: Path) -> bool:
    """Whether the folder is a stage's that has no checkpoints but files with a manifest, or is still empty."""
    return (folder / "manifest.json").is_file() or not any(folder.iterdir())


def _new_id() -> str:
    return uuid.uuid4().hex[:8]


def _record(identified: str, command: str) -> dict[str, str]:
    return {"id": identified, "begun": time.strftime("%Y-%m-%d %H:%M:%S"), "command": command}


def _date(record: Mapping[str, Any], files: list[Path]) -> str:
    """When a run began, to the minute; when its last file was written if that is not recorded."""
    seconds = max(path.stat().st_mtime for path in files)
    begun: str = record.get("begun") or time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
    return begun[:16].replace(" ", "_").replace(":", "")


def _free_name(parent: Path, date: str, identified: str | None) -> Path:
    name = f"{date}_{identified}" if identified else date
    taken = {path.name for path in parent.glob(f"{name}*")}
    return parent / next(n for i in range(1, len(taken) + 2) if (n := name if i == 1 else f"{name}_{i}") not in taken)


def _read(folder: Path) -> dict[str, Any]:
    """The content of run.json, whose values are texts; empty if there is none or it is damaged."""
    try:
        content = json.loads((folder / RECORD).read_text())
    except (OSError, ValueError):
        return {}
    sound = isinstance(content, dict) and all(isinstance(value, str) for value in content.values())
    return content if sound else {}


def _write(folder: Path, record: Mapping[str, Any]) -> None:
    partial = folder / f".{RECORD}.partial"
    try:
        with partial.open("w") as file:
            file.write(json.dumps(record, indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(folder / RECORD)
    except OSError as error:
        raise UserError(f"{folder / RECORD} cannot be written: {error.strerror}; choose another --work-dir") from error
