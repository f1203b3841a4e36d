"""The config that a checkpoint, .safetensors or .onnx file of resdet keeps, and the record of its training images."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from resdet.engine.config import Config, plain
from resdet.engine.config_text import read_text
from resdet.engine.onnx_facts import is_onnx, read_facts
from resdet.errors import UserError

_SCHEME = re.compile(r"[a-z]\w+:/")  # one slash: what pathlib leaves of two
_LONGEST = 1 << 20  # characters; a resolved config has a few thousand, and parsing takes a hundred times the memory
SUFFIXES = (".pth", ".pt", ".pkl", ".safetensors", ".onnx")  # of trained nets, as opposed to configs


def is_checkpoint(path: str | Path | Config) -> bool:
    """Whether a name is that of a file of weights or an .onnx file, or of published ones, and not of a config.

    Raises:
        UserError: it is the folder of a run.
    """
    if not isinstance(path, str | Path):
        return False
    if os.path.isfile(Path(path) / "last.pth"):  # False for what can be no path, where pathlib's raises
        raise UserError(f"{path} is the folder of a run; give its checkpoint, {Path(path) / 'last.pth'}")
    return Path(path).suffix.lower() in SUFFIXES or _SCHEME.match(str(path)) is not None


def kept_config(path: str | Path, beside: Config | None = None) -> Config | None:
    """The config that a file of weights keeps.

    Args:
        path: of a checkpoint, or of any other file of weights.
        beside: a config that the user gave: classes that it names may be used, whatever package they are of.

    Returns:
        The config, whose `filename` is `path`; None if there is no such file, or it keeps none that can be read, as
        those of other projects.
    """
    text = _kept_text(Path(path)) if Path(path).is_file() else ""
    if not text:
        return None
    trusted = {} if beside is None else {f"{t.__module__}.{t.__name__}": t for t in _types(plain(beside))}
    try:
        return Config(read_text(text, str(path), trusted), cfg_text=text, filename=str(path))
    except UserError:
        return None


def _kept_text(path: Path) -> str:
    """The text under "config"; "" if there is none. Damaged files are named by what reads their weights."""
    try:
        if path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, "pt") as file:
                return _bounded((file.metadata() or {}).get("config"))
        if is_onnx(path):
            facts = read_facts(path)
            return _bounded(facts.get("config")) if facts.get("format") == "resdet" else ""
        return _bounded(_kept(path).get("config"))
    except Exception:  # damaged bytes raise anything
        return ""


def kept_images(path: str | Path) -> Mapping[str, Any] | None:
    """The record of the images that a checkpoint was trained on (`images_record`).

    Args:
        path: of a checkpoint, or of any other file of weights.

    Returns:
        None if there is no such file, or it keeps none, as .safetensors, .onnx and files of other projects.
    """
    try:
        record = _kept(Path(path)).get("images")
    except Exception:  # damaged bytes raise anything; what reads the weights names them
        return None
    return record if isinstance(record, Mapping) else None


def _kept(path: Path) -> Mapping[str, Any]:
    """What a checkpoint of resdet holds, without reading its tensors; empty for other files."""
    if not zipfile.is_zipfile(path) or any(part.compress_type for part in zipfile.ZipFile(path).infolist()):
        return {}  # torch compresses nothing: what does could be of any size
    state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return state if isinstance(state, Mapping) and state.get("format") == "resdet" else {}


def _bounded(text: Any) -> str:
    return text if isinstance(text, str) and len(text) <= _LONGEST else ""


def _types(node: Any) -> list[Any]:
    if isinstance(node, Mapping):
        own = [node["type"]] if isinstance(node.get("type"), type) else []
        return own + [found for value in node.values() for found in _types(value)]
    if isinstance(node, list | tuple):
        return [found for value in node for found in _types(value)]
    return []
