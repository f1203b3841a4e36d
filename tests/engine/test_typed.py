"""Values of a config are checked against the annotations of what takes them; a mistake is one line with its path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from albumentations import BasicTransform, HorizontalFlip

from resdet.data.transforms import CenterCrop, DetectionAugmentation, Resizer
from resdet.detection.rpn import RPNSettings
from resdet.engine.annotations import parameters
from resdet.engine.schedule import Cosine, MultiStep, Schedule
from resdet.engine.typed import check, check_values
from resdet.errors import UserError
from resdet.ranges import Count, Natural, Positive, Share
from resdet.recipes.sections import load_config

IN_CONFIG = {  # what --cfg-options gives, and the line that must come back
    "data.images": ("abc", "data.images is 'abc'; wanted: an integer, 1 or more"),
    "data.images ": (0, "data.images is 0; wanted: an integer, 1 or more"),
    "data.images  ": (True, "data.images is True; wanted: an integer, 1 or more"),
    "data.test_images": (2.5, "data.test_images is 2.5; wanted: an integer, 1 or more"),
    "data.workers": (-1, "data.workers is -1; wanted: an integer, 0 or more"),
    "data.method": ("10-point", "data.method is '10-point'; wanted: one of 'area', '11-point', 'ilsvrc', 'coco'"),
    "data.train_scales": ("small", "data.train_scales is 'small'; wanted: one or several, each an integer, 1 or more"),
    "data.train_scales.0": (0, "there is no item '0' in a list of 0"),
    "data.group_aspects": (1, "data.group_aspects is 1; wanted: True or False"),
    "data.resizer": (600, "data.resizer is 600; wanted: a Resizer, as dict(type=..., ...)"),
    "data.resizer.long": ("no", "data.resizer.long is 'no'; wanted: an integer, 1 or more or None"),
    "data": (5, "data is 5; wanted: a dict of the values that DetectionData takes"),
    "model": ("big", "model is 'big'; wanted: a Module"),
    "model.net.width": (16, "model.net.width is 16; wanted: a number, above 0, at most 4"),
    "model.net.depth": ("50", "model.net.depth is '50'; wanted: an integer"),
    "model.rpn": ("wide", "model.rpn is 'wide'; wanted: a RPNSettings"),
    "model.rpn.scales": ([64, "x"], "model.rpn.scales.1 is 'x'; wanted: a number, above 0"),
    "model.head.delta_weights": ((1, 2), r"model.head.delta_weights is (1, 2); wanted: 4 values (a number"),
    "model.head.context": ("yes", "model.head.context is 'yes'; wanted: True or False"),
    "loop.clip": ("ten", "loop.clip is 'ten'; wanted: a number"),
    "optimizer.lr": ("fast", "optimizer.lr is 'fast'; wanted: a number, 0 or more"),
    "schedule": ("cosine", "schedule is 'cosine'; wanted: a Schedule, as dict(type=..., ...) or None"),
    "schedule.steps": (-1, "schedule.steps is -1; wanted: an integer, 0 or more"),
    "schedule.milestones": (
        "late",
        "schedule.milestones is 'late'; wanted: one or several, each an integer, 0 or more",
    ),
    "testing.scales": (None, "testing.scales is None; wanted: one or several"),
    "init_from": (1.5, "init_from is 1.5; wanted: a string or a path or None"),
}


@pytest.mark.parametrize(("key", "given"), IN_CONFIG.items(), ids=[f"{k.strip()}={v[0]}" for k, v in IN_CONFIG.items()])
def test_a_wrong_value_of_a_config_is_named_with_its_path(key: str, given: tuple[Any, str]) -> None:
    with pytest.raises(UserError) as caught:
        load_config("voc07_r50", {key.strip(): given[0]})
    assert given[1] in str(caught.value)
    assert str(caught.value).startswith("--cfg-options")
    assert "\n" not in str(caught.value)


def test_a_wrong_value_in_a_file_is_named_with_the_file(det_config: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(det_config.read_text().replace("images=2, test", 'images="two", test'))
    with pytest.raises(UserError, match=r"mine\.py: data\.images is 'two'; wanted: an integer, 1 or more"):
        load_config(tmp_path / "mine.py")


def test_a_lone_value_is_taken_where_several_are_declared() -> None:
    cfg = load_config("voc07_r50", {"schedule.milestones": 7500, "data.test.classes": "apple", "model.rpn.scales": 64})
    assert cfg.schedule.milestones == (7500,)
    assert cfg.data.test.classes == ("apple",)  # and not ("a", "p", "p", "l", "e")
    assert cfg.model.rpn.scales == (64,)
    cfg = load_config("voc07_r50", {"data.test.splits": ("2007", "test"), "data.augment": {"type": HorizontalFlip}})
    assert cfg.data.test.splits == (("2007", "test"),)
    assert cfg.data.augment == ({"type": HorizontalFlip, "p": 0.5},)


def test_numbers_are_taken_as_the_same_number_of_another_type() -> None:
    assert check(1, float, "x") == 1
    assert check(np.int64(3), Count, "x") == 3
    assert type(check(np.float32(0.5), Positive, "x")) is float
    assert check(2007, str, "year") == "2007"
    for value, annotation in ((True, int), (True, float), (1, bool), (1.0, int), (float("nan"), Share), ("1", float)):
        with pytest.raises(UserError, match="x is "):
            check(value, annotation, "x")


@dataclass(frozen=True)
class Inner:
    """Settings inside of others."""

    side: Count = 3


@dataclass(frozen=True)
class Outer:
    """A class of a user."""

    inner: Inner
    maybe: Inner | None = None
    sizes: int | dict[int, int] = 1
    kind: Literal["a", "b"] | None = None
    steps: Sequence[Schedule] = ()
    table: Mapping[str, tuple[int, ...]] | None = None
    any: Any = None


def test_a_dict_without_a_type_stands_for_the_dataclass_that_is_declared() -> None:
    found = check_values(Outer, {"inner": {"side": 4}, "maybe": {"side": 5}}, "outer")
    assert found == {"inner": {"type": Inner, "side": 4}, "maybe": {"type": Inner, "side": 5}}
    with pytest.raises(UserError, match=r"outer\.inner\.sid: Inner takes no 'sid' \(did you mean side\?\)"):
        check_values(Outer, {"inner": {"sid": 4}}, "outer")
    with pytest.raises(UserError, match=r"outer\.steps is a dict without a type; wanted: a Schedule"):
        check_values(Outer, {"steps": {"steps": 4}}, "outer")


def test_objects_of_another_class_are_refused() -> None:
    with pytest.raises(UserError, match=r"outer\.inner is a Resizer; wanted: an Inner, as dict\(type=\.\.\., \.\.\.\)"):
        check_values(Outer, {"inner": {"type": Resizer}}, "outer")
    with pytest.raises(UserError, match=r"outer\.steps\.1 is a CenterCrop; wanted: a Schedule"):
        check_values(Outer, {"steps": [{"type": Cosine, "steps": 1}, {"type": CenterCrop}]}, "outer")
    with pytest.raises(UserError, match=r"outer\.any\.0\.steps is 'x'"):
        check_values(Outer, {"any": [{"type": Cosine, "steps": "x"}]}, "outer")
    assert check(Inner(), Inner, "x") == Inner()  # built already


def test_values_of_several_kinds_fit_one_of_them() -> None:
    assert check_values(Outer, {"sizes": {0: 64, 10: 112}}, "o") == {"sizes": {0: 64, 10: 112}}
    assert check_values(Outer, {"table": {"x": [1, 2]}}, "o") == {"table": {"x": [1, 2]}}
    assert check_values(Outer, {"kind": "b"}, "o") == {"kind": "b"}
    with pytest.raises(UserError, match=r"o\.kind is 'c'; wanted: one of 'a', 'b' or None"):
        check_values(Outer, {"kind": "c"}, "o")
    with pytest.raises(UserError, match=r"o\.sizes is 'x'; wanted: an integer or "):
        check_values(Outer, {"sizes": "x"}, "o")


def test_annotations_of_all_that_configs_name_can_be_evaluated() -> None:
    assert parameters(MultiStep).known["steps"].annotation == Natural
    assert parameters(RPNSettings).known["nms_iou"].annotation == Share
    assert parameters(DetectionAugmentation).known["transforms"].annotation == Sequence[BasicTransform]
    assert parameters(dict).more or not parameters(dict).known
