"""The page of a run is self-contained, escapes all text and stays small."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from helpers.report import grey, records, results
from resdet.report.curves import precision_recall_plot, training_plot
from resdet.report.page import ClassTable, RunPage, render_page, write_page
from resdet.report.plots import plot_svg


class Tags(HTMLParser):
    """Collects addresses and text, and checks that elements are closed in order."""

    VOID = frozenset({"meta", "img", "input", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.addresses: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href", "srcset", "action", "data")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def full_page() -> RunPage:
    evil = "<b>\"'&</script>"
    return RunPage(
        title=evil,
        subtitle=evil,
        command=f"resdet eval-voc {evil}",
        figures=[(evil, evil, evil), ("mAP@.5", "76.4", "")],
        warnings=[evil],
        per_class=ClassTable([(evil, 0.5, 1200), ("empty", float("nan"), 0)]),
        curves=[("pr", plot_svg(precision_recall_plot(results(2), [evil, "b"], evil))),
                ("training", plot_svg(training_plot(records(), evil)))],
        pictures=[(evil, grey(400, 1900)), ("small", grey(40, 50))],
        config_text=f"{evil}\nlr = .1",
        environment={evil: evil},
    )  # fmt: skip


def test_the_page_is_complete_and_loads_nothing_from_elsewhere():
    html = render_page(full_page())
    tags = Tags()
    tags.feed(html)
    assert tags.open == []
    assert tags.addresses
    assert all(a.startswith(("data:image/jpeg;base64,", "#")) for a in tags.addresses)
    assert "script" not in tags.seen
    assert not re.search(r"https?://|@import|url\((?!#)", html)


def test_page_escapes_every_text():
    html = render_page(full_page())
    tags = Tags()
    tags.feed(html)
    assert "b" not in tags.seen
    assert tags.text.count("<b>") >= 12


def test_pictures_are_reduced_and_the_page_stays_small(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (60, 160, 3), dtype=np.uint8)
    photo = cv2.resize(noise, (1600, 600), interpolation=cv2.INTER_CUBIC)
    write_page(tmp_path / "report.html", RunPage("t", pictures=[("c", photo)] * 12))
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert html.count('width="900" height="338"') == 12
    assert len(html) < 5_000_000


def test_undefined_ap_has_a_dash_and_no_bar():
    html = render_page(RunPage("t", per_class=ClassTable([("none", float("nan"), 0), ("half", 0.5, 7)])))
    assert re.findall(r"width:([\d.]+)%\"", html) == ["0", "50.0"]
    assert '<td class="number">-</td>' in html


@pytest.mark.parametrize(("classes", "tables"), [(1, 1), (20, 2), (80, 3), (200, 3)])
def test_every_class_has_one_row(classes: int, tables: int):
    html = render_page(RunPage("t", per_class=ClassTable([(f"class {i}", 0.5, 1) for i in range(classes)])))
    assert html.count('class="name"') == classes
    assert html.count("<table>") == tables


def test_empty_page_has_no_empty_sections():
    tags = Tags()
    tags.feed(render_page(RunPage("only a title")))
    assert "section" not in tags.seen
    assert "dl" not in tags.seen
    assert "only a title" in tags.text
