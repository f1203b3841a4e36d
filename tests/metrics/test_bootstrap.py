"""The paired bootstrap detects a real difference and only that, and resamples in pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.commands import compare_voc, error_line
from helpers.datasets import write_voc
from resdet.data.detection.comp4 import write_comp4
from resdet.metrics.bootstrap import BootstrapSettings, paired_bootstrap
from resdet.metrics.flat import FlatDetections, FlatTruth
from resdet.metrics.voc_ap import evaluate_voc

IMAGES = 60


def truth() -> FlatTruth:
    """One object of one class in every image."""
    box = np.tile([10.0, 10, 50, 60], (IMAGES, 1))
    return FlatTruth(np.arange(IMAGES), np.zeros(IMAGES, int), box, np.zeros(IMAGES, bool))


def detector(found: float, seed: int) -> FlatDetections:
    """One detection per image: on the object in a fraction `found` of the images, elsewhere in the others."""
    random = np.random.default_rng(seed)
    hit = random.random(IMAGES) < found
    box = np.where(hit[:, None], [10.0, 10, 50, 60], [60.0, 60, 90, 90])
    return FlatDetections(np.arange(IMAGES), np.zeros(IMAGES, int), random.random(IMAGES), box)


def test_a_real_difference_is_significant_and_a_detector_does_not_beat_itself() -> None:
    good, bad = detector(0.9, 0), detector(0.4, 1)
    lead = paired_bootstrap([good], [bad], truth(), IMAGES, 1, settings=BootstrapSettings(200))
    aps = [evaluate_voc(d, truth(), 1).mean_ap for d in (good, bad)]
    assert lead.mean == pytest.approx(aps[0] - aps[1])
    assert 0 < lead.low < lead.mean < lead.high
    none = paired_bootstrap([good], [good], truth(), IMAGES, 1, settings=BootstrapSettings(50))
    assert (none.mean, none.low, none.high) == (0, 0, 0)  # the same draws for both
    back = paired_bootstrap([bad], [good], truth(), IMAGES, 1, settings=BootstrapSettings(200))
    assert (back.low, back.high) == pytest.approx((-lead.high, -lead.low))


def test_equal_detectors_may_differ_by_chance() -> None:
    lead = paired_bootstrap([detector(0.6, 2)], [detector(0.6, 3)], truth(), IMAGES, 1, settings=BootstrapSettings(200))
    assert lead.low < 0 < lead.high


def test_several_trainings_are_averaged() -> None:
    ours, theirs = [detector(0.9, 0), detector(0.5, 4)], [detector(0.4, 1)]
    lead = paired_bootstrap(ours, theirs, truth(), IMAGES, 1, settings=BootstrapSettings(20))
    single = [paired_bootstrap([o], theirs, truth(), IMAGES, 1, settings=BootstrapSettings(1)).mean for o in ours]
    assert lead.mean == pytest.approx(np.mean(single))
    with pytest.raises(ValueError, match="at least one"):
        paired_bootstrap([], theirs, truth(), IMAGES, 1)


def test_images_without_detections_and_images_drawn_twice_count(tmp_path: Path) -> None:
    few = FlatDetections(np.array([3]), np.array([0]), np.array([0.9]), np.array([[10.0, 10, 50, 60]]))
    lead = paired_bootstrap([few], [detector(0.0, 0)], truth(), IMAGES, 1, settings=BootstrapSettings(300))
    assert lead.mean == pytest.approx(1 / IMAGES)
    assert lead.low == 0  # image 3 is not in every draw
    assert lead.high >= 3 / IMAGES  # and in some more than once


def test_the_command_prints_means_and_the_interval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids = [f"i{n}" for n in range(IMAGES)]
    write_voc(tmp_path, {"test": {i: [("cat", 11, 11, 50, 60)] for i in ids}})
    folders = {}
    for name, detections in (("a", detector(0.9, 0)), ("b", detector(0.4, 1)), ("c", detector(0.5, 2))):
        folders[name] = str(tmp_path / name)
        write_comp4(folders[name], "test", ["cat"], ids, detections)
    where = ["--voc-root", str(tmp_path), "--year", "tiny", "--image-set", "test", "--resamples", "50"]
    compare_voc(["--ours", folders["a"], "--theirs", folders["b"], folders["c"], *where])
    printed = capsys.readouterr().out
    assert "ours: mAP@.5" in printed
    assert " +- " in printed
    assert "more than chance" in printed


def test_the_command_refuses_a_set_whose_objects_do_not_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_voc(tmp_path, {"test": {"one": [("cat", 11, 11, 50, 60, True)]}})
    (tmp_path / "a").mkdir()
    (tmp_path / "a/comp4_det_test_cat.txt").write_text("")
    where = ["--voc-root", tmp_path, "--year", "tiny", "--image-set", "test"]
    refused = error_line(compare_voc, ["--ours", tmp_path / "a", "--theirs", tmp_path / "a", *where], capsys)
    assert "test of VOCtiny: all its objects (1) are difficult or crowds, so nothing can be scored" in refused
