"""A folder holds one run: older ones are set aside, one process writes at a time, and a resume goes on with its own."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import torch

from helpers.processes import SERVER
from helpers.runs import begin_scale, grey, run_in, weight
from resdet.engine.checkpoint import read_checkpoint
from resdet.engine.conditions import images_record
from resdet.engine.log import read_scalars
from resdet.engine.run import RunOptions, start_run
from resdet.errors import UserError


def train(folder: Path, level: int = 9, steps: int = 2, **settings: object) -> str:
    """Train a Scale on grey images; returns the run's id."""
    run = run_in(folder)
    loop = begin_scale(run, steps, log_every=1, best="val/x", **settings)
    loop.train([grey(level)] * steps, lambda model: {"val/x": model.w.item()})  # type: ignore[operator, union-attr]
    return run.id


def older(folder: Path) -> Path:
    (found,) = (folder / "older").iterdir()
    return found


# Older runs -----------------------------------------------------------------------------------------------------------


def test_a_new_run_sets_the_older_one_aside_and_leaves_the_users_files(tmp_path: Path) -> None:
    first = train(tmp_path)
    for name in ("page.html", "notes.txt", "eval.log"):
        (tmp_path / name).write_text("mine")
    (tmp_path / "pictures").mkdir()
    before = {n: (tmp_path / n).read_bytes() for n in ("last.pth", "previous.pth", "best.pth", "scalars.json")}
    run = run_in(tmp_path)
    begin_scale(run, 1, log_every=1).train([grey(9)])  # without best.pth

    aside = older(tmp_path)
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\d_\d{{4}}_{first}", aside.name)
    assert {name: (aside / name).read_bytes() for name in before} == before
    assert {p.name for p in aside.iterdir()} == {*before, "run.json", "page.html", "eval.log", "pictures"}
    assert {p.name for p in tmp_path.iterdir()} == {
        *("older", "run.json", ".lock", "notes.txt", "last.pth", "scalars.json")
    }
    assert json.loads((tmp_path / "run.json").read_text())["id"] == run.id != first
    assert read_checkpoint(tmp_path / "last.pth")["run"] == run.id
    assert [r["step"] for r in read_scalars(tmp_path / "scalars.json")] == [1]


def test_two_older_runs_of_one_minute_have_folders_of_their_own(tmp_path: Path) -> None:
    ids = [train(tmp_path) for _ in range(3)]
    assert len(set(ids)) == 3
    assert sorted(path.name[-8:] for path in (tmp_path / "older").iterdir()) == sorted(ids[:2])
    for path in (tmp_path / "older").iterdir():
        assert read_checkpoint(path / "last.pth")["run"] == path.name[-8:]


def test_stages_of_an_older_run_are_set_aside_too(tmp_path: Path) -> None:
    for name in ("1_rpn", "2_proposals", "mine"):
        (tmp_path / name).mkdir()
    (tmp_path / "2_proposals" / "manifest.json").write_text("{}")
    train(tmp_path / "1_rpn")
    train(tmp_path)
    assert {p.name for p in older(tmp_path).iterdir()} == {"1_rpn", "2_proposals"}
    assert (tmp_path / "mine").is_dir()


def test_a_run_killed_before_its_first_checkpoint_is_resumed_and_not_the_older_one(tmp_path: Path) -> None:
    train(tmp_path)
    run = run_in(tmp_path)
    begin_scale(run, 4)  # and is killed
    resumed = run_in(tmp_path, resume="auto")
    loop = begin_scale(resumed, 4)
    assert (loop.step, resumed.id) == (0, run.id)
    assert not any((tmp_path / name).exists() for name in ("last.pth", "previous.pth", "best.pth", "scalars.json"))


def test_a_mistake_in_the_new_run_leaves_the_older_one_in_its_place(tmp_path: Path) -> None:
    first = train(tmp_path)
    with pytest.raises(UserError):
        begin_scale(run_in(tmp_path), 4, log_every=0)
    assert not (tmp_path / "older").exists()
    resumed = run_in(tmp_path, resume="auto")
    assert (begin_scale(resumed, 4).step, resumed.id) == (2, first)


