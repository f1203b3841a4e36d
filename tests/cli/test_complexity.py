"""resdet complexity prints the costs of Table 1."""

from __future__ import annotations

import pytest

from helpers.commands import complexity


def test_complexity_prints_table_1(capsys: pytest.CaptureFixture[str]) -> None:
    complexity([])
    lines = capsys.readouterr().out.splitlines()
    cells = [line.split() for line in lines]
    assert ["conv4_x", "14x14", *["3x3,", "256", "3x3,", "256", "1x1,", "256", "1x1,", "256", "1x1,", "256"]] in cells
    assert ["x", "2", "x", "6", *["1x1,", "1024"] * 3] in cells
    assert ["MACs", *["1.8", "G", "3.7", "G", "3.9", "G", "7.6", "G", "11.3", "G"]] in cells
    assert ["VGG-19", "143,667,240", "19,632", "19.6", "G", "(Fig.", "3)"] in cells
