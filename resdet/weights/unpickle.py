"""Reads a pickle of numpy arrays and runs nothing that the file asks for.

    blobs = read_arrays("R-50.pkl")          # nested dicts of arrays, as detectron2 and Detectron publish them

A pickle is a program: reading one from the web with `pickle.load` runs whatever its author wrote. Here every name
that the file may call leads to a stand-in of this module; even numpy's own constructors never see the file's bytes.
Only numbers come out: arrays of Python objects are refused. Pickles of Python 2 are read as well.
"""

from __future__ import annotations

import io
import pickle
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

_NUMBERS = re.compile(r"[fiu][1248]|b1")
_WRAPPERS = 2  # how deep the arrays may lie in dicts: {"model": {"conv1_w": array}}


def read_arrays(path: str | Path) -> Any:
    """What the pickle `path` holds, with numpy arrays in native byte order down to two dicts deep.

    Raises:
        pickle.UnpicklingError: the file calls something that numbers do not need, or holds arrays of objects.
        Exception: of several kinds, where the file is truncated or is no pickle.
    """
    # latin1 maps the byte strings of Python 2 to text one to one, so that raw array data survives.
    return _thaw(_Reader(io.BytesIO(Path(path).read_bytes()), encoding="latin1").load(), _WRAPPERS)


class _Dtype:
    """Stands in for numpy.dtype."""

    def __init__(self, code: str, *_: object) -> None:
        if not _NUMBERS.fullmatch(code):
            raise pickle.UnpicklingError(f"it holds an array of type {code!r}, which is not one of numbers")
        self.code = code
        self.order = "="

    def __setstate__(self, state: tuple) -> None:
        self.order = state[1]

    def numpy(self) -> np.dtype:
        return np.dtype(self.order + self.code)


class _Array:
    """Stands in for numpy.ndarray and its `_reconstruct`: keeps the file's state until `thaw`."""

    def __init__(self, *_: object) -> None:
        self.state: tuple = ()

    def __setstate__(self, state: tuple) -> None:
        self.state = state

    def thaw(self) -> np.ndarray:
        _, shape, dtype, fortran, data = self.state  # version, ..., of ndarray.__reduce__
        raw = data.encode("latin1") if isinstance(data, str) else data
        if not isinstance(dtype, _Dtype) or not isinstance(raw, bytes):
            raise pickle.UnpicklingError("it holds an array that is not one of numbers")
        array = np.frombuffer(raw, dtype.numpy()).reshape(shape, order="F" if fortran else "C")
        return array.astype(array.dtype.newbyteorder("="))  # a copy: bytes are read-only


class _Scalar(_Array):
    """Stands in for numpy's `scalar`: an array without axes."""

    def __init__(self, dtype: object, data: object) -> None:
        self.state = (1, (), dtype, False, data)


class _Latin1:
    """Stands in for `_codecs.encode`, with which Python 3 writes bytes for readers of Python 2."""

    __slots__ = ()  # nothing that a file could set

    def __call__(self, text: str, encoding: str) -> bytes:
        if encoding not in ("latin1", "latin-1"):
            raise pickle.UnpicklingError(f"it asks for the codec {encoding!r}")
        return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.multiarray", "scalar"): _Scalar,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _Latin1(),
    ("collections", "OrderedDict"): OrderedDict,
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        known = _ALLOWED.get((module.replace("numpy._core", "numpy.core"), name))  # numpy 2 renamed it
        if known is None:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return known


def _thaw(value: Any, depth: int) -> Any:
    if isinstance(value, _Array):
        return value.thaw()
    if isinstance(value, dict) and depth > 0:
        return {key: _thaw(item, depth - 1) for key, item in value.items()}
    return value
