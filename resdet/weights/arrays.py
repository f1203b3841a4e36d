"""Make numpy arrays from what a pickle says of them, as views of the file's own bytes."""

from __future__ import annotations

import pickle
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from resdet.weights.foreign import Foreign

_NUMBERS = re.compile(r"[fiu][1248]|b1")
_NOT_NUMBERS = "it holds an array that is not one of numbers"


def to_array(value: Any) -> Any:
    """The array that a `Foreign` stands for, in the byte order of the file and read-only; any other value as it is.

    Raises:
        pickle.UnpicklingError: the array is not one of numbers.
        Exception: of several types, if the file is damaged.
    """
    if not isinstance(value, Foreign) or value.args is None:
        return value
    if value.name == "numpy.core.multiarray._reconstruct":
        _, shape, dtype, fortran, data = value.state  # version, ..., of ndarray.__reduce__
        return _view(data, dtype, shape, "F" if fortran else "C")
    if value.name == "numpy.core.numeric._frombuffer":  # protocol 5
        data, dtype, shape, order = value.args
        return _view(data, dtype, shape, order)
    if value.name == "numpy.core.multiarray.scalar":
        dtype, data = value.args
        return _view(data, dtype, (), "C")
    return value


def _view(data: Any, dtype: Any, shape: Any, order: Any) -> npt.NDArray[Any]:
    if any(side < 0 for side in shape):
        raise ValueError("a negative side")
    return np.frombuffer(_bytes(data), _dtype(dtype)).reshape(shape, order=order)


def _bytes(data: Any) -> bytes | bytearray:
    """Raw data: bytes, text of Python 2, or text that Python 3 wrote for Python 2, with a call that makes it bytes."""
    if isinstance(data, Foreign) and data.name == "_codecs.encode" and data.args is not None:
        text, encoding = data.args
        if encoding not in ("latin1", "latin-1"):
            raise pickle.UnpicklingError(f"it asks for the codec {encoding!r}")
        data = text
    raw = data.encode("latin-1") if isinstance(data, str) else data
    if not isinstance(raw, bytes | bytearray):
        raise pickle.UnpicklingError(_NOT_NUMBERS)
    return raw


def _dtype(dtype: Any) -> np.dtype[Any]:
    if not isinstance(dtype, Foreign) or dtype.name != "numpy.dtype" or not dtype.args:
        raise pickle.UnpicklingError(_NOT_NUMBERS)
    code = dtype.args[0]
    if not isinstance(code, str) or not _NUMBERS.fullmatch(code):
        raise pickle.UnpicklingError(f"it holds an array of type {code!r}, which is not one of numbers")
    order = dtype.state[1] if dtype.state else "="
    return np.dtype(("" if order == "|" else order) + code)
