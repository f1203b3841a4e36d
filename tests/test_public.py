"""Every public name of the package has a docstring whose example is run here, on two photographs."""

from __future__ import annotations

import doctest
import os
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

import resdet

ORDER = ["load_config", "train", "load_detector", "evaluate", "Detections"]  # an example uses what one before it wrote


def test_the_examples_of_all_public_names_run(
    det_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sorted(ORDER) == sorted(resdet.__all__)
    monkeypatch.chdir(tmp_path)
    shutil.copy(det_config, "mine.py")
    cv2.imwrite("photo.jpg", np.random.default_rng(0).integers(0, 256, (60, 90, 3)).astype(np.uint8))
    names = {"resdet": resdet, "os": os}
    for name in ORDER:
        examples = doctest.DocTestParser().get_examples(getattr(resdet, name).__doc__)
        assert examples, f"resdet.{name} has no example"
        for example in examples:  # a training prints too: only values are compared
            if example.want:
                assert repr(eval(example.source, names)) == example.want.strip(), (name, example.source)
            else:
                exec(example.source, names)


def test_the_example_of_the_package_names_what_is_public() -> None:
    assert set(re.findall(r"resdet\.(\w+)\(", resdet.__doc__ or "")) <= set(resdet.__all__)
    with pytest.raises(AttributeError, match="no attribute 'predict'"):
        resdet.predict  # noqa: B018


def test_public_names_are_listed_for_completion() -> None:
    assert set(resdet.__all__) <= set(dir(resdet))
