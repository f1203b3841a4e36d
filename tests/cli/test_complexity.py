"""resdet complexity prints the costs of Table 1, and writes those of every net as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.commands import complexity


def test_complexity_prints_table_1_and_writes_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    complexity(["--json", str(tmp_path / "costs.json")])
    lines = capsys.readouterr().out.splitlines()
    cells = [line.split() for line in lines]
    assert ["conv4_x", "14x14", *["3x3,", "256", "3x3,", "256", "1x1,", "256", "1x1,", "256", "1x1,", "256"]] in cells
    assert ["x", "2", "x", "6", *["1x1,", "1024"] * 3] in cells
    assert ["MACs", *["1.8", "G", "3.7", "G", "3.9", "G", "7.6", "G", "11.3", "G"]] in cells
    assert ["VGG-19", "143,667,240", "19,632", "19.6", "G", "(Fig.", "3)"] in cells
    assert any("pool1" in line for line in lines)
    costs = json.loads((tmp_path / "costs.json").read_text())
    assert costs["ResNet-50"] == {"parameters": 25_557_032, "macs": 3_857_973_248}
    assert {"ResNet-18 A", "ResNet-18 B", "ResNet-18 C"} <= costs.keys()
