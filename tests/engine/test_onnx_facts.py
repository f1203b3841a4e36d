"""The metadata of ONNX files are read as ONNX's own package writes them, and no bytes lead to another error."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from resdet.engine.onnx_facts import read_facts

FACTS = {"classes": ["apple", "père", "犬"], "short": 600, "long": None, "config": "a = 1\n" * 3000}


@pytest.fixture(scope="module")
def content() -> bytes:
    """A file of one node, whose metadata ONNX has written."""
    one, other = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "ab")
    graph = helper.make_graph([helper.make_node("Identity", ["a"], ["b"])], "graph", [one], [other])
    model = helper.make_model(graph, producer_name="test", model_version=1 << 40, ir_version=8)
    helper.set_model_props(model, {name: json.dumps(value) for name, value in FACTS.items()} | {"author": "no JSON"})
    return bytes(model.SerializeToString())


def test_they_are_those_that_onnx_has_written(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(content)
    onnx.checker.check_model(onnx.load(tmp_path / "a.onnx"))
    assert read_facts(tmp_path / "a.onnx") == {**FACTS, "author": None}


def test_other_bytes_are_no_file_or_give_other_facts(content: bytes, tmp_path: Path) -> None:
    random, path = np.random.default_rng(0), tmp_path / "a.onnx"
    refused = 0
    for i in range(150):
        damaged = np.frombuffer(content, np.uint8).copy()
        if i % 3 == 0:
            damaged = damaged[: random.integers(len(damaged))]
        elif i % 3 == 1:
            damaged[random.integers(min(300, len(damaged)), size=3)] = random.integers(256, size=3)
        else:
            damaged = random.integers(256, size=random.integers(200)).astype(np.uint8)
        path.write_bytes(damaged.tobytes())
        try:
            read_facts(path)
        except ValueError:
            refused += 1
    assert 75 < refused < 150
