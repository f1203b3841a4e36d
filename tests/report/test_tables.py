"""Tables in the terminal, in files and in Markdown."""

from __future__ import annotations

import io

from rich.console import Console

from resdet.report.tables import ap_table, format_ap, print_table, results_table


def printed(table, width: int) -> str:
    target = io.StringIO()
    Console(file=target, width=width, color_system=None).print(table)
    return target.getvalue()


def test_numbers_are_not_cut_in_a_narrow_terminal():
    names = ["mAP@.5", "mAP", "AP small", "AP medium", "AP large"]
    values = ["76.41", "45.12", "12.03", "40.74", "50.95"]
    text = printed(results_table("t", ["config", *names], [["a very long description of one run", *values]]), 60)
    assert max(map(len, text.splitlines())) <= 60
    for word in [*names, *values]:
        assert word in text
    assert "\x1b" not in text


def test_a_terminal_too_narrow_for_the_columns_gets_them_in_parts():
    target = io.StringIO()
    table = ap_table(
        ["a class with a long name", "b"], [0.5, 0.25], {"objects": [12345, 1], "best score": ["0.51", "-"]}
    )
    print_table(table, Console(file=target, width=32, force_terminal=True, color_system=None))
    lines = target.getvalue().splitlines()
    assert max(map(len, lines)) <= 32
    assert sum(line.split() == ["class", "AP", "objects"] for line in lines) == 1
    assert sum(line.split() == ["class", "best", "score"] for line in lines) == 1
    assert [line.split() for line in lines if line.startswith(" b ")] == [["b", "25.0", "1"], ["b", "-"]]
    assert any(line.split()[-2:] == ["50.0", "12345"] for line in lines)
    assert any(line.split() == ["mean", "37.5"] for line in lines)


def test_numbers_are_not_cut_in_a_file():
    target = io.StringIO()
    names = [f"a figure with a long name, number {i}" for i in range(8)]
    table = results_table("t", ["", *names], [["+ multi-scale testing", *(["-12.2 (-12.2 .. -12.3)"] * 8)]])
    print_table(table, Console(file=target, width=80))
    assert target.getvalue().count("-12.2 (-12.2 .. -12.3)") == 8
    for word in ("+ multi-scale testing", *names):
        assert word in target.getvalue()


def test_cells_are_not_read_as_markup():
    text = printed(results_table("[b]title", ["[i]class", "AP"], [["[red]x[/red]", ":apple:"]]), 80)
    for word in ("[b]title", "[i]class", "[red]x[/red]", ":apple:"):
        assert word in text


def test_ap_table_shows_percent_dash_and_the_mean_of_the_defined():
    text = printed(ap_table(["a", "b", "c"], [0.5, float("nan"), 0.7], {"objects": [1, 0, 9]}), 80)
    rows = [line.split() for line in text.splitlines()]
    assert ["a", "50.0", "1"] in rows
    assert ["b", "-", "0"] in rows
    assert ["mean", "60.0"] in rows
    assert format_ap(0.76449) == "76.4"
