"""Configs and checkpoints of localizers, made once for all tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from helpers.commands import ON_CPU, call, train_cls, train_loc
from helpers.configs import CLASSIFIER, write_localizer_config
from helpers.datasets import write_cls_loc
from helpers.localizers import RCNN_SECTION, Trained, random_localizer


@pytest.fixture(scope="session")
def random_rpn(loc_config: Path) -> Path:
    return random_localizer(loc_config, loc_config.parent / "random.pth")


@pytest.fixture(scope="session")
def loc_classifier(loc_config: Path, loc_images: Path) -> Trained:
    """A classifier of the same images."""
    config = loc_config.parent / "own_cls.py"
    config.write_text(CLASSIFIER.format(root=str(loc_images)))
    run = loc_config.parent / "cls"
    call(train_cls, config, "--work-dir", run, *ON_CPU)
    return Trained(config, run / "last.pth")


@pytest.fixture(scope="session")
def regression(loc_config: Path) -> Path:
    path = loc_config.parent / "tiny_pcr.py"
    model = "model = dict(type=CropRegression, net=NET, num_classes=2)"
    path.write_text(re.sub(r"model = dict\(.*?\n\)\)", model, loc_config.read_text(), flags=re.DOTALL))
    return path


@pytest.fixture
def editable(tmp_path: Path) -> tuple[Path, Path]:
    """(config, folder of images) that the test may change."""
    return write_localizer_config(tmp_path / "own_loc.py", write_cls_loc(tmp_path / "images")), tmp_path / "images"


@pytest.fixture(scope="session")
def rcnn_config(loc_config: Path) -> Path:
    path = loc_config.with_name("tiny_rcnn.py")
    path.write_text(loc_config.read_text() + RCNN_SECTION)
    return path


@pytest.fixture(scope="session")
def rcnn_run(rcnn_config: Path, loc_classifier: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with all stages. Read-only: shared by all tests."""
    run = tmp_path_factory.mktemp("rcnn") / "run"
    figures = ["--init-from", loc_classifier.checkpoint, "--json", run.with_name("train.json")]
    call(train_loc, rcnn_config, "--work-dir", run, *ON_CPU, *figures)
    return run
