"""Pictures of the worst images, the page of `resdet errors`, and what a run's page says of a whole set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.datasets import write_voc
from resdet.data.detection.voc import VOCDataset
from resdet.metrics.error_kinds import MISSED
from resdet.metrics.flat import FlatDetections
from resdet.recipes.detection.error_analysis import ErrorReport, analyse_errors
from resdet.recipes.detection.error_page import error_page
from resdet.recipes.detection.error_pictures import KIND_COLOURS, worst_pictures
from resdet.report.page import ConfusionMatrix, NumberTable, render_page

NAMES = ["apple", "<b>груша</b>"]


@pytest.fixture
def dataset(tmp_path: Path) -> VOCDataset:
    """An image with two apples and a pear, and one with a difficult apple."""
    objects = {"a": [("apple", 5, 5, 30, 30), ("apple", 60, 5, 90, 30), ("pear", 5, 45, 40, 75)],
               "b": [("apple", 10, 10, 60, 60, True), ("apple", 70, 10, 90, 60)]}  # fmt: skip
    write_voc(tmp_path, {"test": objects})
    dataset = VOCDataset(tmp_path, [("tiny", "test")], ["apple", "pear"])
    dataset.classes = NAMES
    return dataset


def detections(*rows: tuple[int, int, float, tuple[float, float, float, float]]) -> FlatDetections:
    image, label, score, box = zip(*rows, strict=True)
    return FlatDetections(np.array(image), np.array(label), np.array(score), np.array(box))


@pytest.fixture
def found() -> FlatDetections:
    """A hit, the pear found as an apple, a box on nothing, and a hit with a low score; the difficult apple."""
    return detections(
        (0, 0, 0.9, (4, 4, 30, 30)), (0, 0, 0.8, (4, 44, 40, 75)), (0, 1, 0.7, (70, 40, 95, 75)),
        (0, 0, 0.2, (59, 4, 90, 30)), (1, 0, 0.6, (10, 10, 60, 60)),
    )  # fmt: skip


@pytest.fixture
def report(dataset: VOCDataset, found: FlatDetections) -> ErrorReport:
    """The errors of these detections."""
    return analyse_errors(found, dataset, score=0.5, name="mine")


def kinds_in(picture: np.ndarray) -> set[str]:
    return {kind for kind, colour in KIND_COLOURS.items() if (picture == colour).all(-1).sum() > 100}


def test_each_kind_of_error_has_its_own_colour_in_every_picture(
    report: ErrorReport, dataset: VOCDataset, found: FlatDetections
) -> None:
    drawn = worst_pictures(report, dataset, found, count=12)
    costs = [cost for _, cost, _ in drawn]
    assert 1 > costs[0] >= costs[1] > 0
    pictures = {image_id: picture for image_id, _, picture in drawn}
    picture, other = pictures["a"], pictures["b"]
    half = picture.shape[1] // 2
    assert kinds_in(picture[:, :half]) == {"right", MISSED}  # the low score is below the threshold
    assert kinds_in(picture[:, half:]) == {"right", "classification", "background"}
    assert kinds_in(other) == {"ignored", MISSED}


def test_no_pictures_are_drawn_where_none_are_wanted(
    report: ErrorReport, dataset: VOCDataset, found: FlatDetections
) -> None:
    assert worst_pictures(report, dataset, found, count=0) == []
    assert len(worst_pictures(report, dataset, found, count=1)) == 1


def test_the_page_has_the_figures_of_the_report_and_its_names_as_they_are(
    report: ErrorReport, dataset: VOCDataset, found: FlatDetections
) -> None:
    html = render_page(error_page([report], worst_pictures(report, dataset, found, 1), "resdet errors F", {}))
    assert "Errors of mine" in html
    assert f"{100 * report.errors.mean_ap():.1f} %" in html
    assert "&lt;b&gt;груша&lt;/b&gt;" in html
    assert "<b>" not in html
    assert "nan" not in html.split("</style>")[1].split("<svg")[0]


def test_of_many_classes_the_page_lists_confusions_of_two_classes(dataset: VOCDataset, found: FlatDetections) -> None:
    few = error_page([analyse_errors(found, dataset)], [], "", {}).confusion
    assert isinstance(few, ConfusionMatrix)
    assert few.names == [*NAMES, "background"]
    dataset.classes = [*NAMES, *(f"class {i}" for i in range(30))]
    many = error_page([analyse_errors(found, dataset)], [], "", {}).confusion
    assert isinstance(many, NumberTable)
    assert many.rows == [[NAMES[1], "apple", "1"]]


def test_without_detections_the_page_shows_dashes(dataset: VOCDataset) -> None:
    nothing = FlatDetections(np.zeros(0, int), np.zeros(0, int), np.zeros(0), np.zeros((0, 4)))
    report = analyse_errors(nothing, dataset)
    html = render_page(error_page([report], worst_pictures(report, dataset, nothing, 3), "", {}))
    assert '<td class="number">100.0</td><td class="number objects">4</td>' in html  # missed
    assert "nan" not in html.split("</style>")[1].split("<svg")[0]


def test_an_object_beside_a_found_one_is_missed_in_the_picture_as_in_the_counts(tmp_path: Path) -> None:
    write_voc(tmp_path, {"test": {"a": [("apple", 5, 5, 45, 45), ("apple", 12, 5, 52, 45)]}})
    dataset = VOCDataset(tmp_path, [("tiny", "test")], ["apple", "pear"])
    found = detections((0, 0, 0.9, (4, 4, 45, 45)))
    report = analyse_errors(found, dataset, score=0.5, name="mine")
    assert report.errors.counts()[MISSED] == 1
    ((_, _, picture),) = worst_pictures(report, dataset, found, count=1)
    assert kinds_in(picture[:, : picture.shape[1] // 2]) == {"right", MISSED}
