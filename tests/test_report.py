"""What a person looks at: the marks are where they belong, and the page stands alone."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from html.parser import HTMLParser

import cv2
import matplotlib
import numpy as np
import pytest
from rich.console import Console

from resdet.errors import UserError
from resdet.report.curves import precision_recall_figure, training_figure
from resdet.report.drawing import (
    class_colour,
    contact_sheet,
    draw_detections,
    draw_truth,
    legible_scale,
    save_image,
    side_by_side,
    write_whole,
)
from resdet.report.figures import figure_svg, save_figure
from resdet.report.page import ClassTable, RunPage, render_page, write_page
from resdet.report.tables import ap_table, format_ap, markdown_table, print_table, results_table

GREY = 120


@dataclass(frozen=True)
class Result:
    recall: np.ndarray
    precision: np.ndarray
    ap: float


def grey(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), GREY, np.uint8)


def detections(*boxes: tuple[float, float, float, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.array(boxes, np.float32).reshape(-1, 4), np.zeros(len(boxes), int), np.full(len(boxes), 0.9)


def changed(picture: np.ndarray) -> np.ndarray:
    return (picture != GREY).any(axis=2)


def results(count: int) -> list[Result]:
    recall = np.linspace(0.02, 0.9, 50)
    return [Result(recall, 1 - recall * (i + 1) / (count + 1), 0.9 - 0.8 * i / count) for i in range(count)]


def records(count: int = 40) -> list[dict[str, float]]:
    steps = [{"iteration": 20 * i, "lr": 0.01, "loss": 3 / i, "loss_box": 1 / i} for i in range(1, count + 1)]
    return [*steps, {"iteration": 400, "val/mAP50": 0.5}, {"iteration": 800, "val/mAP50": 0.6}]


# ---------------------------------------------------------------------------------------------- drawing


def test_marks_lie_on_the_border_and_nowhere_far_from_it():
    marks = changed(draw_detections(grey(600, 800), *detections((200, 300, 500, 500)), ["cat"]))
    for y, x in ((300, 350), (500, 350), (400, 200), (400, 500)):
        assert marks[y - 4 : y + 5, x - 4 : x + 5].any()
    assert not marks[340:490, 210:490].any()
    far = marks.copy()
    far[250:510, 190:510] = False
    assert not far.any()


def test_line_is_centred_on_the_continuous_border():
    column = changed(draw_detections(grey(600, 800), *detections((200, 300, 500, 500)), ["cat"]))[450]
    left = np.flatnonzero(column[:300])
    assert abs(left.mean() + 0.5 - 200) <= 1


def test_colour_of_the_line_is_that_of_the_class():
    boxes, _, scores = detections((200, 300, 500, 500))
    picture = draw_detections(grey(600, 800), boxes, np.array([4]), scores, list("abcdef"))
    assert tuple(picture[450, 200]) == class_colour(4)


def test_truth_is_dashed():
    boxes, labels, scores = detections((100, 100, 700, 500))
    solid = changed(draw_detections(grey(600, 800), boxes, labels, scores, ["cat"]))[500, 120:680]
    dashed = changed(draw_truth(grey(600, 800), boxes, labels, ["cat"]))[500, 120:680]
    assert solid.all()
    assert 0.3 < dashed.mean() < 0.9


def test_low_scores_are_left_out_and_no_scores_draw_all():
    boxes, labels, _ = detections((50, 300, 250, 500), (500, 300, 700, 500))
    marks = changed(draw_detections(grey(600, 800), boxes, labels, np.array([0.4, 0.6]), ["cat"], threshold=0.5))
    assert not marks[:, :400].any()
    assert marks[:, 400:].any()
    assert changed(draw_detections(grey(600, 800), boxes, labels, None, ["cat"]))[:, :400].any()


@pytest.mark.parametrize(
    "box", [(0, 0, 60, 40), (740, 0, 800, 40), (0, 560, 60, 600), (740, 560, 800, 600), (0, 0, 800, 600)]
)
def test_label_of_a_box_at_the_edge_stays_inside(box: tuple[float, ...]):
    """The dark strokes of a label that was cut off would be fewer than those of the same label in the middle."""
    boxes, _, scores = detections(box, (300, 300, 360, 340))
    name = "a longer name"

    def strokes(which: int) -> int:
        picture = draw_detections(grey(600, 800), boxes[[which]], np.array([0]), scores[:1], [name])
        return int((picture < 60).all(axis=2).sum())

    assert strokes(1) > 100
    assert strokes(0) == strokes(1)


def test_labels_avoid_one_another():
    """Two detections of the same box: each of the two chips is seen in full."""
    boxes, _, scores = detections((200, 200, 500, 400), (200, 200, 500, 400))
    picture = draw_detections(grey(600, 800), boxes, np.array([0, 1]), scores, ["first", "first"])
    rows = [(picture == class_colour(k)).all(axis=2).sum(axis=1) for k in (0, 1)]
    widest = [np.flatnonzero(row > 40) for row in rows]
    alone = draw_detections(grey(600, 800), boxes[:1], np.array([1]), scores[:1], ["first", "first"])
    chip = np.flatnonzero((alone == class_colour(1)).all(axis=2).sum(axis=1) > 40)
    assert len(widest[0]) >= len(chip) - 8
    assert len(widest[1]) >= len(chip) - 8


def test_a_name_of_any_length_fits_a_small_picture():
    boxes, labels, scores = detections((10, 10, 30, 30))
    picture = draw_detections(grey(40, 40), boxes, labels, scores, ["an extraordinarily long name of a class" * 3])
    assert picture.shape == (40 * 13, 40 * 13, 3)


def test_small_images_are_enlarged_and_large_ones_are_not():
    assert [legible_scale(600, 800), legible_scale(333, 500), legible_scale(500, 500), legible_scale(96, 96)] == [
        1, 2, 1, 6,
    ]  # fmt: skip
    assert legible_scale(100, 2000) == 1  # a panorama does not become 10000 pixels wide
    boxes, labels, scores = detections((20, 20, 60, 60))
    assert draw_detections(grey(100, 120), boxes, labels, scores, ["cat"], scale=2).shape == (200, 240, 3)


def test_input_is_left_alone_and_may_be_a_view():
    image = np.random.default_rng(0).integers(0, 255, (3, 60, 80), dtype=np.uint8)
    view, before = image.transpose(1, 2, 0), image.copy()
    draw_detections(view, *detections((5, 5, 50, 50)), ["cat"], scale=1)
    assert np.array_equal(image, before)


def test_boxes_without_a_place_draw_nothing():
    boxes, labels, scores = detections((np.nan, 0, 10, 10), (900, 0, 950, 10), (-50, -50, -1, -1), (0, 0, np.inf, 5))
    assert not changed(draw_detections(grey(600, 800), boxes, labels, scores, ["cat"])).any()
    assert not changed(draw_detections(grey(600, 800), *detections(), ["cat"])).any()


def test_wrong_arrays_are_named():
    boxes, labels, scores = detections((5, 5, 50, 50))
    with pytest.raises(ValueError, match="uint8"):
        draw_detections(np.zeros((9, 9, 3)), boxes, labels, scores, ["cat"])
    with pytest.raises(ValueError, match="2 labels"):
        draw_truth(grey(9, 9), boxes, np.array([0, 0]), ["cat"])
    with pytest.raises(ValueError, match="do not fit 1 classes"):
        draw_truth(grey(9, 9), boxes, np.array([1]), ["cat"])


def test_first_twenty_colours_are_told_apart():
    """CIE76 distance in Lab; 2.3 is just noticeable."""
    rgb = np.array([class_colour(i) for i in range(20)], np.float32)[None] / 255
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)[0]
    distance = np.linalg.norm(lab[:, None] - lab[None], axis=-1) + 1e3 * np.eye(20)
    assert distance.min() > 15


# ---------------------------------------------------------------------------------------------- sheets and files


def test_side_by_side_brings_both_to_one_height():
    pair = side_by_side(grey(300, 400), grey(600, 400), titles=None, gap=10)
    assert pair.shape == (300, 400 + 10 + 200, 3)
    assert side_by_side(grey(300, 400), grey(300, 400), gap=10).shape[0] > 300


def test_contact_sheet_is_a_grid_of_equal_cells():
    sheet = contact_sheet([grey(300, 400), grey(300, 400), grey(800, 100), grey(50, 800), grey(30, 40)], 3, 200, gap=8)
    assert sheet.shape == (2 * (150 + 8) + 8, 3 * (200 + 8) + 8, 3)
    assert (sheet[:8] == 255).all()
    assert (sheet[8:158, 8:208] == GREY).all()  # the first picture fills its cell
    assert contact_sheet([grey(300, 400)], 3, 200, gap=8).shape == (166, 216, 3)
    with pytest.raises(ValueError, match="needs pictures"):
        contact_sheet([])


def test_saved_picture_is_rgb_and_leaves_no_draft(tmp_path):
    picture = np.zeros((4, 5, 3), np.uint8)
    picture[..., 0] = 255
    save_image(tmp_path / "new" / "red.png", picture)
    assert (cv2.imread(str(tmp_path / "new" / "red.png"))[..., 2] == 255).all()
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["red.png"]


def test_unwritable_places_and_unknown_types_are_user_errors(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        save_image(tmp_path / "file" / "a.png", grey(4, 4))
    with pytest.raises(UserError, match="cannot be written"):
        write_whole(tmp_path, b"a folder is in the way")
    assert not list(tmp_path.parent.glob(f".{tmp_path.name}*"))
    with pytest.raises(UserError, match=r"a\.xyz: .*\.png"):
        save_image(tmp_path / "a.xyz", grey(4, 4))
    with pytest.raises(UserError, match=r"\.png"):
        save_figure(training_figure([]), tmp_path / "a.xyz")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


# ---------------------------------------------------------------------------------------------- curves


def legend_texts(figure) -> list[str]:
    return [t.get_text() for t in figure.axes[0].get_legend().get_texts()]


@pytest.mark.parametrize(("count", "named"), [(1, 1), (20, 20), (80, 11), (200, 11)])
def test_many_classes_name_only_the_extremes(count: int, named: int):
    figure = precision_recall_figure(results(count), [f"class {i}" for i in range(count)], "test")
    texts = legend_texts(figure)
    assert len(texts) == named
    assert texts[0] == "90.0  class 0"  # the best first
    assert len(figure.axes[0].lines) == count
    assert figure_svg(figure).startswith("<svg")


def test_drawn_precision_is_the_interpolated_one():
    hits = np.array([0, 1, 0, 1, 1])
    recall, precision = np.cumsum(hits) / 3, np.cumsum(hits) / np.arange(1, 6)
    (line,) = precision_recall_figure([Result(recall, precision, 0.6)], ["a"], "test").axes[0].lines
    assert line.get_xdata()[-1] == 1
    assert np.allclose(line.get_ydata(), 0.6)


def test_a_long_curve_is_thinned():
    n = 200_000
    result = Result(np.linspace(0, 1, n), np.linspace(1, 0.2, n), 0.6)
    (line,) = precision_recall_figure([result], ["a"], "test").axes[0].lines
    assert len(line.get_xdata()) < 1000


def test_undefined_classes_are_counted_and_nothing_is_said_so():
    nothing = Result(np.zeros(0), np.zeros(0), float("nan"))
    assert legend_texts(precision_recall_figure([*results(2), nothing], ["a", "b", "c"], "t"))[-1] == "1 undefined"
    assert "no class has a defined AP" in figure_svg(precision_recall_figure([nothing], ["a"], "t"))
    assert "no class has a defined AP" in figure_svg(precision_recall_figure([], [], "t"))


def test_a_class_that_nobody_detected_has_a_legend_but_no_area():
    texts = legend_texts(precision_recall_figure([Result(np.zeros(0), np.zeros(0), 0.0)], ["a"], "t"))
    assert texts == ["0.0  a"]


def test_names_are_neither_tex_nor_markup_nor_private():
    figure = precision_recall_figure(results(2), ["_$x$_", "<b>&"], "from $5 to $9")
    svg = figure_svg(figure)
    assert "_$x$_</text>" in svg
    assert "from $5 to $9</text>" in svg
    assert "&lt;b&gt;&amp;" in svg
    assert "<b>" not in svg


def test_training_panels_follow_what_was_logged():
    assert [a.get_ylabel() for a in training_figure(records()).axes] == ["loss", "validation", "learning rate"]
    assert [a.get_ylabel() for a in training_figure([{"iteration": 1, "loss": 2.0}]).axes] == ["loss"]
    assert "nothing has been logged" in figure_svg(training_figure([]))
    assert "nothing has been logged" in figure_svg(training_figure([{"iteration": 1, "loss": float("nan")}]))


def test_loss_that_is_not_finite_or_explodes_does_not_hide_the_rest():
    steps = [{"iteration": i, "loss": 1.0} for i in range(1, 1001)]
    steps[3]["loss"], steps[4]["loss"] = float("nan"), float("inf")
    steps[5]["loss"] = 30.0
    assert training_figure(steps).axes[0].get_ylim()[1] < 5


def test_constant_loss_keeps_its_level_under_the_moving_mean():
    figure = training_figure([{"iteration": i, "loss": 2.0} for i in range(1, 100)])
    assert all(np.allclose(line.get_ydata(), 2.0) for line in figure.axes[0].lines)


def test_figures_leave_no_global_state_and_are_reproducible(tmp_path):
    before = dict(matplotlib.rcParams)
    first, second = (figure_svg(training_figure(records())) for _ in range(2))
    save_figure(training_figure(records()), tmp_path / "a.png")
    assert first == second
    assert dict(matplotlib.rcParams) == before
    assert cv2.imread(str(tmp_path / "a.png")).shape[1] > 1000


# ---------------------------------------------------------------------------------------------- tables


def printed(table, width: int) -> str:
    target = io.StringIO()
    Console(file=target, width=width, color_system=None).print(table)
    return target.getvalue()


def test_figures_stay_whole_in_a_narrow_terminal():
    names = ["mAP@.5", "mAP", "AP small", "AP medium", "AP large"]
    values = ["76.41", "45.12", "12.03", "40.74", "50.95"]
    text = printed(results_table("t", ["config", *names], [["a very long description of one run", *values]]), 60)
    assert max(map(len, text.splitlines())) <= 60
    for word in [*names, *values]:
        assert word in text
    assert "\x1b" not in text


def test_figures_stay_whole_in_a_file():
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


def test_markdown_cells_cannot_break_the_table():
    assert markdown_table(["class", "AP"], [["a|b\nc", 1.5]]) == "| class | AP |\n| :-- | --: |\n| a\\|b c | 1.5 |"


# ---------------------------------------------------------------------------------------------- the page


class Tags(HTMLParser):
    """Collects addresses and text, and checks that every element is closed in order."""

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
        command=f"resdet-eval-voc {evil}",
        figures=[(evil, evil, evil), ("mAP@.5", "76.4", "")],
        warnings=[evil],
        per_class=ClassTable([(evil, 0.5, 1200), ("empty", float("nan"), 0)]),
        curves=[("pr", figure_svg(precision_recall_figure(results(2), [evil, "b"], evil))),
                ("training", figure_svg(training_figure(records(), evil)))],
        pictures=[(evil, grey(400, 1900)), ("small", grey(40, 50))],
        config_text=f"{evil}\nlr = .1",
        environment={evil: evil},
    )  # fmt: skip


def test_page_is_whole_and_fetches_nothing():
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


def test_pictures_are_shrunk_and_the_page_stays_small(tmp_path):
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
