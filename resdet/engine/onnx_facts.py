"""The facts that an exported ONNX file holds as metadata.

read_facts(Path("detector.onnx"))["short"]          # each is JSON in the file: 600
require_exported_detector("detector.onnx")          # the same, of a detector that resdet has exported
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from resdet.errors import UserError


def is_onnx(path: object) -> bool:
    """Whether a path or name is that of an ONNX file."""
    return isinstance(path, str | Path) and Path(path).suffix.lower() == ".onnx"


def require_exported_detector(path: str | Path) -> dict[str, Any]:
    """The facts of an exported detector.

    Args:
        path: of the file.

    Returns:
        "classes" (names, by label), "short" and "long" (sides of the resized image in pixels); of files since resdet
        keeps the config in them also "format" and "config".

    Raises:
        UserError: there is no such file, it is no whole ONNX file, or no detector that resdet has exported.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file; write it with 'resdet export'")
    try:
        facts = read_facts(Path(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the file's permissions") from None
    except ValueError as error:
        why = " ".join(str(error).split()).partition("failed:")[2].strip()[:200] or "it cannot be loaded"
        remedy = "export it again with 'resdet export', or update onnxruntime"
        raise UserError(f"{path}: not a whole ONNX file of a version that is read ({why}); {remedy}") from None
    if {"classes", "size", "short"} <= facts.keys():
        what = "an exported classifier or localizer, which runs by its script run_onnx_crop.py alone"
        raise UserError(f"{path}: {what}; for tests give the checkpoint that it was exported from")
    if not {"classes", "short", "long"} <= facts.keys():
        raise UserError(f"{path}: an ONNX file of another program; only detectors of 'resdet export' can be used here")
    return facts


def read_facts(path: Path) -> dict[str, Any]:
    """The metadata of an ONNX file, as values of JSON; None where the text, of another program, is not JSON.

    Raises:
        ValueError: it is no whole ONNX file.
        OSError: it cannot be read.
        UserError: ONNX Runtime is not installed.
    """
    with path.open("rb") as file:  # an error of the system's own, where it cannot be read
        state = os.fstat(file.fileno())
    return {name: _value(text) for name, text in _metadata(str(path), state.st_mtime_ns, state.st_size).items()}


def import_onnxruntime(path: str | Path) -> Any:
    """The package onnxruntime.

    Args:
        path: of the file that it is needed for.

    Raises:
        UserError: it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(f"{path}: using it needs ONNX Runtime ({error}): pip install 'resdet[onnx]'") from None
    return onnxruntime


@lru_cache(maxsize=8)  # one command asks several times
def _metadata(path: str, changed: int, size: int) -> dict[str, str]:
    """The metadata of the file that was `changed` then, in nanoseconds, and has `size` bytes."""
    runtime = import_onnxruntime(path)
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL  # nothing is computed
    options.log_severity_level = 4  # what is wrong is raised
    try:
        session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return dict(session.get_modelmeta().custom_metadata_map)
    except MemoryError:
        raise
    except Exception as error:  # of ONNX Runtime's own types, for each kind of damage
        raise ValueError(str(error)) from None


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
