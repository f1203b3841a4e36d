"""Fixtures of all tests: the folder `shared`, small datasets with their configs, and the restored logger."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: the nets are tiny, threads would only wait


import cv2
import numpy as np
import pytest

from helpers.coloured_photos import write_photos
from helpers.configs import write_classifier_config, write_detector_config, write_localizer_config
from helpers.datasets import write_class_folders, write_cls_loc
from helpers.paths import SHARED
from helpers.runs import make_run
from resdet.engine.run import Run


def pytest_configure() -> None:
    """Let Ctrl-C count in tests that are run in the background of a shell, which ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked `shared` where the folder of reference data does not exist."""
    if SHARED.is_dir():
        return
    for item in items:
        if item.get_closest_marker("shared"):
            item.add_marker(pytest.mark.skip(reason=f"{SHARED} is not here"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the repository; tests that use it are marked `shared`."""
    return SHARED


@pytest.fixture(autouse=True)
def _logger_as_it_was() -> Iterator[None]:
    """Reset the logger "resdet", which a run reconfigures: also a run in a fixture of a module, before its tests."""
    _reset_logger()
    yield
    _reset_logger()


def _reset_logger() -> None:
    logger = logging.getLogger("resdet")
    logger.handlers, logger.propagate = [], True
    logger.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def class_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of dark and light images. Read-only."""
    return write_class_folders(tmp_path_factory.mktemp("folders"))


@pytest.fixture(scope="session")
def cls_config(tmp_path_factory: pytest.TempPathFactory, class_folders: Path) -> Path:
    """Config of a small classifier of `class_folders`."""
    return write_classifier_config(tmp_path_factory.mktemp("cls") / "tiny_cls.py", class_folders)


@pytest.fixture(scope="session")
def det_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Config of a small detector; its VOC folder is `devkit` beside it."""
    return write_detector_config(tmp_path_factory.mktemp("det"))


@pytest.fixture(scope="session")
def loc_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Config of a small localizer; its images are in the folder `images` beside it."""
    folder = tmp_path_factory.mktemp("loc")
    return write_localizer_config(folder / "tiny_loc.py", write_cls_loc(folder / "images"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with two images, one of them in a subfolder, and a text file."""
    random = np.random.default_rng(1)
    for name, (height, width) in {"wide.png": (60, 90), "deep/tall.jpg": (90, 50)}.items():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), random.integers(0, 256, (height, width, 3)).astype(np.uint8))
    (tmp_path / "photos" / "notes.txt").write_text("not a photo")
    return tmp_path / "photos"


@pytest.fixture(scope="session")
def coloured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of coloured rectangles in CLS-LOC's layout. Read-only: shared by all tests."""
    return write_photos(tmp_path_factory.mktemp("coloured"))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run on the CPU with seed 5."""
    return make_run(tmp_path / "run")


@pytest.fixture(scope="session")
def loc_images(loc_config: Path) -> Path:
    """The CLS-LOC folder that `loc_config` reads. Read-only."""
    return loc_config.parent / "images"
