"""What a weights file holds: numbers, text and nested dicts as data, and its tensors where they are wanted.

    with open_content(Path("resnet50.pth")) as content:
        tensors, _ = content.tensors(content.data["state_dict"], "resnet50.pth")

The formats are .safetensors, the two of `torch.save`, and pickles of numpy arrays; the first bytes decide which it is.
Code inside a file is never run, and memory is bounded by the size of the file.
"""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resdet.errors import UserError
from resdet.weights.arrays import to_array
from resdet.weights.find_net import is_tensor
from resdet.weights.foreign import Foreign, class_name
from resdet.weights.other_files import other_kind
from resdet.weights.safetensors_file import read_safetensors
from resdet.weights.torch_file import open_legacy, open_zip
from resdet.weights.unpickle import read_pickle
from resdet.weights.weights import State, is_weight

_ZIP, _LEGACY = b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the two file formats of torch.save
_GIT_LFS = b"version https://git-lfs"
_MOST_AS_FLOATS = 16  # bytes as float32 for each byte of the file: tensors of int8 that are compressed to a quarter
_SMALL = 1 << 16  # bytes as float32 that any file may hold


@dataclass
class Content:
    """The content of a file."""

    data: Any  # `Foreign` stands for tensors, and for objects of classes that are not imported
    size: int  # of the file in bytes
    decode: Callable[[Any], Any]  # the Tensor or array that a `Foreign` stands for; other values as they are

    def tensor(self, value: Any) -> Tensor | None:
        """A value as a tensor; None if it is none."""
        found = self.decode(value)
        if isinstance(found, np.ndarray | np.generic):
            return torch.from_numpy(np.array(found, dtype=found.dtype.newbyteorder("=")))
        return found.detach() if isinstance(found, Tensor) else None

    def tensors(self, values: Mapping[Any, Any], source: str, prefix: str = "") -> tuple[State, dict[str, str]]:
        """The weights in a mapping.

        Args:
            values: by name.
            source: the file's name, for messages.
            prefix: of the names that are wanted; it is removed.

        Returns:
            The tensors, without optimizer state and counters, floats as float32, others as they are; and the names of
            the other objects in their places, with what each of them is.

        Raises:
            UserError: the tensors are larger than a file of this size can hold.
            Exception: of several types, if the file is damaged.
        """
        state: State = {}
        objects = {}
        total = 0
        for name, value in values.items():
            if not isinstance(name, str) or not name.startswith(prefix) or not is_weight(name):
                continue
            found = self.decode(value)
            if isinstance(found, Foreign):
                objects[name.removeprefix(prefix)] = class_name(found)
            if not isinstance(found, Tensor | np.ndarray):
                continue
            total += math.prod(found.shape)
            if 4 * total > _MOST_AS_FLOATS * self.size + _SMALL:
                raise UserError(
                    f"{source}: refused, {name} {list(found.shape)} is more than a file of {self.size:,} bytes can "
                    "hold; save contiguous tensors"
                )
            tensor = self.tensor(found)
            assert tensor is not None
            state[name.removeprefix(prefix)] = tensor.float() if tensor.is_floating_point() else tensor
        return state, objects


@contextmanager
def open_content(path: Path) -> Iterator[Content]:
    """Open a weights file.

    Raises:
        UserError: no such file, a truncated, damaged or unknown one, or one that asks to run code; also for what the
            body of the `with` raises while it makes tensors of a damaged file.
    """
    try:
        with path.open("rb") as file:
            head = file.read(max(len(_LEGACY), len(_GIT_LFS)))
        if head.startswith(_GIT_LFS):
            raise UserError(f"{path}: a pointer of Git LFS, not the file itself; fetch it with 'git lfs pull'")
        size = path.stat().st_size
        if not head.startswith((_ZIP, _LEGACY)) and (path.suffix == ".safetensors" or _is_safetensors(head, size)):
            yield Content(read_safetensors(path), size, lambda value: value)
        elif head.startswith((_ZIP, _LEGACY)):
            with open_zip(path) if head.startswith(_ZIP) else open_legacy(path) as (data, to_tensor):
                yield Content(_checked(data), size, to_tensor)
        else:
            with path.open("rb") as file:
                data = read_pickle(file)
            yield Content(_checked(data), size, to_array)
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the file's permissions") from None
    except Exception as error:  # a damaged file can fail in any way
        raise UserError(f"{path}: {_explain(error, path)}") from None


def _is_safetensors(head: bytes, size: int) -> bool:
    """Whether a file begins with the length of a JSON text and this text."""
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size - 8


def asks_to_run(name: str) -> str:
    """The words of a refusal of a file that needs an object of a class, or a call, to be used."""
    return f"refused, it asks to run {name[:80]} when loaded; save only the tensors (a state dict) and use that file"


def _checked(data: Any) -> Any:
    """Refuse a file that holds one object, of which nothing is known but its name."""
    if isinstance(data, Foreign) and not is_tensor(data) and not isinstance(data.state, Mapping) and not data.items:
        raise pickle.UnpicklingError(f"it asks for {data.name}")
    return data


def _explain(error: Exception, path: Path) -> str:
    """One line for the user in place of what a reader reports of a bad file."""
    kind = other_kind(path)
    if kind is not None:
        return f"not a whole weights file, but {kind}{'' if ';' in kind else '; give one of PyTorch or safetensors'}"
    asked = re.match(r"it asks for (\S+)$", str(error))
    if asked and isinstance(error, pickle.UnpicklingError):
        return asks_to_run(asked[1])
    if "not one of numbers" in str(error):
        return f"refused, {error}; save only the tensors (a state dict) and use that file"
    return "not a whole weights file (truncated, or another kind of file); download or copy it again"
