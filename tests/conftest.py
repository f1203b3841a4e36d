"""What several test files use: the folder `shared`, small sets and their configs, and a logger left as it was found."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: the nets are tiny, threads would only wait

import cv2
import numpy as np
import pytest

from coloured_photos import make_run, write_photos
from resdet.engine.run import Run
from tiny import (
    write_class_folders,
    write_classifier_config,
    write_cls_loc,
    write_detector_config,
    write_localizer_config,
)

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
    """The folder `shared` beside the repository; a test that uses it carries the marker of the same name."""
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
    return write_class_folders(tmp_path_factory.mktemp("folders"))


@pytest.fixture(scope="session")
def cls_config(tmp_path_factory: pytest.TempPathFactory, class_folders: Path) -> Path:
    return write_classifier_config(tmp_path_factory.mktemp("cls") / "tiny_cls.py", class_folders)


@pytest.fixture(scope="session")
def det_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_detector_config(tmp_path_factory.mktemp("det"))


@pytest.fixture(scope="session")
def loc_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Beside the folder `images`, which it reads."""
    folder = tmp_path_factory.mktemp("loc")
    return write_localizer_config(folder / "tiny_loc.py", write_cls_loc(folder / "images"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with two images, one of them in a folder of its own, and a file that is none."""
    random = np.random.default_rng(1)
    for name, (height, width) in {"wide.png": (60, 90), "deep/tall.jpg": (90, 50)}.items():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), random.integers(0, 256, (height, width, 3)).astype(np.uint8))
    (tmp_path / "photos" / "notes.txt").write_text("not a photo")
    return tmp_path / "photos"


@pytest.fixture(scope="session")
def coloured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Coloured rectangles in CLS-LOC's layout; a test that changes a file writes its own."""
    return write_photos(tmp_path_factory.mktemp("coloured"))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run of the CPU with seed 5."""
    return make_run(tmp_path / "run")
