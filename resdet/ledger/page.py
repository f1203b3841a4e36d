"""The page of results: Markdown made of a ledger."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from resdet.ledger.measurement import Figure, Ledger, Measurement, Row, Section, Summary

HEAD = "<!-- Made of {}/ by `resdet results`; change the files there. -->"
CHOICES = {
    "nothing": "",
    "unknown": "what settings were chosen on was not said",
    "training": "settings chosen on training images",
    "validation": "settings chosen on validation images",
    "test": "settings chosen on the test images (optimistic)",
}


def page_of(ledger: Ledger) -> str:
    """The whole page."""
    contents = ledger.contents
    head = f"# Results\n\n{HEAD.format(ledger.folder)}"
    parts = [
        head,
        _summary(contents.summary, ledger.folder),
        _wrapped(contents.introduction),
        _machines(contents.machines),
    ]
    for section in contents.section:
        named = {name: ledger.measurements[name] for name in section.first}
        own = [(n, m) for n, m in (named | ledger.measurements).items() if m.section == section.key and m.kept]
        parts += [_section(section, own, ledger.folder)] if own or section.text else []
    tried = [(n, m) for n, m in ledger.measurements.items() if not m.kept]
    parts += [_tried(tried, ledger.folder)] if tried else []
    return "\n\n".join(filter(None, parts)) + "\n"


def in_words(figure: Figure | str, digits: int) -> str:
    """A figure as the page shows it: "75.0", "78.7 ± 3.3" or "-1.1 (-3.7 to +1.3)".

    Args:
        figure: numbers, or text that is shown as it is.
        digits: after the point.
    """
    if isinstance(figure, str):
        return figure
    if figure.stated:
        return figure.stated
    if len(figure.values) == 1 and not figure.interval and 0 < abs(figure.mean) < 10 ** -(digits + 1):
        return f"{figure.mean:.2g}"
    if figure.interval:
        low, high = (f"{end:+.{digits}f}" for end in figure.interval)
        return f"{figure.mean:+.{digits}f} ({low} to {high})"
    spread = "" if figure.std is None else f" ± {figure.std:,.{digits}f}"
    return f"{figure.mean:,.{digits}f}{spread}"


def _summary(rows: Sequence[Summary], folder: str) -> str:
    if not rows:
        return ""
    lines = [("what", "result", "how sure", f"in {folder}/"), ("---",) * 4]
    lines += [(r.what, r.result, r.certainty, ", ".join(f"`{name}`" for name in r.of)) for r in rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _section(section: Section, measurements: Sequence[tuple[str, Measurement]], folder: str) -> str:
    parts = [f"## {section.title}", _wrapped(section.text)]
    parts += [
        _measurement(f"{folder}/{name}.json", measurement)
        for name, measurement in measurements
        if not measurement.brief
    ]
    brief = "\n".join(
        _brief(f"{folder}/{name}.json", measurement) for name, measurement in measurements if measurement.brief
    )
    parts += [f"Also measured:\n\n{brief}"] if brief else []
    return "\n\n".join(filter(None, parts))


def _brief(file: str, measurement: Measurement) -> str:
    earlier = f" *{_earlier(measurement)}*" if measurement.earlier else ""
    return _wrapped(f"- **{measurement.title}**: {measurement.finding}{earlier} (`{file}`)", indent="  ")


def _earlier(measurement: Measurement) -> str:
    return f"Measured with earlier code: {measurement.earlier}." if measurement.earlier else ""


def _measurement(file: str, measurement: Measurement) -> str:
    parts = [f"### {measurement.title}", _wrapped(measurement.finding), _wrapped(_earlier(measurement))]
    parts.append(_table(measurement.rows))
    if measurement.picture:
        path, caption = measurement.picture
        parts.append(f"![{caption}]({path})")
    return "\n\n".join(filter(None, [*parts, _conditions(file, measurement)]))


def _table(rows: Sequence[Row]) -> str:
    columns = list(dict.fromkeys(column for row in rows for column in row.figures))
    digits = {column: _digits(rows, column) for column in columns}
    seeds, paper = _common_seeds(rows) is None, any(row.paper for row in rows)
    head = ["", *columns, *(["seeds"] if seeds else []), *(["paper"] if paper else [])]
    lines = [head, ["---", *("---:" for _ in head[1:])]]
    for row in rows:
        cells = [in_words(row.figures[column], digits[column]) if column in row.figures else "" for column in columns]
        cells += [_seeds(row.seeds)] if seeds else []
        lines.append([_cell(row.name), *cells, *([row.paper] if paper else [])])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """A text that breaks no table."""
    return " ".join(text.split()).replace("|", "\\|")


def _common_seeds(rows: Sequence[Row]) -> list[int] | None:
    """The seeds of all rows; None if they differ."""
    found = [row.seeds for row in rows]
    return found[0] if found and all(seeds == found[0] for seeds in found) else None


def _seeds(seeds: Sequence[int]) -> str:
    if len(seeds) > 3 and list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))


def _conditions(file: str, measurement: Measurement) -> str:
    """Where the figures come from, in one paragraph, and the commands."""
    paragraph = _wrapped(f"*{_facts(measurement)}; `{file}`.*")
    commands = "\n".join(measurement.commands)
    return f"{paragraph}\n\n```\n{commands}\n```" if commands else paragraph


def _facts(measurement: Measurement) -> str:
    """Data, seeds, precision, machine, time, choices and commit, as far as they are known."""
    origins = [origin for row in measurement.rows for origin in row.origins]
    machine = f"machine {measurement.machine}" if len(measurement.machine) == 1 else measurement.machine
    machine = machine or _each(origin.machine for origin in origins)
    common = _common_seeds(measurement.rows)
    seeds = f"seed{'s' if len(common) > 1 else ''} {_seeds(common)}" if common else ""
    minutes = f"{sum(origin.minutes for origin in origins):.1f} min of processor time in all" if origins else ""
    facts = [measurement.data, seeds, measurement.precision or _each(origin.precision for origin in origins), machine]
    facts += [measurement.time or minutes, CHOICES[measurement.choices]]
    commits = _each(origin.commit for origin in origins)
    return "; ".join(filter(None, [*facts, f"commit {commits}" if commits else ""]))


def _each(texts: Iterable[str]) -> str:
    """Different texts, each once."""
    return ", ".join(dict.fromkeys(filter(None, texts)))


def _machines(machines: dict[str, str]) -> str:
    return "\n".join(_wrapped(f"- **{letter}**: {text}", indent="  ") for letter, text in machines.items())


def _tried(measurements: Iterable[tuple[str, Measurement]], folder: str) -> str:
    lines = ["## Tried and not kept", "", "| what | finding | file |", "| --- | --- | --- |"]
    for name, one in measurements:
        finding = _cell(f"{one.finding} {_earlier(one)}")
        lines.append(f"| {one.title} | {finding} | `{folder}/{name}.json` |")
    return "\n".join(lines)


def _digits(rows: Sequence[Row], column: str) -> int:
    """Digits after the point with which a column's values were written down; values such as 2e-05 do not count."""
    figures = [row.figures[column] for row in rows if column in row.figures]
    texts = [repr(v) for figure in figures if isinstance(figure, Figure) for v in figure.values]
    return max((len(t.partition(".")[2]) for t in texts if "e" not in t and not t.endswith(".0")), default=0)


def _wrapped(text: str, indent: str = "") -> str:
    """Paragraphs in lines that people can read."""
    paragraphs = (" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))
    return "\n\n".join(
        textwrap.fill(paragraph, 118, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
        for paragraph in paragraphs
    )
