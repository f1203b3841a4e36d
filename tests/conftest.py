"""What several test files use: the folder `shared`, a small classification set, and a logger left as it was found."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"  # beside the repository, not part of it


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `shared` compare with files beside the repository: where there are none, they are skipped."""
    if SHARED.is_dir():
        return
    for item in items:
        if item.get_closest_marker("shared"):
            item.add_marker(pytest.mark.skip(reason=f"{SHARED} is not here"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder `shared` beside the repository."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not here")
    return SHARED


@pytest.fixture(autouse=True)
def _logger_as_it_was() -> Iterator[None]:
    """A run takes over the logger "resdet"; the next test, which may look at its records, gets it back."""
    logger = logging.getLogger("resdet")
    before = logger.handlers, logger.propagate, logger.level
    yield
    logger.handlers, logger.propagate = before[0], before[1]
    logger.setLevel(before[2])


@pytest.fixture(scope="session")
def class_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ROOT/{train,val}/{dark,light}: 8 and 4 noisy images of 48x40 a class, one class darker than the other."""
    root = tmp_path_factory.mktemp("folders")
    random = np.random.default_rng(0)
    for image_set, count in (("train", 8), ("val", 4)):
        for name, level in (("dark", 40), ("light", 180)):
            folder = root / image_set / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = random.integers(level, level + 60, (40, 48, 3)).astype(np.uint8)
                cv2.imwrite(str(folder / f"{i}.png"), pixels)
    return root
