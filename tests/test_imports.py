"""Which package may import which: the contracts of import-linter in pyproject.toml."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.paths import ROOT

LINT = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True, no_logo=True))"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", LINT], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package and its contracts, to be changed."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "resdet", folder / "resdet", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_all_imports_keep_the_contracts() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout
    assert " 0 broken." in done.stdout


@pytest.mark.parametrize(
    ("importer", "line"),
    [
        ("boxes/nms.py", "import resdet.detection.rpn"),  # upwards
        ("detection/rpn.py", "import resdet.localization.rcnn"),  # sideways
        ("engine/loop.py", "import resdet.data.images"),  # what the engine must not know
        ("data/localization/regions.py", "import resdet.localization.rcnn"),  # likewise data
        ("nets/resnet.py", "import mmengine"),
        ("cli/arguments/shared.py", "import torch"),
        ("cli/commands/train_det.py", "import resdet.cli.commands.train_cls"),
    ],
)
def test_an_import_that_breaks_a_contract_is_named(package: Path, importer: str, line: str) -> None:
    path = package / "resdet" / importer
    text = path.read_text()
    path.write_text(f"{text}\n{line}\n")
    done = lint(package)
    path.write_text(text)
    assert done.returncode == 1
    importing, imported = importer.removesuffix(".py").replace("/", "."), line.removeprefix("import ")
    assert f"resdet.{importing} -> {imported}" in done.stdout
