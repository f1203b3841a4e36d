"""Datasets of detection for several test files."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from helpers.imagenet_det import ACCORDION, AIRPLANE, ANT, CLASSES, SYNSET, TRAIN, VAL, write_image, write_list


@pytest.fixture
def det_folder(tmp_path: Path) -> Path:
    """Four images of val, two of train, one of test."""
    (tmp_path / "map_det.txt").write_text(CLASSES)
    write_image(tmp_path, "val", f"{VAL}1", [(ANT, 0, 0, 39, 29), (ACCORDION, 5, 6, 5, 6)])
    write_image(tmp_path, "val", f"{VAL}2", [])
    write_image(tmp_path, "val", f"{VAL}3", [(AIRPLANE, 10, 10, 20, 20)])
    write_image(tmp_path, "val", f"{VAL}4", [(ANT, 1, 1, 8, 8)])
    write_list(tmp_path, "val", *(f"{VAL}{i} {i}" for i in (1, 2, 3, 4)))
    write_image(tmp_path, "train", f"{TRAIN}6", [(AIRPLANE, 2, 3, 30, 20)])
    write_image(tmp_path, "train", f"{SYNSET}8", [(ACCORDION, 0, 0, 9, 9)])
    write_list(tmp_path, "train", f"{TRAIN}6 1", f"{SYNSET}8 2")
    write_image(tmp_path, "test", "ILSVRC2012_test_00000001", None)
    write_list(tmp_path, "test", "ILSVRC2012_test_00000001 1")
    return tmp_path


@pytest.fixture(scope="module")
def fruit(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Path:
    root = tmp_path_factory.mktemp("fruit")
    with tarfile.open(shared / "data" / "fruit.tar") as tar:
        tar.extractall(root, filter="data")
    return root / "VOCdevkit"
