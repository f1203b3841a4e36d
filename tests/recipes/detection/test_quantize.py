"""An exported detector in int8: what is quantized, and that it detects as in fp32."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torchvision.ops import box_iou

from helpers.detectors import make_detector, make_sample
from resdet.detection.onnx import DetectorFacts, export_onnx
from resdet.errors import UserError
from resdet.recipes.detection.quantize import Calibration, calibration_images, quantize


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A small detector's file in fp32, and the one in int8, calibrated on three images of noise."""
    folder = tmp_path_factory.mktemp("int8")
    export_onnx(make_detector(18).eval(), folder / "fp32.onnx", DetectorFacts(list("abcd"), 200, None))
    sizes = ((256, 320), (200, 300), (333, 190))
    images = (make_sample(*size, seed=i)[0].image.numpy() for i, size in enumerate(sizes))
    quantize(folder / "fp32.onnx", folder / "int8.onnx", images)
    return folder / "fp32.onnx", folder / "int8.onnx"


def test_the_backbones_weights_are_int8_and_the_outputs_layers_are_not(exported: tuple[Path, Path]) -> None:
    before, after = (onnx.load(path) for path in exported)
    types = {one.name.removesuffix("_quantized"): one.data_type for one in after.graph.initializer}
    weights = [one.name for one in before.graph.initializer if one.name.endswith(".weight") and len(one.dims) == 4]
    assert len(weights) == 23  # conv1 to conv5 with three projections, 20; the RPN's three
    fp32 = {name for name in weights if types[name] != onnx.TensorProto.INT8}
    assert fp32 == {"model.rpn.objectness.weight", "model.rpn.deltas.weight"}
    assert {one.key: one.value for one in after.metadata_props} == {one.key: one.value for one in before.metadata_props}


def test_detections_are_nearly_those_in_fp32_at_sizes_that_calibration_had_not(exported: tuple[Path, Path]) -> None:
    fp32, int8 = (onnxruntime.InferenceSession(path) for path in exported)
    for size in ((240, 400), (310, 208)):
        image = make_sample(*size, seed=9)[0].image.numpy()
        boxes, scores, labels = fp32.run(None, {"image": image})
        found, found_scores, found_labels = int8.run(None, {"image": image})
        same = labels[:, None] == found_labels
        overlap = np.where(same, box_iou(torch.from_numpy(boxes), torch.from_numpy(found)), 0)
        assert overlap.max(1).mean() > 0.85  # 100 boxes; random weights rank many anchors almost alike
        assert np.abs(scores - found_scores[overlap.argmax(1)])[overlap.max(1) > 0.9].max() < 0.01


def test_calibration_images_are_drawn_evenly(tmp_path: Path) -> None:
    for i in range(10):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((4, 5, 3), i, np.uint8))
    images = calibration_images(Calibration(str(tmp_path), images=4))
    assert [int(image()[0, 0, 0]) for image in images] == [0, 3, 6, 9]
    assert len(calibration_images(Calibration(str(tmp_path)))) == 10


def test_the_training_set_of_a_config_serves_for_calibration(det_config: Path) -> None:
    images = calibration_images(Calibration(str(det_config)))
    assert [image().shape for image in images] == [(80, 100, 3)] * 3


def test_a_folder_without_images_and_a_misspelt_one_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no image there to calibrate int8 on"):
        calibration_images(Calibration(str(tmp_path)))
    with pytest.raises(UserError, match="no folder of images, and no config with a training set"):
        calibration_images(Calibration(str(tmp_path / "fotos")))
