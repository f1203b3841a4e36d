"""The folder of a proposal cache: a manifest, part files while it is computed, then one memory-mapped file per array.

    files = ProposalFiles(folder, manifest)            # refuses a folder with another manifest
    for part in files.missing() or ():
        files.write(part, [boxes, scores, valid, sizes])
    files.finish(join=True)                            # parts -> boxes.npy, scores.npy, valid.npy, sizes.npy
    cache = files.open()

Files are written under another name, flushed to disk and renamed: a part exists completely or not at all, and a killed
run computes only the missing parts.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from resdet.data.localization.regions import ProposalCache
from resdet.engine.distributed import get_rank
from resdet.engine.run import make_folder
from resdet.errors import UserError

MANIFEST = "manifest.json"
ARRAYS = {"boxes": np.float32, "scores": np.float32, "valid": np.bool_, "sizes": np.int64}


class ProposalFiles:
    """The files of one cache.

    Args:
        folder: of this cache alone; created if missing.
        manifest: JSON values that identify the proposals, among them "images" (I), "count" (R) and "part", the images
            per part file.

    Raises:
        UserError: the folder holds proposals with another manifest, or cannot be written.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder, self.images, self.part = folder, manifest["images"], manifest["part"]
        rows = (self.images, manifest["count"])
        self.shapes = {"boxes": (*rows, 4), "scores": rows, "valid": rows, "sizes": (self.images, 2)}
        self.parts = range(-(-self.images // self.part))
        make_folder(folder)
        self._check_manifest(manifest)

    def images_of(self, part: int) -> np.ndarray:
        """Indices of a part's images, int64."""
        return np.arange(part * self.part, min((part + 1) * self.part, self.images))

    def missing(self) -> list[int] | None:
        """Numbers of the parts that do not exist or are damaged; None if the final arrays exist."""
        if all(self._map(name) is not None for name in ARRAYS):
            return None
        return [part for part in self.parts if self._read(part) is None]

    def write(self, part: int, columns: Sequence[np.ndarray]) -> None:
        """Write one part: `columns` are its rows of each of `ARRAYS`, in that order."""
        with self._replacing(self._path(part)) as file:
            arrays: dict[str, Any] = {
                name: np.asarray(column, ARRAYS[name]) for name, column in zip(ARRAYS, columns, strict=True)
            }
            np.savez(file, **arrays)

    def finish(self, join: bool) -> None:
        """Join the parts to the final arrays if `join`, and remove parts and unfinished files.

        Raises:
            UserError: a part is missing, or a file cannot be written.
        """
        for name, dtype in ARRAYS.items() if join else ():
            with self._replacing(self.folder / f"{name}.npy") as file:
                header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False}
                np.lib.format.write_array_header_1_0(file, {**header, "shape": self.shapes[name]})
                for part in self.parts:
                    found = self._read(part, (name,))
                    if found is None:
                        raise UserError(f"{self._path(part)} is missing: all processes must see the same {self.folder}")
                    file.write(found[name].tobytes())
        for left in (*self.folder.glob("part-*.npz"), *self.folder.glob(".*.partial")):
            left.unlink()

    def open(self) -> ProposalCache:
        """Map the final arrays into memory.

        Raises:
            UserError: they do not exist.
        """
        arrays = {name: array for name in ARRAYS if (array := self._map(name)) is not None}
        if len(arrays) < len(ARRAYS):
            raise UserError(f"{self.folder}: the arrays are missing; all processes must see the same folder")
        return ProposalCache(**{name: torch.from_numpy(array) for name, array in arrays.items()})

    def _path(self, part: int) -> Path:
        return self.folder / f"part-{part:05}.npz"

    def _read(self, part: int, names: Sequence[str] = tuple(ARRAYS)) -> dict[str, np.ndarray] | None:
        """Arrays of a part, with their checksums verified; None if it does not exist or is damaged."""
        count = len(self.images_of(part))
        try:
            with np.load(self._path(part)) as file:
                found = {name: file[name] for name in names}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        fits = all(found[n].shape == (count, *self.shapes[n][1:]) and found[n].dtype == ARRAYS[n] for n in names)
        return found if fits else None

    def _map(self, name: str) -> np.ndarray | None:
        """A final array, None if it is missing or truncated. Copy-on-write, because torch warns of read-only arrays."""
        try:
            array: np.ndarray = np.load(self.folder / f"{name}.npy", mmap_mode="c")
        except (OSError, ValueError, EOFError):
            return None
        return array if array.shape == self.shapes[name] and array.dtype == ARRAYS[name] else None

    def _check_manifest(self, manifest: dict[str, Any]) -> None:
        """Write the manifest into a new folder; refuse a folder with another one."""
        path = self.folder / MANIFEST
        ours = json.loads(json.dumps(manifest))  # as read from a file: tuples become lists
        if not path.is_file():
            if any(self.folder.glob("*.np[yz]")):
                raise UserError(f"{self.folder} has proposals but no {MANIFEST}: delete it or give another folder")
            with self._replacing(path) as file:
                file.write(json.dumps(ours, indent=1).encode())
            return
        try:
            theirs = json.loads(path.read_text())
            other = next((key for key in ours if theirs.get(key) != ours[key]), None)
        except (OSError, ValueError, AttributeError):
            raise UserError(f"{path} cannot be read: delete {self.folder} or give another folder") from None
        if other is not None:
            what = {"checkpoint": "checkpoint", "images": "data set", "list": "data set"}.get(other, "setting")
            there, here = (f"{str(value)[:60]}" for value in (theirs.get(other), ours[other]))
            raise UserError(
                f"{self.folder} has the proposals of another {what} ({other} {there}, here {here}): "
                "delete it or give another folder"
            )

    @contextmanager
    def _replacing(self, path: Path) -> Iterator[BinaryIO]:
        """A file that takes the place of `path` when it is complete and on disk."""
        partial = path.with_name(f".{path.name}.{get_rank()}.partial")
        try:
            with partial.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror}; finished parts are kept") from error
        finally:
            partial.unlink(missing_ok=True)
