"""docs/ARCHITECTURE.md names files, functions and classes that exist."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from helpers.paths import ROOT

TEXT = (ROOT / "docs/ARCHITECTURE.md").read_text(encoding="utf-8")
TABLE = TEXT.partition("## Packages")[0]
QUESTIONS = [line for line in TABLE.splitlines() if re.match(r"\| (Where|What|Which|How) ", line)]
BASES = ("resdet", "resdet/recipes", "configs", ".")  # where a path of the page may begin


@cache
def defined(path: str) -> frozenset[str]:
    """The functions, classes, methods (`Class.method`) and constants of a Python file."""
    names: set[str] = set()
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)}
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return frozenset(names)


def test_the_page_answers_where_many_things_are() -> None:
    assert len(QUESTIONS) >= 25


@pytest.mark.parametrize("line", QUESTIONS)
def test_the_file_of_an_answer_has_what_it_names(line: str) -> None:
    question, files, names = (cell.strip() for cell in line.strip("| ").split(" | "))
    paths = re.findall(r"`([\w/]+\.(?:py|toml))`", files.partition(" (")[0])
    wanted = re.findall(r"`([\w.-]+)`", names)
    assert paths, question
    assert wanted, question
    for name in wanted:
        found = [
            path
            for path in (f"resdet/{path}" for path in paths)
            if (name in defined(path) if path.endswith(".py") else name in (ROOT / path).read_text(encoding="utf-8"))
        ]
        assert found, f"{question}: {name} is not in {files}"


def test_every_python_file_that_the_page_names_exists() -> None:
    named = set(re.findall(r"(?<![\w*/])((?:\w+/)*\w+\.py)\b", TEXT)) - {"cli/commands/COMMAND.py"}
    named -= {name for name in named if "FORMAT" in name}  # a new data format's
    assert len(named) > 40
    assert sorted(name for name in named if not any((ROOT / base / name).is_file() for base in BASES)) == []


def test_a_data_formats_row_names_the_files_of_contributings_steps() -> None:
    row = next(line for line in QUESTIONS if "add a data format" in line)
    cell = row.strip("| ").split(" | ")[1]
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    steps = page.partition("## Add a data format")[2].partition("\n## ")[0]
    files = [set(re.findall(r"`((?:\w+/)*\w+\.(?:py|md|yml))`", text)) for text in (cell, steps)]
    own, theirs = ({name.removeprefix("resdet/") for name in names} for names in files)
    assert own == theirs
