"""Collect the command lines and Python blocks of the documentation, of the configs' heads and of the help texts."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from helpers.paths import ROOT, shipped_configs
from resdet.cli.subcommands import SUBCOMMANDS, module_name
from resdet.paper.rows import all_rows

PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "data/README.md",
    *sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "docs").rglob("*.md")),
)
TOOLS = {f"{module_name(name)}.py": name for name in SUBCOMMANDS}
PROGRAMS = ("resdet", "python", "torchrun", "srun", "pytest", "make", "pip", "ln", "pre-commit", ".ci/run")
FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")


@dataclass(frozen=True)
class Written:
    """A command line or a block of Python, and the file that has it."""

    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


def commands() -> list[Written]:
    """All command lines, each once per file."""
    found = [Written(page, text) for page in PAGES for text in _of_page((ROOT / page).read_text(encoding="utf-8"))]
    for path in shipped_configs(bases=True):
        found += [Written(f"configs/{path.name}", text) for text in _of_head(path.read_text(encoding="utf-8"))]
    for name in SUBCOMMANDS:
        examples = import_module(f"resdet.cli.arguments.{module_name(name)}").EXAMPLES
        found += [Written(f"resdet {name} --help", text) for text in _of_block(examples)]
    for row in all_rows():
        found += [Written(f"resdet table: {row.id}", text) for text in (*row.train, *row.measure)]
    return list(dict.fromkeys(found))


def python_blocks() -> list[Written]:
    """All Python blocks of the pages."""
    return [
        Written(page, block["text"])
        for page in PAGES
        for block in FENCE.finditer((ROOT / page).read_text(encoding="utf-8"))
        if block["language"] == "python"
    ]


def words_of(text: str) -> list[str] | None:
    """The subcommand of resdet and its arguments in a command line; None for another program."""
    words = shlex.split(text, comments=True)
    for index, word in enumerate(words):
        name = Path(word).name
        if name in TOOLS and (
            index == 0 or words[index - 1] in ("python",) or words[0] == "torchrun" or "srun" in words[0]
        ):
            assert word == name or (ROOT / word).is_file(), f"{word} is not there"
            return [TOOLS[name], *words[index + 1 :]]
        if word == "resdet" and (index == 0 or words[index - 1] == "-m"):
            return words[index + 1 :]
    return None


def _of_page(text: str) -> Iterator[str]:
    for block in FENCE.finditer(text):
        if not block["language"]:
            yield from _of_block(block["text"])
    for span in SPAN.finditer(FENCE.sub("", text)):
        yield from _of_block(" ".join(span[1].split()), inline=True)


def _of_head(text: str) -> Iterator[str]:
    """Lines of a config's docstring, and ends of its comments, that are commands."""
    head = ast.get_docstring(ast.parse(text)) or ""
    comments = [line.partition("# ")[2] for line in text.splitlines() if "# " in line]
    for line in _joined(head).splitlines() + comments:
        start = re.search(r"(?:^|: )((?:python tools/|resdet [a-z]+-|[a-z]+_[a-z]+\.py )\S.*)", line)
        if start:
            yield from _of_block(re.split(r" {3,}", start[1])[0])


def _of_block(text: str, inline: bool = False) -> Iterator[str]:
    for line in _joined(text).splitlines():
        command = line.strip()
        first = command.split(" ")[0]
        known = first in PROGRAMS or Path(first).name in TOOLS
        listed = re.match(r"\S+ {2,}\S", command) is not None  # a file and what it holds
        mention = " " not in command or "..." in command.split() or re.fullmatch(r"resdet [A-Z ]+|.*COMMAND.*", command)
        if known and not listed and not (inline and mention):
            yield command


def _joined(text: str) -> str:
    return re.sub(r"\s*\\\n\s*", " ", text)
