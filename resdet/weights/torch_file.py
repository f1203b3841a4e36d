"""Read the two file formats of `torch.save` as data: the zip archive, and the one before torch 1.6.

    with open_zip(Path("resnet50.pth")) as (content, to_tensor):
        to_tensor(content["state_dict"]["conv1.weight"])

`torch.load(weights_only=True)` refuses files that hold any class beside their tensors, trusts sizes in the file, and
does not verify checksums. Here tensors are views of storages that are read when they are wanted, verified, and no
larger than the file says.
"""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from resdet.errors import UserError
from resdet.weights.arrays import to_array
from resdet.weights.foreign import Foreign
from resdet.weights.unpickle import read_pickle

ToTensor = Callable[[Any], Any]  # the tensor that a value of the content stands for, or the value itself

MAGIC = 0x1950A86A20F9469CFC6C  # of torch.save before 1.6
_MOST_UNPACKED = 4  # times the size of the file, of all parts of an archive together
_SMALL = 1 << 16  # bytes that any archive may unpack to
_STORAGE_DTYPES = {
    "FloatStorage": torch.float32, "DoubleStorage": torch.float64, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
    "UntypedStorage": torch.uint8,
}  # fmt: skip


@contextmanager
def open_zip(path: Path) -> Iterator[tuple[Any, ToTensor]]:
    """Open an archive of torch.save.

    Yields:
        Its content as `read_pickle` returns it, and a function that makes tensors.

    Raises:
        UserError: the parts of the archive are many times larger than the file, or it is a TorchScript program.
        Exception: of several types, if the file is damaged; from the function too.
    """
    with zipfile.ZipFile(path) as archive:
        parts = {info.filename: info for info in archive.infolist()}
        _check_sizes(archive, path)
        root = next(name for name in parts if name.rpartition("/")[2] == "data.pkl").removesuffix("data.pkl")
        if f"{root}constants.pkl" in parts:
            raise UserError(f"{path}: a TorchScript program; save the state dict of its net, and use that file")
        if f"{root}byteorder" in parts and archive.read(f"{root}byteorder") != b"little":
            raise UserError(f"{path}: written on a big-endian machine; save it again on another")

        def read_storage(key: str, size: int) -> bytearray:
            info = archive.getinfo(f"{root}data/{key}")
            if info.file_size != size:
                raise zipfile.BadZipFile("a storage of another size")
            return bytearray(archive.read(info))  # verifies the checksum

        with archive.open(f"{root}data.pkl") as file:
            content = read_pickle(file, parts[f"{root}data.pkl"].file_size)  # type: ignore[arg-type]
            file.read()  # to its end, where the checksum is verified
        yield content, _Storages(read_storage).to_tensor


def _check_sizes(archive: zipfile.ZipFile, path: Path) -> None:
    infos = archive.infolist()
    if any(info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for info in infos):
        raise UserError(f"{path}: compressed in a way that torch.save does not use; save it again with torch.save")
    unpacked, size = sum(info.file_size for info in infos), path.stat().st_size
    if unpacked > _MOST_UNPACKED * size + _SMALL:
        raise UserError(
            f"{path}: refused, its {size:,} bytes unpack to {unpacked:,}; save it again with torch.save, uncompressed"
        )


@contextmanager
def open_legacy(path: Path) -> Iterator[tuple[Any, ToTensor]]:
    """Open a file in the format before torch 1.6: four pickles, the keys of the storages, and these one by one.

    Yields and raises as `open_zip`.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        used: list[Any] = []

        def load() -> Any:
            return read_pickle(file, size - file.tell(), used)

        if load() != MAGIC or load() != 1001 or load()["little_endian"] is not True:
            raise pickle.UnpicklingError("another version of torch.save")
        content, keys = load(), load()
        places = _places(file, keys, [_Storage.of(identifier) for identifier in used], size)

        def read_storage(key: str, wanted: int) -> bytearray:
            file.seek(places[key])
            return bytearray(file.read(wanted))

        yield content, _Storages(read_storage).to_tensor


def _places(file: BinaryIO, keys: Any, used: list[_Storage], size: int) -> dict[str, int]:
    """Where the data of each storage begins; before it is the number of its elements."""
    known = {storage.key: storage for storage in used}
    places = {}
    for key in keys:
        (count,) = struct.unpack("<q", file.read(8))
        if count != known[key].count or file.tell() + known[key].bytes > size:
            raise EOFError("a storage of another size")
        places[key] = file.tell()
        file.seek(known[key].bytes, 1)
    return places


@dataclass(frozen=True)
class _Storage:
    """What a file says of a storage: a persistent id of its pickle."""

    key: str
    dtype: torch.dtype
    count: int  # elements
    part: slice  # of the elements; older files name parts of storages

    @classmethod
    def of(cls, identifier: Any) -> _Storage:
        kind, type_, key, _, count, *view = identifier
        dtype = _STORAGE_DTYPES[type_.name.rpartition(".")[2]]
        if kind != "storage" or not isinstance(key, str) or not isinstance(count, int) or count < 0:
            raise pickle.UnpicklingError("no storage")
        part = slice(None)
        if view and view[0] is not None:
            _, start, length = view[0]
            part = slice(start, start + length)
        return cls(key, dtype, count, part)

    @property
    def bytes(self) -> int:
        return self.count * self.dtype.itemsize


class _Storages:
    """Makes tensors on storages, each of which is read once.

    Args:
        read: returns the bytes of the storage with a key and a size.
    """

    def __init__(self, read: Callable[[str, int], bytearray]) -> None:
        self.read = read
        self.known: dict[str, Tensor] = {}

    def to_tensor(self, value: Any) -> Any:
        if not isinstance(value, Foreign) or value.args is None:
            return value
        if value.name.startswith("torch._utils._rebuild_parameter"):
            return self.to_tensor(value.args[0])
        if value.name == "torch._tensor._rebuild_from_type_v2":  # a subclass of Tensor
            return self.to_tensor(Foreign(value.args[0].name, value.args[2]))
        if value.name in ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"):
            storage, offset, size, stride = value.args[:4]
            return torch.as_strided(self._elements(storage), size, stride, offset)  # checks the storage's bounds
        if value.name == "torch._utils._rebuild_tensor_v3":  # types of numbers that have no storage class
            storage, offset, size, stride = value.args[:4]
            dtype = getattr(torch, value.args[6].name.removeprefix("torch."))
            return torch.as_strided(self._elements(storage).view(dtype), size, stride, offset)
        return to_array(value)

    def _elements(self, reference: Foreign) -> Tensor:
        """The elements [N] of a storage."""
        if reference.name != "persistent" or reference.args is None:
            raise pickle.UnpicklingError("a tensor without storage")
        storage = _Storage.of(reference.args[0])
        if storage.key not in self.known:
            raw = self.read(storage.key, storage.bytes)
            if len(raw) != storage.bytes:
                raise EOFError("a storage of another size")
            self.known[storage.key] = (
                torch.frombuffer(raw, dtype=torch.uint8) if raw else torch.empty(0, dtype=torch.uint8)
            )
        return self.known[storage.key].view(storage.dtype)[storage.part]
