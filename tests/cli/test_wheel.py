"""What pip installs: one command, all configs, and types."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import resdet
from helpers.paths import ROOT
from resdet.engine.config import config_names


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_has_the_version_and_one_command(wheel: Path) -> None:
    assert wheel.name == f"resdet-{resdet.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        scripts = configparser.ConfigParser()
        (name,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        scripts.read_string(archive.read(name).decode())
        assert dict(scripts["console_scripts"]) == {"resdet": "resdet.__main__:program"}
        assert "resdet/py.typed" in archive.namelist()


def test_the_wheel_has_every_module_and_config(wheel: Path) -> None:
    expected = {f"resdet/{path.relative_to(ROOT / 'resdet')}" for path in (ROOT / "resdet").rglob("*.py")}
    expected |= {f"resdet/configs/{path.relative_to(ROOT / 'configs')}" for path in (ROOT / "configs").rglob("*.py")}
    with zipfile.ZipFile(wheel) as archive:
        assert {name for name in archive.namelist() if name.endswith(".py")} == expected


def test_the_unpacked_wheel_finds_its_configs_far_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")

    def python(*words: str) -> str:
        command, environment = [sys.executable, *words], os.environ | {"PYTHONPATH": str(tmp_path / "site")}
        return subprocess.check_output(command, cwd=tmp_path, env=environment, text=True)

    assert Path(python("-c", "import resdet; print(resdet.__file__)").strip()).is_relative_to(tmp_path)
    assert python("-m", "resdet", "--version") == f"resdet {resdet.__version__}\n"
    assert python("-m", "resdet", "copy-configs", "--list").splitlines() == config_names()
    python("-m", "resdet", "copy-configs", "mine")
    assert (tmp_path / "mine" / "_base_").is_dir()
