"""cuDNN times its algorithms for crops of one size, not for a detector's images, not where torch is deterministic."""

from __future__ import annotations

import pytest
import torch

from resdet.engine.convolutions import timed_convolutions

GPU = torch.device("cuda")


def timed(device: torch.device, wanted: bool) -> bool:
    with timed_convolutions(device, wanted):
        return torch.backends.cudnn.benchmark


def test_algorithms_are_timed_for_one_size_on_a_gpu_alone() -> None:
    assert timed(GPU, True)
    assert not timed(GPU, False)
    assert not timed(torch.device("cpu"), True)


def test_afterwards_the_setting_is_what_it_was() -> None:
    with pytest.raises(KeyError), timed_convolutions(GPU, True):
        raise KeyError
    assert not torch.backends.cudnn.benchmark


def test_none_is_timed_where_results_are_to_be_deterministic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    assert not timed(GPU, True)
    monkeypatch.undo()
    torch.use_deterministic_algorithms(True)
    try:
        assert not timed(GPU, True)
    finally:
        torch.use_deterministic_algorithms(False)
