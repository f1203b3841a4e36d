"""The log: every line once, and a log file on a full disk costs neither the run nor the terminal."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from resdet.engine.log import start_logging


def test_a_log_on_a_full_disk_is_one_line_and_the_terminal_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("/dev/full, a disk that is always full, is of Linux")
    (tmp_path / "run.log").symlink_to("/dev/full")
    logger = start_logging(tmp_path)
    for step in range(3):
        logger.info("step %d", step)
    printed = capsys.readouterr()
    assert printed.err == f"{tmp_path / 'run.log'} is incomplete: No space left on device\n"
    assert [line[-6:] for line in printed.out.splitlines()] == ["step 0", "step 1", "step 2"]
    for handler in logger.handlers:
        handler.close()


def test_a_warning_is_logged_once_and_others_of_its_kind_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every validation may warn of the same; another number or file in the sentence is another warning."""
    logger = start_logging(tmp_path)
    for count in (10, 10, 100):
        logger.warning("%d unreadable images so far", count)
    logger.error("an error")
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" - resdet - ")[2] for line in lines] == [
        "WARNING - 10 unreadable images so far",
        "WARNING - 100 unreadable images so far",
        "ERROR - an error",
    ]
    logging.shutdown([])
