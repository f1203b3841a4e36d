"""results/ and what is made of it: docs/RESULTS.md is up to date, the ledger's commands can be run, and what README,
docs and the configs' heads state as measured is in the ledger."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache

import pytest

from helpers.documentation import FENCE, PAGES, SPAN, words_of
from helpers.paths import ROOT, shipped_configs
from resdet.cli.main import build_parser
from resdet.engine.config import find_config
from resdet.ledger.measurement import Figure, Ledger, Measurement, read_ledger
from resdet.ledger.page import page_of
from resdet.paper.rows import all_rows

NUMBER = r"(?:\d[\d,]*)?\.?\d+(?:e-\d+)?"
UNIT = r"(?:images (?:a|per) second|s an image|times as fast|mAP|ms|GiB)\b"
KIND = re.compile(rf"{UNIT}|\berrors?\b")  # what tells that a sentence or a measurement is about results
FIGURE = re.compile(rf"(?<![\w.])(\d*\.\d+|{NUMBER}(?= to {NUMBER} {UNIT})|{NUMBER}(?= {UNIT}))(?!\d)")
# Figures in such sentences that nobody measured here.
NOT_MEASURED = {
    "docs/PAPER.md": ("20", "40", "80"),  # images per second, for which it computes how long a training takes
    "voc07_r101_07only.py": ("75.2",),  # of public code
}
TABLES = re.compile(r"<!-- rows: .*?<!-- end of rows -->", re.DOTALL)  # made of resdet/paper/rows.toml


@cache
def ledger() -> Ledger:
    return read_ledger(ROOT / "results")


def numbers_of(text: str) -> set[float]:
    return {float(n.replace(",", "")) for n in re.findall(r"\d[\d,]*\.?\d*(?:e-\d+)?|\.\d+", text)}


def kinds_of(text: str) -> set[str]:
    return {kind.replace(" per ", " a ").removesuffix("s") for kind in KIND.findall(text)}


def texts_of(measurement: Measurement) -> str:
    rows = [[row.name, *row.figures, *map(str, row.figures.values())] for row in measurement.rows]
    texts = (measurement.title, measurement.finding, measurement.data, measurement.time)
    return "\n".join([*texts, *(text for row in rows for text in row)])


def figures_of(measurement: Measurement) -> Iterator[float]:
    """Values, means and deviations as a page may round them, and the numbers of all texts."""
    yield from numbers_of(texts_of(measurement))
    for row in measurement.rows:
        for figure in row.figures.values():
            if isinstance(figure, Figure):
                yield from (round(n, digits) for n in (figure.mean, figure.std or 0.0) for digits in range(4))


@cache
def known(kind: str) -> frozenset[float]:
    """Figures of the measurements that are about a kind of results; "" for all."""
    own = [m for m in ledger().measurements.values() if kind in {"", *kinds_of(texts_of(m))}]
    return frozenset(figure for measurement in own for figure in figures_of(measurement))


@cache
def of_the_paper() -> frozenset[float]:
    return frozenset(numbers_of(" ".join(row.paper for row in all_rows())))


def unfounded(text: str) -> list[str]:
    """Figures that sentences about results state and neither the ledger nor the paper has."""
    text = SPAN.sub(" ", FENCE.sub("", TABLES.sub("", text)))
    sentences = [s for paragraph in re.split(r"\n\s*\n|\n(?=\|)", text) for s in re.split(r"(?<=[.;:])\s+", paragraph)]
    found = []
    for sentence in (" ".join(s.split()) for s in sentences):
        there = of_the_paper().union(*map(known, kinds := kinds_of(sentence)))
        found += [f for f in FIGURE.findall(sentence) if kinds and float(f.replace(",", "")) not in there]
    return found


def test_the_page_is_made_of_the_ledger() -> None:
    page = (ROOT / "docs/RESULTS.md").read_text(encoding="utf-8")
    assert page == page_of(ledger()), "resdet results --out docs/RESULTS.md"


def test_what_the_papers_rows_have_as_measured_is_in_the_ledger() -> None:
    for row in all_rows():
        assert numbers_of(" ".join(re.findall(r"\d+\.\d+", row.measured))) <= known(""), row.id


@pytest.mark.parametrize("page", [page for page in PAGES if page != "docs/RESULTS.md"])
def test_figures_of_the_pages_are_in_the_ledger(page: str) -> None:
    found = unfounded((ROOT / page).read_text(encoding="utf-8"))
    assert [figure for figure in found if figure not in NOT_MEASURED.get(page, ())] == []


def test_figures_of_the_configs_heads_are_in_the_ledger() -> None:
    heads = {path.name: ast.get_docstring(ast.parse(path.read_text())) or "" for path in shipped_configs(bases=True)}
    found = {name: unfounded(head) for name, head in heads.items()}
    lost = {name: [f for f in figures if f not in NOT_MEASURED.get(name, ())] for name, figures in found.items()}
    assert {name: figures for name, figures in lost.items() if figures} == {}


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("240 photographs gave 78.7 mAP.", []),
        ("240 photographs gave 77.7 mAP.", ["77.7"]),
        ("It trained 25,000\nimages a second instead of 8,700 images a second.", ["8,700"]),
        ("A step took 65 to 83 ms. Its weights are 12.34.", ["83"]),
        ("The top-1 error is 12.34 (`loop.share=0.77`).", ["12.34"]),
        ("With a rate of 12.34 nothing was measured.", []),
    ],
)
def test_a_figure_that_nobody_measured_is_found(text: str, lost: list[str]) -> None:
    assert unfounded(text) == lost


@pytest.mark.parametrize("name", sorted(ledger().measurements))
def test_the_commands_of_a_measurement_can_be_run(name: str) -> None:
    for command in ledger().measurements[name].commands:
        words = words_of(command.replace("--seed S", "--seed 0"))
        if words is None:  # make or pytest, with files
            first, *rest = shlex.split(command)
            assert first in ("make", "pytest"), command
            assert all((ROOT / word).exists() for word in rest if "/" in word), command
            continue
        args = build_parser(words[0]).parse(words[1:])
        if getattr(args, "config", None):
            find_config(args.config)


def test_every_measurement_says_what_was_chosen_on_what_and_names_no_folder_of_a_machine() -> None:
    assert [name for name, one in ledger().measurements.items() if one.choices == "unknown"] == []
    assert [
        p.name for p in (ROOT / "results").iterdir() if re.search(r'[" =]/(?:home|root|tmp|work)/', p.read_text())
    ] == []


def test_figures_of_the_summary_are_those_of_the_measurements_that_it_names() -> None:
    for row in ledger().contents.summary:
        named = {figure for name in row.of for figure in figures_of(ledger().measurements[name])}
        assert numbers_of(row.result) <= named, row.what
