"""The page of results: Markdown made of a ledger."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from resdet.ledger.measurement import Figure, Ledger, Measurement, Row, Section

HEAD = "<!-- Made of results/ by `resdet results --out docs/RESULTS.md`; change the files there. -->"
CHOICES = {
    "nothing": "",
    "training": "settings chosen on training images",
    "validation": "settings chosen on validation images",
    "test": "settings chosen on the test images: too kind",
}


def page_of(ledger: Ledger) -> str:
    """The whole page."""
    contents = ledger.contents
    parts = [f"# Results\n\n{HEAD}", contents.introduction.strip(), _machines(contents.machines)]
    for section in contents.section:
        own = [(n, m) for n, m in ledger.measurements.items() if m.section == section.key and m.kept]
        parts += [_section(section, own)] if own or section.text else []
    tried = [(n, m) for n, m in ledger.measurements.items() if not m.kept]
    parts += [_tried(tried)] if tried else []
    return "\n\n".join(parts) + "\n"


def in_words(figure: Figure | str, digits: int) -> str:
    """A figure as the page shows it: "75.0", "78.7 ± 3.3" or "-1.1 (-3.7 to +1.3)".

    Args:
        figure: numbers, or text that is shown as it is.
        digits: after the point.
    """
    if isinstance(figure, str):
        return figure
    if 0 < abs(figure.mean) < 10 ** -(digits + 1):
        return f"{figure.mean:.1e}"
    if figure.interval:
        low, high = (f"{end:+.{digits}f}" for end in figure.interval)
        return f"{figure.mean:+.{digits}f} ({low} to {high})"
    spread = "" if figure.std is None else f" ± {figure.std:.{digits}f}"
    return f"{figure.mean:,.{digits}f}{spread}"


def _section(section: Section, measurements: Iterable[tuple[str, Measurement]]) -> str:
    parts = [f"## {section.title}", section.text.strip()]
    parts += [_measurement(name, measurement) for name, measurement in measurements]
    return "\n\n".join(filter(None, parts))


def _measurement(name: str, measurement: Measurement) -> str:
    parts = [f"### {measurement.title}", measurement.finding.strip(), _table(measurement.rows)]
    if measurement.picture:
        path, caption = measurement.picture
        parts.append(f"![{caption}]({path})")
    return "\n\n".join(filter(None, [*parts, _conditions(name, measurement)]))


def _table(rows: Sequence[Row]) -> str:
    columns = list(dict.fromkeys(column for row in rows for column in row.figures))
    digits = {column: _digits(rows, column) for column in columns}
    seeds, paper = any(row.seeds for row in rows), any(row.paper for row in rows)
    head = ["", *columns, *(["seeds"] if seeds else []), *(["paper"] if paper else [])]
    lines = [head, ["---", *("---:" for _ in head[1:])]]
    for row in rows:
        cells = [in_words(row.figures[column], digits[column]) if column in row.figures else "" for column in columns]
        cells += [", ".join(map(str, row.seeds))] if seeds else []
        lines.append([row.name, *cells, *([row.paper] if paper else [])])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _conditions(name: str, measurement: Measurement) -> str:
    """Where the figures come from, in one paragraph."""
    machine = measurement.machine
    machine = f"machine {machine}" if len(machine) == 1 else machine
    facts = [measurement.data, measurement.precision, machine, measurement.time, CHOICES[measurement.choices]]
    commands = "".join(f"\n\n    {command}" for command in measurement.commands)
    code = f"; commit {measurement.commit}" if measurement.commit else ""
    return f"*{'; '.join(filter(None, facts))}{code}; `results/{name}.json`.*{commands}"


def _machines(machines: dict[str, str]) -> str:
    return "\n".join(f"- **{letter}**: {text}" for letter, text in machines.items())


def _tried(measurements: Iterable[tuple[str, Measurement]]) -> str:
    lines = ["## Tried and not kept", "", "| what | finding | data | file |", "| --- | --- | --- | --- |"]
    for name, one in measurements:
        lines.append(f"| {one.title} | {' '.join(one.finding.split())} | {one.data} | `results/{name}.json` |")
    return "\n".join(lines)


def _digits(rows: Sequence[Row], column: str) -> int:
    """Digits after the point with which a column's values were written down; of those below .001, none."""
    figures = [row.figures[column] for row in rows if column in row.figures]
    texts = [repr(v) for figure in figures if isinstance(figure, Figure) for v in figure.values]
    return max((len(t.partition(".")[2]) for t in texts if "e" not in t and not t.endswith(".0")), default=0)
