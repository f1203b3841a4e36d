""".safetensors files: tensors as they are, and texts beside them, the metadata.

    write_safetensors("detector.safetensors", model.state_dict(), resdet_metadata(config, classes, "1x1"))
    read_safetensors(Path("detector.safetensors"))["classes"]

A detector that resdet has exported says so by the metadata "format": "resdet" and holds what a checkpoint holds of it:
"config" (the resolved config, as text), "classes" (a JSON list of names by label) and "stride_on". Its preprocessing
is among the tensors. Other files are state dicts; "mean" and "std" (JSON lists) are their preprocessing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resdet.errors import UserError
from resdet.whole_files import whole_file

FORMAT = "resdet"
_AGAIN = "export it again with 'resdet export'"


def resdet_metadata(config: str, classes: Sequence[str], stride_on: str | None) -> dict[str, str]:
    """The metadata of a detector: {"format": "resdet", "config": ..., "classes": ...}.

    Args:
        config: the text of the resolved config.
        classes: names, by label.
        stride_on: the convolution of a bottleneck that has the stride; None for a net without bottlenecks.
    """
    stride = {} if stride_on is None else {"stride_on": stride_on}
    return {"format": FORMAT, "config": config, "classes": json.dumps(list(classes)), **stride}


def write_safetensors(path: str | Path, state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors and metadata to a file, which is whole or not there.

    Raises:
        UserError: safetensors is not installed, or the file cannot be written.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.torch import save_file
    except ImportError:
        raise UserError(f"{path}: writing it needs a package: pip install 'resdet[safetensors]'") from None
    with whole_file(path) as partial:
        try:
            save_file({name: t.detach().cpu().contiguous() for name, t in state.items()}, partial, dict(metadata))
        except SafetensorError as error:  # what is an OSError elsewhere: a full disk, a missing permission
            raise UserError(f"{path} cannot be written ({error}); make room, or choose another folder") from None


def read_safetensors(path: Path) -> dict[str, Any]:
    """Read a file as the dict that `torch.save` would have written.

    Returns:
        A checkpoint of resdet ("format", "model", "config", "classes", "stride_on") if the metadata says so; else
        "state_dict", and "mean" and "std" where the metadata has them.

    Raises:
        UserError: safetensors is not installed, or the metadata are not as they are written.
        Exception: of several types, if the file is damaged.
    """
    try:
        from safetensors import safe_open
    except ImportError:
        raise UserError(f"{path}: reading it needs a package: pip install 'resdet[safetensors]'") from None
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a mapping
    if metadata.get("format") != FORMAT:
        pixels = {name: _pixels(path, name, metadata[name]) for name in ("mean", "std") if name in metadata}
        return {"state_dict": state, **pixels}
    own = {key: metadata[key] for key in ("config", "stride_on") if key in metadata}
    return {"format": FORMAT, "model": state, "classes": _classes(path, metadata.get("classes", "[]")), **own}


def _classes(path: Path, text: str) -> list[str]:
    names = _json(text)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{path}: its metadata 'classes' are no list of names ({_short(text)}); {_AGAIN}")
    if len(set(names)) < len(names):
        raise UserError(f"{path}: its metadata 'classes' name a class twice ({_short(text)}); {_AGAIN}")
    return names


def _pixels(path: Path, name: str, text: str) -> Tensor:
    """A mean or std: three numbers, or an image of them."""
    try:
        values = torch.tensor(_json(text), dtype=torch.float32)
    except (ValueError, TypeError, RuntimeError):
        values = torch.tensor(())
    if values.dim() not in (1, 3) or len(values) != 3 or not values.isfinite().all():
        raise UserError(f"{path}: its metadata '{name}' are no three numbers ({_short(text)}); write it again")
    return values


def _json(text: str) -> Any:
    """The value of a JSON text; None if it is none, or one that is nested without end."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:60]}..."
