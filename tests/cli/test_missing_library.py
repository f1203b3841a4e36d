"""Where the system lacks a library that OpenCV needs, as in an image of CUDA, one line says what to install."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# What the dynamic linker says of OpenCV's wheel there.
MISSING = "libGL.so.1: cannot open shared object file: No such file or directory"


@pytest.fixture
def without_libgl(tmp_path: Path) -> dict[str, str]:
    """The environment of a Python whose OpenCV cannot be loaded."""
    (tmp_path / "cv2").mkdir()
    (tmp_path / "cv2" / "__init__.py").write_text(f"raise ImportError({MISSING!r})\n")
    return os.environ | {"PYTHONPATH": str(tmp_path)}


@pytest.mark.parametrize(
    ("words", "code"),
    [(["-m", "resdet", "predict", "last.pth", "photo.jpg"], 2), (["-c", "import resdet; resdet.load_detector"], 1)],
    ids=["command", "python"],
)
def test_the_packages_to_install_are_named(words: list[str], code: int, without_libgl: dict[str, str]) -> None:
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, env=without_libgl, check=False)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == code
    assert "libGL.so.1" in last
    assert "apt-get install libgl1 libglib2.0-0" in last
    assert code == 1 or done.stderr.count("\n") == 1  # of a command it is all that is said


def test_the_container_has_these_packages() -> None:
    text = (Path(__file__).parents[2] / "Dockerfile").read_text()
    assert {"libgl1", "libglib2.0-0"} <= set(text.split())
