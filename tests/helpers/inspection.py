"""Data sets with defects, configs of them, and what inspect-data prints about them."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.commands import inspect_data
from helpers.configs import DETECTOR
from helpers.datasets import write_voc


def inspect(config: Path, capsys: pytest.CaptureFixture[str], *more: object) -> str:
    """What inspect-data prints about a config with something to mend."""
    with pytest.raises(SystemExit) as caught:
        inspect_data([str(config), *map(str, more)])
    assert caught.value.code == 2
    return capsys.readouterr().out


def config_of(path: Path, kind: str, module: str, train: str) -> Path:
    """A detector's config with this data set for training and testing."""
    text = DETECTOR.format(root="x").replace("resdet.data.detection.voc import VOCDataset", f"{module} import {kind}")
    lines = [
        f"    {name}=dict(type={kind}, {train}),\n" if line.strip().startswith(f"{name}=dict") else f"{line}\n"
        for line in text.splitlines()
        for name in ("test" if line.strip().startswith("test=") else "train",)
    ]
    path.write_text("".join(lines))
    return path


def write_yolo(root: Path) -> Path:
    """A set with a defect of every kind: in lines, files and images."""
    source = write_voc(root / "photos", {"t": {name: [] for name in "abcd"}}) / "JPEGImages"
    for folder in ("images/t", "labels/t"):
        (root / folder).mkdir(parents=True)
    for name in "abcd":
        (source / f"{name}.jpg").rename(root / f"images/t/{name}.jpg")
    (root / "images/t/d.jpg").write_bytes(b"x")
    lines = "0 .5 .5 .1 .1\n0 .5 .5 .1 .1\n9 1 1 1 1\nx\n1 .95 .5 .2 .2\n0 .5 .5 0 .1\n"
    for name, text in {"a": lines, "b": "0 1 2\n", "d": "0 .5 .5 .1 .1", "orphan": "0 .5 .5 .1 .1"}.items():
        (root / f"labels/t/{name}.txt").write_text(text)
    (root / "classes.txt").write_text("apple\npear\n")
    return root
