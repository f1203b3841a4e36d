"""Contenders measured in turns are compared within each turn, so that a slow turn affects both."""

from __future__ import annotations

import pytest

from resdet.benchmarks.turns import Turns


def test_ratios_are_of_the_same_turn() -> None:
    turns = Turns({"a": [2.0, 30.0, 4.0], "b": [1.0, 10.0, 4.0]})
    assert turns.medians() == {"a": 4.0, "b": 4.0}
    assert turns.ratio("a", "b") == 2.0
    turns["b"].pop()
    with pytest.raises(ValueError, match="zip"):
        turns.ratio("a", "b")
