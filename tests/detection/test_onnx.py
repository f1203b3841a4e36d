"""An exported detector gives the same detections in ONNX Runtime, for images of any size."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from helpers.detectors import make_detector, make_sample
from resdet.data.detection.loading import collate_detection
from resdet.detection.inference import Inference
from resdet.detection.onnx import DetectorFacts, export_onnx
from resdet.detection.pt2 import export_pt2, load_pt2

SIZES = ((256, 320), (200, 300), (333, 190))  # landscape and portrait; the first is what the export traces


@pytest.mark.parametrize(
    ("depth", "pooling", "head"),
    [
        (18, "align", {}),
        (50, "pool", {"context": True}),
        pytest.param(50, "align", {"aligned": False, "samples": 2}, marks=pytest.mark.heavy),
    ],
)
def test_detections_are_those_of_the_detector(depth: int, pooling: str, head: dict, tmp_path: Path) -> None:
    detector = make_detector(depth, pooling=pooling, **head).eval()
    export_onnx(detector, tmp_path / "d.onnx", DetectorFacts(list("abcd"), 200, None))
    session = onnxruntime.InferenceSession(tmp_path / "d.onnx")
    assert session.get_modelmeta().custom_metadata_map == {
        "classes": '["a", "b", "c", "d"]',
        "short": "200",
        "long": "null",
    }
    for i, (height, width) in enumerate(SIZES):
        sample = make_sample(height, width, seed=i)
        expected = Inference([detector]).detect(collate_detection([sample]))[0]
        boxes, scores, labels = session.run(None, {"image": sample[0].image.numpy()})
        assert len(expected) == 100
        np.testing.assert_allclose(scores, expected.scores, atol=1e-4)
        # Scores that are almost equal may come in another order: each box is looked up.
        apart = np.abs(boxes[:, None] - expected.boxes.numpy()).max(2)
        apart[
            (labels[:, None] != expected.labels.numpy()) | (np.abs(scores[:, None] - expected.scores.numpy()) > 1e-4)
        ] = np.inf
        assert apart.min(1).max() < 1e-3 * max(height, width)
        assert len(set(apart.argmin(1))) == 100


def test_an_image_without_detections_gives_empty_arrays(tmp_path: Path) -> None:
    detector = make_detector(18, nms_iou=0.5).eval()
    torch.nn.init.zeros_(detector.head.scores.weight)
    detector.head.scores.bias.data = torch.tensor([-9.0, -9, -9, -9, 9])
    object.__setattr__(detector.head.settings, "score_floor", 0.5)
    export_onnx(detector, tmp_path / "d.onnx", DetectorFacts(list("abcd"), 200, 300))
    session = onnxruntime.InferenceSession(tmp_path / "d.onnx")
    found = session.run(None, {"image": np.zeros((64, 80, 3), np.uint8)})
    assert [values.shape for values in found] == [(0, 4), (0,), (0,)]


@pytest.mark.parametrize("pooling", ["align", pytest.param("pool", marks=pytest.mark.heavy)])
def test_a_program_of_torch_export_gives_the_same_detections(pooling: str, tmp_path: Path) -> None:
    detector = make_detector(18, pooling=pooling).eval().to(memory_format=torch.channels_last)  # as after a training
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "No complete tensor")  # of torch, to the user
        export_pt2(detector, tmp_path / "d.pt2", DetectorFacts(list("abcd"), 200, None))
    detect, facts = load_pt2(tmp_path / "d.pt2")
    assert facts == {"classes": ["a", "b", "c", "d"], "short": 200, "long": None}
    for i, (height, width) in enumerate(SIZES):
        sample = make_sample(height, width, seed=i)
        expected = Inference([detector]).detect(collate_detection([sample]))[0]
        boxes, scores, labels = detect(sample[0].image)
        np.testing.assert_allclose(scores, expected.scores, atol=1e-5)
        assert torch.equal(labels, expected.labels)
        np.testing.assert_allclose(boxes, expected.boxes, atol=1e-2)
