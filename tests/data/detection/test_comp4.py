"""VOC's result files are read back exactly, and refuse what is no detection."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from resdet.data.detection.comp4 import comp4_path, read_comp4, write_comp4
from resdet.errors import UserError
from resdet.metrics.flat import FlatDetections

# The first box is narrower than a pixel: in VOC's inclusive pixels its right side lies left of the left one.
BOXES = np.array([[4.5, 2, 5, 7], [0, 0, 5.5, 1e3]], np.float32)
FOUND = FlatDetections(np.array([0, 1]), np.array([0, 0]), np.array([0.5, 0.1], np.float32), BOXES)


@pytest.mark.parametrize("ids", [["a b", "c\xa0d"], ["é", "漢"]])
def test_what_is_written_is_read(ids: list[str], tmp_path: Path) -> None:
    write_comp4(tmp_path / "results", "test", ["cat"], ids, FOUND)
    found = read_comp4(tmp_path / "results", "test", ["cat"], ids)
    assert (found.box == FOUND.box).all()
    assert (found.score.astype(np.float32) == FOUND.score).all()


@pytest.mark.parametrize("bad", ["a\nb", "a\x85b", "", "a\udcff", "b\ud800"])
def test_a_name_that_fits_into_no_line_is_refused_before_anything_is_written(bad: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="rename it"):
        write_comp4(tmp_path / "results", "test", ["cat"], ["a", bad], FOUND)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("numbers", ["1_0 1 2 3 4", ".5 1e300 2 3 4", ".5 10 10 5 20", ".5 1 2 nan 4", ".5 1 2 3"])
def test_a_line_that_is_no_detection_is_named(numbers: str, tmp_path: Path) -> None:
    comp4_path(tmp_path, "test", "cat").write_text(f"a .5 1 2 3 4\na {numbers}\n")
    with pytest.raises(UserError, match=r"comp4_det_test_cat\.txt:2: 'a .* write the file again"):
        read_comp4(tmp_path, "test", ["cat"], ["a"])
