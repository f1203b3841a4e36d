"""Checkpoints survive a full disk, damaged files are detected, and reading a file runs no code."""

from __future__ import annotations

import math
import os
import pickle
import resource
import signal
import threading
from pathlib import Path

import pytest
import torch

from resdet.engine.checkpoint import find_resume, read_checkpoint, save_checkpoint
from resdet.errors import UserError


def test_a_checkpoint_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "last.pth"
    save_checkpoint(path, {"step": 3, "model": {"w": torch.arange(3.0)}, "best": -math.inf, "classes": ["a"]})
    state = read_checkpoint(path)
    assert (state["format"], state["step"], state["best"], state["classes"]) == ("resdet", 3, -math.inf, ["a"])
    assert state["model"]["w"].tolist() == [0, 1, 2]
    assert [p.name for p in path.parent.iterdir()] == ["last.pth"]


def test_a_full_disk_keeps_the_previous_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "last.pth"
    save_checkpoint(path, {"step": 1})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))  # the system refuses to write more than that
    try:
        with pytest.raises(UserError, match=r"last\.pth cannot be written: .*File too large") as caught:
            save_checkpoint(path, {"step": 2, "model": torch.zeros(500_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert read_checkpoint(path)["step"] == 1
    assert os.listdir(tmp_path) == ["last.pth"]


def test_a_state_that_cannot_be_saved_keeps_the_previous_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "last.pth"
    save_checkpoint(path, {"step": 1})
    with pytest.raises((AttributeError, pickle.PicklingError)):
        save_checkpoint(path, {"step": 2, "broken": lambda: None})
    assert read_checkpoint(path)["step"] == 1
    assert os.listdir(tmp_path) == ["last.pth"]


def test_ctrl_c_while_a_checkpoint_is_written_is_no_error_of_the_disk(tmp_path: Path) -> None:
    """torch makes a RuntimeError of what is raised while it writes, as of a disk that is full."""
    path, partial = tmp_path / "last.pth", tmp_path / ".last.pth.partial"
    save_checkpoint(path, {"step": 1})
    os.mkfifo(partial)  # of which a process reads a little, and then interrupts

    def read() -> None:
        with partial.open("rb") as pipe:
            pipe.read(100_000)
            os.kill(os.getpid(), signal.SIGINT)
            while pipe.read(100_000):
                pass

    reader = threading.Thread(target=read)
    reader.start()
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, {"step": 2, "model": torch.zeros(2_000_000)})
    reader.join()
    assert read_checkpoint(path)["step"] == 1


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(UserError, match=r"run/last\.pth cannot be written"):
        save_checkpoint(tmp_path / "run" / "last.pth", {"step": 1})


def test_the_previous_checkpoint_is_kept_and_used_if_the_last_is_damaged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for step in (1, 2, 3):
        save_checkpoint(tmp_path / "last.pth", {"step": step, "model": torch.full((5000,), float(step))})
    assert sorted(os.listdir(tmp_path)) == ["last.pth", "previous.pth"]
    whole = (tmp_path / "last.pth").read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    for damaged in (whole[:middle], flipped, b"", whole[:-100] + bytes(100)):
        (tmp_path / "last.pth").write_bytes(damaged)
        caplog.clear()
        assert find_resume(tmp_path, "auto")["step"] == 2  # type: ignore[index]
        assert "last.pth is not a checkpoint" in caplog.text
        assert "using the one before it" in caplog.text
    (tmp_path / "last.pth").unlink()  # killed between two renames
    assert find_resume(tmp_path, "auto")["step"] == 2  # type: ignore[index]
    (tmp_path / "previous.pth").write_bytes(whole[:middle])
    with pytest.raises(UserError, match=r"previous\.pth is not a checkpoint"):  # never from the start, unasked
        find_resume(tmp_path, "auto")


def test_truncated_checkpoints_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "last.pth"
    for zipped in (True, False):
        torch.save({"format": "resdet", "w": torch.ones(4)}, path, _use_new_zipfile_serialization=zipped)
        whole = path.read_bytes()
        for length in range(0, len(whole) - 1, max(1, len(whole) // 40)):
            path.write_bytes(whole[:length])
            with pytest.raises(UserError, match=r"last\.pth") as caught:
                read_checkpoint(path)
            assert "\n" not in str(caught.value)


class _Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.target),)


def test_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    torch.save({"format": "resdet", "model": _Malicious(tmp_path / "owned")}, tmp_path / "bad.pth")
    (tmp_path / "bad.pkl").write_bytes(pickle.dumps({"format": "resdet", "model": _Malicious(tmp_path / "owned")}))
    for name in ("bad.pth", "bad.pkl"):
        with pytest.raises(UserError, match="read safely"):
            read_checkpoint(tmp_path / name)
    assert not (tmp_path / "owned").exists()
    pickle.loads((tmp_path / "bad.pkl").read_bytes())
    assert (tmp_path / "owned").exists()  # what an unsafe reader would have done


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_text("hello world"),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(bytes(range(256))),
        lambda path: torch.save({"state_dict": {"w": torch.ones(2)}}, path),
        lambda path: torch.save([1, 2], path),
    ],
)
def test_foreign_files_are_refused(tmp_path: Path, write: object) -> None:
    path = tmp_path / "other.pth"
    write(path)  # type: ignore[operator]
    with pytest.raises(UserError, match=r"other\.pth is not"):
        read_checkpoint(path)


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.pth: no such checkpoint"):
        read_checkpoint(tmp_path / "none.pth")
    assert find_resume(tmp_path, None) is None
    assert find_resume(tmp_path, "auto") is None
    with pytest.raises(UserError, match=r"other\.pth: no such checkpoint"):
        find_resume(tmp_path, str(tmp_path / "other.pth"))
    save_checkpoint(tmp_path / "last.pth", {"step": 7})
    state = find_resume(tmp_path, "auto")
    assert state is not None
    assert state["step"] == 7
