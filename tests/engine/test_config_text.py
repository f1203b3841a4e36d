"""A resolved config is a text that builds the same run, and that is read from a checkpoint without running it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from albumentations import HorizontalFlip

from helpers.paths import shipped_configs
from resdet.data.transforms import Resizer
from resdet.detection.roi_head import HeadSettings
from resdet.detection.rpn import RPNSettings
from resdet.engine.config import plain
from resdet.engine.config_text import changed_values, config_text, read_text
from resdet.engine.schedule import MultiStep
from resdet.engine.typed import ForeignType
from resdet.errors import UserError
from resdet.recipes.sections import load_config

NAMES = [path.stem for path in shipped_configs()]


@pytest.mark.parametrize("name", NAMES)
def test_every_config_is_the_same_when_its_text_is_read_as_a_config_or_without_running_it(
    name: str, tmp_path: Path
) -> None:
    cfg = load_config(name)
    text = config_text(cfg)
    (tmp_path / "printed.py").write_text(text)
    again = load_config(tmp_path / "printed.py")
    assert plain(again) == plain(cfg)
    assert config_text(again) == text
    assert read_text(text, "last.pth") == plain(cfg)
    assert max(map(len, text.splitlines())) <= 120


def test_the_defaults_of_everything_that_a_config_names_are_in_it(det_config: Path, tmp_path: Path) -> None:
    config = tmp_path / "bare.py"
    start = det_config.read_text().partition("    rpn=dict")[0]
    config.write_text(f"{start})\n" + "data = dict(resizer=dict(type=Resizer), images=3)\nloop = dict()\n")
    cfg = load_config(config)
    assert cfg.model.rpn == {"type": RPNSettings, **vars(RPNSettings())}
    assert cfg.model.head == {"type": HeadSettings, **vars(HeadSettings())}
    assert cfg.data.resizer == {"type": Resizer, "short": 600, "long": 1000}
    assert (cfg.data.workers, cfg.data.train, cfg.loop.log_every, cfg.testing.region_side) == (2, None, 20, 224)


@pytest.mark.parametrize(
    "value",
    [
        "a 'b' \"c\" \\ \n", -1, 1e-300, 10**30, math.inf, None, (), [], (1,), [(1, "x"), [2.5]], {64: (1, 2)},
        {"a b": 1}, {"steps": 1}, {"p": {"type": HorizontalFlip, "p": 0.5}}, "x" * 300, ["y" * 50] * 9, b"bytes",
        {"long": {f"key{i}": ["word"] * 9 for i in range(9)}},
    ],
    ids=repr,
)  # fmt: skip
def test_every_plain_value_survives_its_text(value: Any) -> None:
    sections = {"testing": value}
    assert read_text(config_text(sections), "x") == sections


def test_classes_of_one_name_stay_apart() -> None:
    same = type("Resizer", (), {"__module__": "mine"})
    text = config_text({"data": {"a": {"type": Resizer}, "b": {"type": same}}})
    assert "from mine import Resizer as Resizer2" in text
    assert read_text(text, "x", {"mine.Resizer": same}) == {"data": {"a": {"type": Resizer}, "b": {"type": same}}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import os\n", "line 1 is neither an import nor an assignment"),
        ("model = __import__('os').system('touch owned')\n", "malformed node"),
        ("from os import system\nmodel = system('touch owned')\n", "malformed node"),
        ("model = [x for x in (1,)]\n", "malformed node"),
        ("model = dict(**{'a': 1})\nopen('owned', 'w')\n", "line 2 is neither"),
        ("model = (((\n", "never closed"),
        (f"model = {'(' * 5000}{')' * 5000}\n", "too many nested parentheses"),
        ("from resdet.nets.resnet import Nothing\nmodel = dict(type=Nothing)\n", "Nothing"),
        ("from resdet.nets.nothing import ResNet\nmodel = dict(type=ResNet)\n", "nothing"),
        ("model = 1\0", "null"),
    ],
)
def test_a_text_that_would_run_code_is_refused_in_one_line(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        read_text(text, "last.pth")
    assert str(caught.value).startswith("last.pth: its config cannot be read")
    assert not list(tmp_path.iterdir())


def test_classes_of_other_packages_are_not_imported_from_a_text() -> None:
    for module, name in (("subprocess", "Popen"), ("resdet.engine.run", "start_run"), ("resdet.cli.main", "main")):
        found = read_text(f"from {module} import {name}\nmodel = dict(type={name}, args='x')\n", "last.pth")
        assert found["model"]["type"] == ForeignType(module, name)
        with pytest.raises(
            UserError, match=rf"names {module}\.{name}, which is not of resdet: give the config file too"
        ):
            found["model"]["type"](args="x")


def test_changes_are_named_value_by_value() -> None:
    before = {"schedule": {"type": MultiStep, "steps": 9, "milestones": (7, 8)}, "data": {"a": [{"p": 1}], "b": 2}}
    now = {"schedule": {"type": MultiStep, "steps": 10, "milestones": [7, 8]}, "data": {"a": [{"p": 3}], "c": None}}
    assert changed_values(config_text(before), config_text(now)) == [
        "schedule.steps was 9 and is 10",
        "data.a.0.p was 1 and is 3",
        "data.b was 2 and is not set",
        "data.c was not set and is None",
    ]
    assert changed_values(config_text(now), config_text(now)) == []
    assert changed_values("what = = ?", config_text(now)) == ["the recorded config is of another form"]
