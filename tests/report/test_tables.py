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
