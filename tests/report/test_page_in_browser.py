"""A run's page in a headless Chromium: on a desk and on a phone, light and dark, with any class names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.browser import faint_texts, open_browser, open_page, page_width, sizes_of_words_in_plots
from helpers.report import grey, records, results, scored_results
from resdet.report.curves import precision_recall_plot, training_plot
from resdet.report.page import (
    BarTable,
    Gallery,
    NumberTable,
    RunPage,
    class_table,
    confusion_part,
    write_page,
)
from resdet.report.score_curves import score_plot

NAMES = [
    "a_class_name_of_sixty_characters_without_any_space_in_it_123",
    "<b>bold</b> & <script>alert(1)</script>",
    "Яблоко красное",
    "🍎 苹果",
    "*star* $x$ `code`",
    *(f"class {i}" for i in range(75)),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The browser."""
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module", params=[5, 80], ids=["5 classes", "80 classes"])
def page_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with every section; one class has no objects."""
    count = request.param
    names, rng = NAMES[:count], np.random.default_rng(0)
    shares = np.append(rng.random(count - 1), np.nan)
    cells = [[name, *["100.0"] * 8] for name in names]
    confusion = rng.integers(0, 40, (count, count)) + np.diag(rng.integers(0, 200, count))
    page = RunPage(
        "a_run_with_a_long_name_" * 4, "150 test images", "resdet train-det " + "configs/a_long_name.py " * 8,
        figures=[("mAP@.5", "84.5 %", "VOC, area under the curve")] * 7,
        bars=[class_table(names, shares, np.arange(count), "AP per class", "AP", "objects"),
              BarTable([("missed", 0.02, 1021)], "Errors", longest=0.02, colours=[(220, 45, 45)])],
        tables=[NumberTable("By class", ["class", *"abcdefgh"], cells, "in percent")],
        confusion=confusion_part(names, confusion, "shaded"),
        curves=[("Training", training_plot(records(), "")),
                ("Precision and recall", precision_recall_plot(results(count), names, "")),
                ("F1", score_plot(scored_results(count), names))],
        galleries=[Gallery("Pictures", [("wide", grey(300, 1900)), ("high", grey(900, 200))]),
                   Gallery("Small ones", [(name, grey(224, 224)) for name in names[:7]], small=True)],
        config_text="key = 1  # " + "long " * 60,
        environment={"device": "a processor " * 10},
    )  # fmt: skip
    return write_page(tmp_path_factory.mktemp("page") / "page.html", page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 400])
def test_all_text_can_be_read_without_scrolling_the_page_sideways(
    browser: Any, page_file: Path, width: int, scheme: str
) -> None:
    with open_page(browser, width, scheme) as page:
        page.goto(page_file.as_uri())
        assert page_width(page) == width
        assert faint_texts(page) == []
        assert min(sizes_of_words_in_plots(page)) >= 8
        assert page.said == []
        assert page.locator("h2", has_text="confusion").count() == 1


def test_a_picture_is_enlarged_where_scripts_are_forbidden(browser: Any, page_file: Path) -> None:
    with open_page(browser, 1400, java_script_enabled=False) as page:
        page.goto(page_file.as_uri())
        picture = page.locator(".gallery.small img").first
        before = picture.bounding_box()["width"]
        picture.click()
        assert picture.bounding_box()["width"] > before


def test_all_pictures_and_plots_have_a_name_for_screen_readers(browser: Any, page_file: Path) -> None:
    with open_page(browser, 400) as page:
        page.goto(page_file.as_uri())
        assert page.get_by_role("img", name="Precision and recall", exact=True).count() == 1
        assert page.get_by_role("checkbox", name="enlarge wide").count() == 1
        assert page.locator("img:not([alt])").count() == 0
