"""Download a file: resumed after a cut, checked, and put in place as a whole.

    fetch(Download("msra://R-50", "https://.../R-50.pkl", Path("cache/R-50.pkl")))

The bytes gather in FILE.partial, which a later call continues if the server still has the same file (If-Range), and
which is renamed when it is complete. Of several processes one downloads, the others wait. (torch.hub and pooch do not
resume, and a cut of a 200 MB file over a slow line is common.)
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from filelock import FileLock
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

from resdet.errors import UserError

ATTEMPTS = 5  # without a new byte in between
PAUSE = 1.0  # seconds before the second attempt, doubled each time
TIMEOUT = 30.0  # seconds without a byte
_CHUNK = 1 << 18

logger = logging.getLogger("resdet")


@dataclass(frozen=True)
class Download:
    """A file to download."""

    name: str  # for messages
    url: str
    target: Path
    checksum: str = ""  # algorithm and the beginning of the digest: "sha256:0676ba61"; empty: not known

    @property
    def partial(self) -> Path:
        """What has arrived so far."""
        return self.target.with_name(f"{self.target.name}.partial")

    @property
    def record(self) -> Path:
        """Which version of the file `partial` is of."""
        return self.target.with_name(f"{self.target.name}.partial.json")


class _CutError(Exception):
    """The transfer ended early; it can be continued."""


class _RefusedError(Exception):
    """The server will not give this file, however often it is asked."""


def fetch(download: Download) -> None:
    """Download a file to its target, unless another process has just done so.

    Raises:
        UserError: no network, no such file on the server, or another content than expected. The message has the
            address, to fetch the file by hand, and where to put it.
    """
    try:
        download.target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{download.target}.lock"):
            if not download.target.is_file():
                _fetch(download)
    except (_RefusedError, _CutError, HTTPException, OSError) as error:  # urllib's URLError is an OSError
        reason = " ".join(str(getattr(error, "reason", None) or error).split()) or type(error).__name__
        raise UserError(
            f"{download.name}: cannot be downloaded ({reason}); fetch {download.url} by hand and put it at "
            f"{download.target}"
        ) from None


def _fetch(download: Download) -> None:
    logger.info("downloading %s to %s", download.url, download.target)
    failures, most = 0, _size(download.partial)
    while True:
        try:
            _transfer(download)
            break
        except (_CutError, HTTPException, OSError) as error:
            if isinstance(error, OSError) and not isinstance(error, URLError | ConnectionError | TimeoutError):
                raise  # the disk's, not the network's
            arrived = _size(download.partial)
            failures = 1 if arrived > most else failures + 1
            most = max(most, arrived)
            if failures >= ATTEMPTS:
                raise
            time.sleep(PAUSE * 2 ** (failures - 1))
    _check(download)
    with download.partial.open("rb") as file:
        os.fsync(file.fileno())
    download.partial.replace(download.target)
    download.record.unlink(missing_ok=True)


def _transfer(download: Download) -> None:
    """Receive the file, or the rest of it.

    Raises:
        _CutError: a part is missing still.
        _RefusedError: the server does not have the file.
    """
    start, version = _arrived(download)
    headers = {"User-Agent": "resdet", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    if start and version:
        headers["If-Range"] = version
    try:
        with urlopen(Request(download.url, headers=headers), timeout=TIMEOUT) as response:
            _receive(download, response, start)
    except HTTPError as error:
        answer = f"the server answers {error.code} {error.reason}"
        if error.code == 416:  # there is nothing behind `start`: the file on the server is a shorter one
            _discard(download)
        if error.code in (408, 416, 429) or error.code >= 500:
            raise _CutError(answer) from None
        raise _RefusedError(answer) from None


def _receive(download: Download, response: HTTPResponse, start: int) -> None:
    """Write a response behind the first `start` bytes, or as the whole file if the server sends that."""
    if response.headers.get_content_type() == "text/html":
        raise _RefusedError("the server answers with a page, not the file")
    if response.status == 206:
        total = _total_of_part(response, start)
        if total != json.loads(download.record.read_text())["size"]:
            _discard(download)
            raise _CutError("the file on the server has changed")
    else:
        length = response.headers.get("Content-Length")
        total = int(length) if length else None
        _discard(download)
        download.record.write_text(json.dumps({"url": download.url, "version": _version(response), "size": total}))
        start = 0
    with download.partial.open("ab") as file, _progress(download, start, total) as advance:
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            advance(len(chunk))
        arrived = file.tell()
    if total is not None and arrived != total:
        raise _CutError(f"{arrived:,} of {total:,} bytes arrived")


def _arrived(download: Download) -> tuple[int, str]:
    """(bytes that arrived before, version of the file they are of); (0, "") where they cannot be continued."""
    try:
        record = json.loads(download.record.read_text())
        size = _size(download.partial)
        if record["url"] == download.url and 0 < size < record["size"]:
            return size, record["version"]
    except (OSError, ValueError, TypeError, KeyError):  # no record, or a damaged one
        pass
    return 0, ""


def _version(response: HTTPResponse) -> str:
    """What tells this file from a later one at the same address; only strong ETags may be used for parts."""
    etag = response.headers.get("ETag") or ""
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified") or ""


def _total_of_part(response: HTTPResponse, start: int) -> int | None:
    """The size of the whole file by a response with a part of it, which must begin at `start`."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range") or "")
    return int(match[2]) if match and int(match[1]) == start else None


def _check(download: Download) -> None:
    if not download.checksum:
        return
    algorithm, _, wanted = download.checksum.partition(":")
    with download.partial.open("rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    if not found.startswith(wanted):
        _discard(download)
        raise _RefusedError(f"its {algorithm} begins with {found[: len(wanted)]}, not {wanted}")


def _discard(download: Download) -> None:
    download.partial.unlink(missing_ok=True)
    download.record.unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


@contextmanager
def _progress(download: Download, start: int, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal's stderr. Yields a function that takes the number of new bytes."""
    console = Console(stderr=True)
    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(download.target.name, total=total, completed=start)
        yield lambda count: progress.advance(task, count)
