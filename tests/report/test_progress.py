"""The progress bar leaves nothing behind."""

from __future__ import annotations

import threading
import time

import pytest

from resdet.report.progress import progress_bar


def stop_at_two() -> None:
    with progress_bar([1, 2, 3], "working") as items:
        for item in items:
            if item == 2:
                raise ValueError("stop")


def test_no_thread_of_the_bar_outlives_an_error_in_its_loop() -> None:
    before = threading.active_count()
    with pytest.raises(ValueError, match="stop") as caught:
        stop_at_two()
    assert caught.tb is not None  # the traceback still refers to the loop
    for _ in range(100):  # rich does not wait for its thread
        if threading.active_count() == before:
            break
        time.sleep(0.05)
    assert threading.active_count() == before


def test_all_items_arrive_in_order() -> None:
    with progress_bar(iter("abc"), "working", total=3) as items:
        assert list(items) == ["a", "b", "c"]