def test_the_log_of_the_older_run_moves_and_that_of_the_new_one_has_its_own_lines(tmp_path: Path) -> None:
    for seed in (1, 2):
        run = start_run(tmp_path, RunOptions("cpu", "fp32", seed), exclusive=True)
        begin_scale(run, 1, log_every=1).train([grey(9)])
    logging.getLogger("resdet").info("the last line")
    old, new = ((folder / "run.log").read_text() for folder in (older(tmp_path), tmp_path))
    assert ("seed 1" in old, "seed 2" in old, "step 1/1" in old) == (True, False, True)
    assert ("seed 1" in new, "seed 2" in new, "step 1/1" in new, "the last line" in new) == (False, True, True, True)
    assert f"{tmp_path} held an older run: its files are in {older(tmp_path)} now" in new
    assert f"run {run.id} begins in {tmp_path}" in new


def test_a_checkpoint_of_another_run_is_not_resumed_unasked(tmp_path: Path) -> None:
    train(tmp_path / "a")
    second = train(tmp_path / "b", steps=3)
    os.replace(tmp_path / "a" / "last.pth", tmp_path / "b" / "last.pth")
    with pytest.raises(UserError, match=rf"last\.pth is of run \w+, but the folder holds run {second}; .* --resume "):
        begin_scale(run_in(tmp_path / "b", resume="auto"), 4)
    run = run_in(tmp_path / "b", resume=str(tmp_path / "b" / "last.pth"))
    assert begin_scale(run, 4).step == 2
    assert run.id != second
    assert read_checkpoint(older(tmp_path / "b") / "last.pth")["step"] == 2


@pytest.mark.parametrize("record", ["", '{"id": "ab', "[]", '{"id": 5}', '{"id": "0123abcd", "begun": 7}', "\x00\x9f"])
def test_a_damaged_record_costs_the_run_nothing(record: str, tmp_path: Path) -> None:
    first = train(tmp_path)
    (tmp_path / "run.json").write_bytes(record.encode("latin-1"))
    run = run_in(tmp_path, resume="auto")
    assert (begin_scale(run, 4).step, run.id) == (2, first)
    (tmp_path / "run.json").write_bytes(record.encode("latin-1"))
    train(tmp_path)
    assert weight(older(tmp_path) / "last.pth") == weight(tmp_path / "last.pth")


def test_folders_of_before_runs_had_ids_are_resumed(tmp_path: Path) -> None:
    train(tmp_path)
    state = read_checkpoint(tmp_path / "last.pth")
    torch.save({name: value for name, value in state.items() if name != "run"}, tmp_path / "last.pth")
    (tmp_path / "run.json").unlink()
    run = run_in(tmp_path, resume="auto")
    assert begin_scale(run, 4).step == 2
    assert json.loads((tmp_path / "run.json").read_text())["id"] == run.id


# The lock -------------------------------------------------------------------------------------------------------------


def hold(folder: Path) -> None:
    """Runs in a child process: a training that never ends, with a loader's worker that outlives it."""
    loop = begin_scale(run_in(folder), 4)
    if os.fork() == 0:
        time.sleep(5)
        os._exit(0)
    (folder / "begun").touch()
    time.sleep(60)
    del loop


def test_a_second_process_is_refused_until_the_first_one_ends_however_it_ends(tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=hold, args=(tmp_path,))
    process.start()
    while not (tmp_path / "begun").exists():
        time.sleep(0.01)
    holder = f"process {process.pid} on {socket.gethostname()}"
    for resume in (None, "auto"):
        with pytest.raises(UserError, match=f"is in use by {holder}: wait until it ends, or choose another"):
            begin_scale(run_in(tmp_path, resume=resume), 4)
    with pytest.raises(UserError, match="is in use by process"):
        start_run(tmp_path, RunOptions("cpu", "fp32"), exclusive=True)
    assert not (tmp_path / "run.log").exists()  # the refused one has not written to it
    start_run(tmp_path, RunOptions("cpu", "fp32"), log="eval")  # a test of its checkpoints is welcome
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    begin_scale(run_in(tmp_path, resume="auto"), 4)


