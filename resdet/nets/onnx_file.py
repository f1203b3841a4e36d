"""Write a module as an ONNX file, with facts for whoever runs it.

    export_module(module, (image,), "net.onnx", ["image"], ["scores"], facts={"classes": ["apple", "pear"]})

ONNX Runtime gives the facts as `session.get_modelmeta().custom_metadata_map`, each as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from resdet.errors import UserError
from resdet.whole_files import whole_file

OPSET = 18


class CropFacts(NamedTuple):
    """The metadata of an exported net that reads crops."""

    classes: list[str]  # names, by label
    size: int  # side of the crops in pixels
    short: int  # short side of the image in pixels, for a crop of 224


def require_onnx() -> Any:
    """The package onnx.

    Raises:
        UserError: it, or onnxscript, which torch's exporter needs, is not installed.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError("the export needs onnx and onnxscript: pip install 'resdet[onnx]'") from error
    return onnx


def export_module(
    module: nn.Module,
    example: tuple[Tensor, ...],
    path: str | Path,
    inputs: Sequence[str],
    outputs: Sequence[str],
    facts: Mapping[str, Any],
    dynamic_shapes: tuple[Any, ...] | None = None,
    translations: Mapping[Any, Any] | None = None,
) -> None:
    """Write a module as an ONNX file.

    Args:
        module: on the CPU, in evaluation mode.
        example: its arguments.
        path: of the file.
        inputs, outputs: names of arguments and results.
        facts: metadata; plain values, written as JSON.
        dynamic_shapes: which sizes of the arguments may be others (torch.export).
        translations: ONNX's form of operators that it does not have.

    Raises:
        UserError: onnx or onnxscript is not installed.
    """
    onnx = require_onnx()
    program = torch.onnx.export(
        module, example, input_names=list(inputs), output_names=list(outputs), opset_version=OPSET, dynamo=True,
        dynamic_shapes=dynamic_shapes, custom_translation_table=dict(translations or {}), verbose=False,
    )  # fmt: skip
    assert program is not None
    proto = program.model_proto
    onnx.helper.set_model_props(proto, {name: json.dumps(value) for name, value in facts.items()})
    with whole_file(path) as temporary:
        onnx.save(proto, str(temporary))
