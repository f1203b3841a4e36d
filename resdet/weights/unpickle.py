"""Read a pickle of numpy arrays without running any code that the file asks for.

    blobs = read_arrays("R-50.pkl")          # nested dicts of arrays: a file of Detectron or detectron2

`pickle.load` can run any code that the author of the file wrote. Here every function that a file may call is replaced
by a class of this module, so that not even numpy's constructors see the file's bytes. Only arrays of numbers are
returned: arrays of Python objects are refused. Pickles written by Python 2 are read as well.
"""

from __future__ import annotations

import io
import pickle
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_NUMBERS = re.compile(r"[fiu][1248]|b1")
_WRAPPERS = 2  # levels of dicts around the arrays: {"model": {"conv1_w": array}}


def read_arrays(path: str | Path) -> Any:
    """The content of the pickle `path`; arrays are in native byte order and inside at most two levels of dicts.

    Raises:
        pickle.UnpicklingError: the file calls a function that arrays of numbers do not need, or holds objects.
        Exception: of several types, if the file is truncated or not a pickle.
    """
    # latin1 maps the byte strings of Python 2 to text one to one, so that raw array data survives.
    return _to_numpy(_Reader(io.BytesIO(Path(path).read_bytes()), encoding="latin1").load(), _WRAPPERS)


class _Dtype:
    """Replaces numpy.dtype."""

    def __init__(self, code: str, *_: object) -> None:
        if not _NUMBERS.fullmatch(code):
            raise pickle.UnpicklingError(f"it holds an array of type {code!r}, which is not one of numbers")
        self.code = code
        self.order = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]

    def numpy(self) -> np.dtype[Any]:
        return np.dtype(self.order + self.code)


class _Array:
    """Replaces numpy.ndarray and its `_reconstruct`: keeps the state read from the file until `to_numpy`."""

    def __init__(self, *_: object) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def to_numpy(self) -> npt.NDArray[Any]:
        _, shape, dtype, fortran, data = self.state  # version, ..., of ndarray.__reduce__
        raw = data.encode("latin1") if isinstance(data, str) else data
        if not isinstance(dtype, _Dtype) or not isinstance(raw, bytes):
            raise pickle.UnpicklingError("it holds an array that is not one of numbers")
        array = np.frombuffer(raw, dtype.numpy()).reshape(shape, order="F" if fortran else "C")
        return array.astype(array.dtype.newbyteorder("="))  # copies: an array on bytes is read-only


class _Scalar(_Array):
    """Replaces numpy's `scalar`: an array without axes."""

    def __init__(self, dtype: object, data: object) -> None:
        self.state = (1, (), dtype, False, data)


class _Latin1:
    """Replaces `_codecs.encode`, with which Python 3 writes bytes in pickles that Python 2 can read."""

    __slots__ = ()  # no attributes that a file could set

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


def _to_numpy(value: Any, depth: int) -> Any:
    if isinstance(value, _Array):
        return value.to_numpy()
    if isinstance(value, dict) and depth > 0:
        return {key: _to_numpy(item, depth - 1) for key, item in value.items()}
    return value
