"""Result files are whole or not there, whatever ends their writing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from helpers.disks import small_disk
from resdet.cli.common.output import write_json
from resdet.data.detection.comp4 import comp4_path, write_comp4, write_comp4_archive
from resdet.errors import UserError
from resdet.metrics.flat import FlatDetections
from resdet.whole_files import whole_file, write_whole_file

CLASSES, COUNT = ("apple", "pear"), 2000


def detections() -> FlatDetections:
    """A single detection of the first class, many of the second."""
    random = np.random.default_rng(0)
    labels = np.array([0] + [1] * COUNT)
    return FlatDetections(np.zeros(COUNT + 1, int), labels, random.random(COUNT + 1), random.random((COUNT + 1, 4)))


def write_folder(path: Path) -> None:
    write_comp4(path, "test", CLASSES, ["a"], detections())


def write_archive(path: Path) -> None:
    write_comp4_archive(path, "2007", "test", CLASSES, ["a"], detections())


def write_figures(path: Path) -> None:
    write_json(path, {"scores": [0.5] * COUNT})


@pytest.mark.parametrize("write", [write_folder, write_archive, write_figures])
def test_a_full_disk_leaves_no_part_of_a_result(write: Callable[[Path], None], tmp_path: Path) -> None:
    with small_disk(), pytest.raises((OSError, UserError)):
        write(tmp_path / "results")
    assert list(tmp_path.iterdir()) == []
    write(tmp_path / "results")
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_a_full_disk_leaves_older_results_as_they_were(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    for name in (*CLASSES, "notes"):
        comp4_path(folder, "test", name).write_text("older")
    with small_disk(), pytest.raises(OSError, match="File too large"):
        write_folder(folder)
    assert {path.read_text() for path in folder.iterdir()} == {"older"}
    write_folder(folder)
    texts = {path.name: path.read_text() for path in folder.iterdir()}
    assert len(texts) == 3
    assert texts.pop(comp4_path(folder, "test", "notes").name) == "older"
    assert [text.count("\n") for _, text in sorted(texts.items())] == [1, COUNT]


def test_a_link_stays_one_and_a_device_is_written_to(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_json(tmp_path / "link", {"a": 1})
    assert (tmp_path / "link").is_symlink()
    assert json.loads((tmp_path / "target").read_text()) == {"a": 1}
    write_json(Path("/dev/null"), {"a": 1})
    assert not Path("/dev/null").is_file()


def test_a_full_disk_is_not_taken_for_a_missing_permission(tmp_path: Path) -> None:
    with small_disk(), pytest.raises(OSError, match="File too large") as caught:
        write_whole_file(tmp_path / "page.html", bytes(20_000))
    assert not isinstance(caught.value, UserError)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="choose a folder that you may write to"):
        write_whole_file(tmp_path / "file" / "page.html", b"")


def test_two_processes_that_write_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    code = "import sys; from resdet.whole_files import write_whole_file as w; w(sys.argv[1], b'theirs')"
    with whole_file(path) as partial:
        partial.write_bytes(b"ours")
        subprocess.run([sys.executable, "-c", code, path], check=True)
        assert path.read_bytes() == b"theirs"
    assert path.read_bytes() == b"ours"
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_an_error_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file") as caught, whole_file(tmp_path / "no" / "file") as partial:
        partial.write_text("x")
    assert caught.value.filename == str(tmp_path / "no" / "file")
