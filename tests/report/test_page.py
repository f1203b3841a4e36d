"""The page of a run is self-contained, escapes all text and stays small."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from helpers.report import grey, records, results
from resdet.report.curves import precision_recall_plot, training_plot
from resdet.report.page import (
    BarTable,
    ConfusionMatrix,
    Gallery,
    NumberTable,
    RunPage,
    class_table,
    confusion_part,
    render_page,
    write_page,
)


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
        bars=[BarTable([(evil, 0.5, 1200), ("empty", float("nan"), 0)], evil, evil, evil, evil, evil)],
        tables=[NumberTable(evil, [evil, evil], [[evil, "1"]], evil)],
        confusion=ConfusionMatrix([evil, "b"], np.array([[2, 1], [0, 4]]), evil),
        curves=[(evil, precision_recall_plot(results(2), [evil, "b"], evil)),
                ("training", training_plot(records(), evil))],
        galleries=[Gallery(evil, [(evil, grey(400, 1900)), ("small", grey(40, 50))], evil)],
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
    assert tags.text.count("<b>") >= 24


def test_pictures_are_reduced_and_the_page_stays_small(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (60, 160, 3), dtype=np.uint8)
    photo = cv2.resize(noise, (1600, 600), interpolation=cv2.INTER_CUBIC)
    write_page(tmp_path / "report.html", RunPage("t", galleries=[Gallery("p", [("c", photo)] * 12)]))
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert html.count('width="900" height="338"') == 12
    assert len(html) < 5_000_000


def test_undefined_ap_has_a_dash_and_no_bar():
    html = render_page(RunPage("t", bars=[BarTable([("none", float("nan"), 0), ("half", 0.5, 7)])]))
    assert re.findall(r"width:([\d.]+)%;", html) == ["0", "50.0"]
    assert '<td class="number">-</td>' in html


@pytest.mark.parametrize(("classes", "tables"), [(1, 1), (20, 2), (80, 3), (200, 3)])
def test_every_class_has_one_row(classes: int, tables: int):
    html = render_page(RunPage("t", bars=[BarTable([(f"class {i}", 0.5, 1) for i in range(classes)])]))
    assert html.count('class="name"') == classes
    assert html.count("<table>") == tables


def test_of_many_classes_the_worst_are_in_the_table_and_the_most_frequent_confusions():
    names = [f"class {i}" for i in range(200)]
    table = class_table(names, np.linspace(1, 0, 200), np.ones(200, int), "AP", "AP", "objects")
    assert [name for name, _, _ in table.rows] == [f"class {i}" for i in range(199, 139, -1)]
    assert table.note == "the 60 worst of 200 classes, in percent"
    counts = np.diag(np.full(200, 9))
    counts[3, 7], counts[8, 2] = 4, 5
    confusions = confusion_part(names, counts, "images")
    assert isinstance(confusions, NumberTable)
    assert confusions.rows == [["class 8", "class 2", "5"], ["class 3", "class 7", "4"]]


def test_a_bar_is_as_long_as_its_share_of_the_longest_one():
    html = render_page(RunPage("t", bars=[BarTable([("a", 0.05, 1), ("b", 0.02, 1)], longest=0.05)]))
    assert re.findall(r"width:([\d.]+)%;", html) == ["100.0", "40.0"]


def test_empty_page_has_no_empty_sections():
    tags = Tags()
    tags.feed(render_page(RunPage("only a title")))
    assert "section" not in tags.seen
    assert "dl" not in tags.seen
    assert "only a title" in tags.text


@pytest.mark.parametrize("classes", [24, 25])
def test_a_matrix_has_up_to_24_classes_beside_the_background(classes: int) -> None:
    names, counts = [f"class {i}" for i in range(classes)], np.ones((classes + 1, classes + 1), int)
    whole = (ConfusionMatrix, NumberTable)[classes > 24]
    assert isinstance(confusion_part(names, counts[:-1, :-1], "images"), whole)
    assert isinstance(confusion_part([*names, "background"], counts, "detections", background=True), whole)