def test_a_run_that_is_over_lets_go_of_its_folder(tmp_path: Path) -> None:
    train(tmp_path)
    process = SERVER.Process(target=train, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == 0


# What a resume compares -----------------------------------------------------------------------------------------------


def resumed(folder: Path, before: dict[str, object], now: dict[str, object], **options: object) -> None:
    begin_scale(run_in(folder), 2, before).train([grey(9)] * 2)
    begin_scale(run_in(folder, resume="auto", **options), 4, now)


def test_another_order_of_classes_or_images_is_refused_with_a_remedy(tmp_path: Path) -> None:
    remedy = r"anew from its weights with --init-from .*last\.pth and another --work-dir"
    with pytest.raises(UserError, match=rf"other classes .*\('apple' and 'pear'\).* {remedy}"):
        resumed(tmp_path / "a", {"classes": ["apple", "pear"]}, {"classes": ["pear", "apple"]})
    one, other = ({"images": images_record(ids)} for ids in (["1", "2", "3"], ["1", "3", "2"]))
    with pytest.raises(UserError, match=rf"the 3 training images .* in another order.* {remedy}"):
        resumed(tmp_path / "b", one, other)
    with pytest.raises(UserError, match=r"--seed 1: the run to resume has --seed 0"):
        resumed(tmp_path / "c", {}, {}, seed=1)


def test_other_images_weights_and_threads_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    start = tmp_path / "start.pth"
    start.write_text("one")
    first = run_in(tmp_path / "run", init_from=str(start))
    begin_scale(first, 2, {"images": images_record(["1", "2"])}).train([grey(9)] * 2)
    start.write_text("two")
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        second = run_in(tmp_path / "run", init_from=str(start), resume="auto")
        begin_scale(second, 4, {"images": images_record(["1", "2", "3"])})
    finally:
        torch.set_num_threads(threads)
    assert "the training images have changed: they were 2 and are 3 now" in caplog.text
    assert f"CPU threads changed from {threads} to {threads + 1}: the results are no longer the same to the bit" in (
        caplog.text
    )
    assert re.search(r"--init-from changed from \S*start.pth \(\w{8}\) to \S*start.pth \(\w{8}\)", caplog.text)
    caplog.clear()
    begin_scale(run_in(tmp_path / "run", init_from=str(start), resume="auto"), 4)
    assert "changed" not in caplog.text.replace("--init-from changed", "")


def test_a_run_may_start_from_weights_in_its_own_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train(tmp_path)
    begin_scale(run_in(tmp_path, init_from=str(tmp_path / "last.pth")), 2).train([grey(9)] * 2)
    begin_scale(run_in(tmp_path, init_from=str(tmp_path / "last.pth"), resume="auto"), 4)
    assert "--init-from changed" not in caplog.text


# TensorBoard ----------------------------------------------------------------------------------------------------------


def test_tensorboard_shows_every_step_once_after_a_kill_and_a_new_run(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

    def steps() -> list[int]:
        events = accumulator.EventAccumulator(str(tmp_path)).Reload()
        return [event.step for event in events.Scalars("loss")]

    def begun(resume: str | None = None) -> None:
        run = run_in(tmp_path, resume=resume, backends=["tensorboard"])
        loop = begin_scale(run, 6, log_every=1, checkpoint_every=4)
        loop.train([grey(9)] * (6 - loop.step))

    begun()
    os.replace(tmp_path / "previous.pth", tmp_path / "last.pth")  # as if it had been killed after step 6
    begun(resume="auto")
    assert steps() == [1, 2, 3, 4, 5, 6]
    begun()
    assert steps() == [1, 2, 3, 4, 5, 6]
    assert len(list(tmp_path.glob("events.*"))) == 1
    assert len(list(older(tmp_path).glob("events.*"))) == 2


# Disks ----------------------------------------------------------------------------------------------------------------


def test_a_full_disk_loses_nothing_that_was_saved(tmp_path: Path) -> None:
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", tmp_path]).returncode:
        pytest.skip("a small file system can be mounted by root alone")
    try:
        train(tmp_path)
        before = weight(tmp_path / "last.pth")
        with pytest.raises((UserError, OSError), match=r"No space left|cannot be written"):
            (tmp_path / "filler").write_bytes(bytes(1_000_000))
        with pytest.raises((UserError, OSError), match=r"No space left|cannot be written"):
            begin_scale(run_in(tmp_path, resume="auto"), 9, checkpoint_every=1).train([grey(9)] * 7)
        assert weight(tmp_path / "last.pth") == before
        (tmp_path / "filler").unlink()
        begin_scale(run_in(tmp_path, resume="auto"), 4).train([grey(9)] * 2)
        assert read_checkpoint(tmp_path / "last.pth")["step"] == 4
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


def test_a_folder_that_may_not_be_written_to_is_no_folder_in_use(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("root alone may give its rights up and take them back")
    for folder in (tmp_path, *tmp_path.parents[:3]):  # pytest-xdist has a folder more
        folder.chmod(0o755)
    os.seteuid(65534)
    try:
        with pytest.raises(UserError, match=r"cannot be written to \(Permission denied\); choose another --work-dir"):
            start_run(tmp_path, RunOptions("cpu", "fp32"), exclusive=True)
    finally:
        os.seteuid(0)
