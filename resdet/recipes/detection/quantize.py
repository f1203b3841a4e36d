"""int8 for an exported detector: ONNX Runtime's static quantization, calibrated on images.

images = calibration_images(Calibration("photos/", images=64))
quantize("detector.onnx", "int8.onnx", [Resizer(600, 1000)(image()) for image in images])

Convolutions and fully connected layers of the backbone and the RPN's 3x3 convolution compute in int8, with a scale for
each output channel of the weights and one for each map; ReLUs, sums of shortcuts and max pooling between them take and
give int8 maps. RoI pooling, the RPN's 1x1 and the sibling layers, boxes and NMS stay in fp32. A map's range is from its
smallest to its largest value. Maps are unsigned and weights signed, as x86 CPUs with VNNI multiply them; those without
add such products in 16 bits, which may overflow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resdet.data.detection.annotations import DetectionDataset
from resdet.data.image_files import find_images, suffixes_in_words
from resdet.data.images import read_image
from resdet.engine.config import build, require
from resdet.errors import UserError
from resdet.recipes.sections import load_config
from resdet.whole_files import whole_file

QUANTIZED = ("model.net.", "model.rpn.conv.")  # prefixes of the weights' names in the file
BETWEEN = ("Relu", "MaxPool", "Add")  # operators that go on with the maps of the quantized layers

CALIBRATION_IMAGES = 64  # by default; drawn evenly

ReadImage = Callable[[], np.ndarray]  # -> uint8 [H, W, 3], RGB


class Calibration(NamedTuple):
    """The images that the ranges of all maps are measured on.

    Args:
        data: a folder, which is searched with its subfolders; or a config or a checkpoint, whose training set is used.
        images: the most images that are used, drawn evenly from all.
    """

    data: str
    images: int = CALIBRATION_IMAGES


def calibration_images(calibration: Calibration) -> list[ReadImage]:
    """The images as functions that read them.

    Raises:
        UserError: there is no image, no such folder or config, or the training set cannot be read.
    """
    every = _images_of(calibration.data)
    count = min(calibration.images, len(every))
    return [every[round(i)] for i in np.linspace(0, len(every) - 1, count)]


def quantize(source: Path, target: Path, images: Iterable[np.ndarray]) -> None:
    """Write an exported detector in int8.

    Args:
        source: the file that `export_onnx` has written.
        target: the file to write; it has the same inputs, outputs and metadata.
        images: uint8 [H, W, 3], RGB, resized as the metadata say; at least one.

    Raises:
        UserError: ONNX Runtime is not installed.
    """
    tools = require_onnxruntime()
    import onnx

    model = onnx.load(source)
    facts = {one.key: one.value for one in model.metadata_props}
    # Without this mark onnxruntime warns that its own optimizations were not applied before; BN is folded already.
    onnx.helper.set_model_props(model, {**facts, "onnx.quant.pre_process": "onnxruntime.quant"})
    with whole_file(target) as temporary:
        tools.quantize_static(
            model, temporary, _Reader(images), quant_format=tools.QuantFormat.QDQ, per_channel=True,
            activation_type=tools.QuantType.QUInt8, weight_type=tools.QuantType.QInt8,
            op_types_to_quantize=["Conv", "Gemm", *BETWEEN], nodes_to_quantize=_layers(model.graph),
        )  # fmt: skip
        quantized = onnx.load(temporary)
        del quantized.metadata_props[:]
        onnx.helper.set_model_props(quantized, facts)
        onnx.save(quantized, temporary)


def require_onnxruntime() -> Any:
    """The package onnxruntime.quantization.

    Raises:
        UserError: ONNX Runtime is not installed.
    """
    try:
        import onnxruntime.quantization as tools
    except ImportError as error:
        raise UserError("--int8 needs onnx and onnxruntime: pip install 'resdet[onnx]'") from error
    return tools


class _Reader:
    """An iterator in the form that ONNX Runtime asks for."""

    def __init__(self, images: Iterable[np.ndarray]) -> None:
        self._images = iter(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The arguments of the next run; None after the last one."""
        image = next(self._images, None)
        return None if image is None else {"image": np.ascontiguousarray(image)}


def _images_of(data: str) -> Sequence[ReadImage]:
    if Path(data).is_dir():
        found = find_images(Path(data))
        if not found:
            raise UserError(f"{data}: no image there to calibrate int8 on ({suffixes_in_words()})")
        return [partial(read_image, path) for path in found]
    try:
        cfg = load_config(data)
    except UserError as error:
        raise UserError(f"--int8 {data}: no folder of images, and no config with a training set ({error})") from None
    require(cfg, "a detector", "data.train")
    dataset: DetectionDataset = build(cfg.data.train)
    return [partial(_pixels, dataset, i) for i in range(len(dataset))]


def _pixels(dataset: DetectionDataset, index: int) -> np.ndarray:
    return dataset[index].image.numpy()


def _layers(graph: Any) -> list[str]:
    """Names of the nodes to quantize: the layers, and in their order what goes on with their maps."""
    maps: set[str] = set()
    names = []
    for node in graph.node:
        layer = node.op_type in ("Conv", "Gemm") and node.input[1].startswith(QUANTIZED)
        if layer or (node.op_type in BETWEEN and maps.intersection(node.input)):
            names.append(node.name)
            maps.update(node.output)
    if not names:  # ONNX Runtime would quantize every node, boxes too
        raise ValueError(f"no layer's weights in the file begin with {' or '.join(QUANTIZED)}")
    return names
