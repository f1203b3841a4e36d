"""Drawing detections: positions of marks and labels, contact sheets, image files."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest

from helpers.report import GREY, detections, grey
from resdet.errors import UserError
from resdet.report.canvas import class_colour
from resdet.report.curves import training_plot
from resdet.report.drawing import draw_detections, draw_truth, legible_scale
from resdet.report.image_files import save_image
from resdet.report.plots import save_plot
from resdet.report.sheets import contact_sheet, side_by_side
from resdet.whole_files import write_whole_file


def changed(picture: np.ndarray) -> np.ndarray:
    return (picture != GREY).any(axis=2)


# Drawing --------------------------------------------------------------------------------------------------------------


def test_marks_lie_on_the_border_only():
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


def test_of_many_boxes_the_best_are_labelled_quickly_and_the_picture_says_so():
    """4,000 boxes took 212 s, because each label was compared with all earlier ones."""
    random = np.random.default_rng(0)
    boxes = random.random((2000, 4)) * [700, 500, 60, 60]
    boxes[:, 2:] += boxes[:, :2] + 5
    scores, labels = np.linspace(1, 0.5, 2000), np.zeros(2000, int)
    started = time.process_time()
    many = draw_detections(grey(600, 800), boxes, labels, scores, ["a"])
    draw_truth(grey(600, 800), boxes, labels, ["a"])
    assert time.process_time() - started < 2
    corner = (many[560:, :40] == 255).all(axis=2)
    assert corner.mean() > 0.3  # a white note
    few = draw_detections(grey(600, 800), boxes[:100], labels[:100], scores[:100], ["a"])
    assert not (few[560:, :40] == 255).all(axis=2).mean() > 0.3


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


def test_invalid_boxes_draw_nothing():
    boxes, labels, scores = detections((np.nan, 0, 10, 10), (900, 0, 950, 10), (-50, -50, -1, -1), (0, 0, np.inf, 5))
    assert not changed(draw_detections(grey(600, 800), boxes, labels, scores, ["cat"])).any()
    assert not changed(draw_detections(grey(600, 800), *detections(), ["cat"])).any()


def test_arrays_of_wrong_shapes_are_named():
    boxes, labels, scores = detections((5, 5, 50, 50))
    with pytest.raises(ValueError, match="uint8"):
        draw_detections(np.zeros((9, 9, 3)), boxes, labels, scores, ["cat"])
    with pytest.raises(ValueError, match="2 labels"):
        draw_truth(grey(9, 9), boxes, np.array([0, 0]), ["cat"])
    with pytest.raises(ValueError, match="do not fit 1 classes"):
        draw_truth(grey(9, 9), boxes, np.array([1]), ["cat"])


def test_the_first_twenty_colours_are_distinct():
    """CIE76 distance in Lab; 2.3 is just noticeable."""
    rgb = np.array([class_colour(i) for i in range(20)], np.float32)[None] / 255
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)[0]
    distance = np.linalg.norm(lab[:, None] - lab[None], axis=-1) + 1e3 * np.eye(20)
    assert distance.min() > 15


# Contact sheets and files ---------------------------------------------------------------------------------------------


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
        write_whole_file(tmp_path, b"a folder is in the way")
    assert not list(tmp_path.parent.glob(f".{tmp_path.name}*"))
    with pytest.raises(UserError, match=r"a\.xyz: .*\.png"):
        save_image(tmp_path / "a.xyz", grey(4, 4))
    with pytest.raises(UserError, match=r"\.png"):
        save_plot(training_plot([]), tmp_path / "a.xyz")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
