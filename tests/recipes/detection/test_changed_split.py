"""A photograph that is added after a training moves images between the parts of a split: the test says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.commands import ON_CPU, eval_voc, train_det
from helpers.configs import DETECTOR
from helpers.datasets import write_voc


def write(folder: Path, count: int) -> None:
    objects = [("apple", 10, 10, 40, 50), ("pear", 30, 20, 80, 60)]
    write_voc(folder / "devkit", {"all": {f"photo{i:02}": objects for i in range(count)}})


def test_a_test_after_the_images_have_changed_warns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, 10)
    whole = f"dict(type=VOCDataset, root={str(tmp_path / 'devkit')!r}, splits=[('tiny', 'all')], classes=CLASSES)"
    lines = DETECTOR.format(root="").replace("steps=4", "steps=1").splitlines()
    parts = {name: f'    {name}=dict(type=SplitPart, dataset={whole}, part="{name}"),' for name in ("train", "test")}
    lines = [parts.get(line.strip().partition("=")[0], line) for line in lines]
    config, run = tmp_path / "mine.py", tmp_path / "run"
    config.write_text("\n".join(["from resdet.data.detection.splitting import SplitPart", *lines]))
    train_det([str(config), "--work-dir", str(run), *ON_CPU])

    for words in ([str(config), "--checkpoint", str(run / "last.pth")], [str(run / "last.pth")]):
        capsys.readouterr()
        write(tmp_path, 10)
        eval_voc([*words, *ON_CPU])
        assert "the split" not in capsys.readouterr().out
        write(tmp_path, 11)
        eval_voc([*words, *ON_CPU])
        said = capsys.readouterr().out
        assert "last.pth was not trained on data.train as it is now (8 images then, 9 now)" in said
        assert "some test images may have been trained on" in said
