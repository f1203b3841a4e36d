"""How commands end: the exit code says why, the terminal may go away, and no process is left behind."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.commands import ON_CPU, call, error_of, eval_voc, train_det
from helpers.processes import processes_of, start_processes
from resdet.cli.errors import one_line_errors
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.engine.checkpoint import read_checkpoint
from resdet.errors import LostProcessError
from resdet.recipes.detection import trainer

PYTHON = [sys.executable, "-m", "resdet"]


# Whatever is raised, wherever -----------------------------------------------------------------------------------------


def test_a_cut_image_ends_a_training_with_its_loader_processes(
    class_folders: Path, cls_config: Path, tmp_path: Path
) -> None:
    root = tmp_path / "folders"
    shutil.copytree(class_folders, root)
    for path in sorted((root / "train").glob("*/*"))[::3]:
        path.write_bytes(path.read_bytes()[:60])
    config = tmp_path / "cut.py"
    config.write_text(cls_config.read_text().replace(str(class_folders), str(root)))
    command = [*PYTHON, "train-cls", config, "--work-dir", tmp_path / "run", *ON_CPU, "--cfg-options", "data.workers=2"]
    began = set(os.listdir("/dev/shm"))
    found = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert found.returncode == 2, found.stderr
    assert found.stderr.count("error: ") == 1
    assert str(root) in found.stderr
    assert processes_of(tmp_path) == []
    assert not [name for name in set(os.listdir("/dev/shm")) - began if name.startswith("torch_")]


FAILING = """
from resdet.engine.schedule import MultiStep

class Failing(MultiStep):
    def __call__(self, step):
        if step == 1:
            raise ZeroDivisionError("in step 2")
        return super().__call__(step)
"""


def test_an_error_of_the_program_ends_it_and_is_in_the_runs_log(det_config: Path, tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text(FAILING)
    config = tmp_path / "det.py"
    text = det_config.read_text().replace("schedule = dict(type=MultiStep", "schedule = dict(type=Failing")
    config.write_text(text.replace("\nmodel = ", "\nfrom failing import Failing\nmodel = ", 1))
    command = [*PYTHON, "train-det", config, "--work-dir", tmp_path / "run", *ON_CPU, "--cfg-options", "data.workers=2"]
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    found = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=environment)
    assert found.returncode == 1
    log = (tmp_path / "run" / "run.log").read_text()
    for text in (found.stderr, log):
        assert "Traceback (most recent call last)" in text
        assert "ZeroDivisionError: in step 2" in text
    assert processes_of(tmp_path) == []


def broken(*arguments: object, **options: object) -> None:
    """Stands for a part of the program with a fault."""
    raise LookupError("a fault of the program")


def out_of_memory(*arguments: object, **options: object) -> None:
    """What torch raises on a GPU that is too small."""
    raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")


def terminated(*arguments: object, **options: object) -> None:
    """SIGTERM, as a cluster sends it."""
    os.kill(os.getpid(), signal.SIGTERM)


PLACES = [(FasterRCNN, "forward"), (trainer, "detect_all"), (trainer, "write_detector_page")]


@pytest.mark.parametrize(("owner", "name"), PLACES, ids=["model", "validation", "page"])
def test_a_fault_anywhere_is_in_the_runs_log(
    owner: object, name: str, det_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, broken)
    with pytest.raises(LookupError):
        call(train_det, det_config, "--work-dir", tmp_path, *ON_CPU, "--cfg-options", "schedule.steps=1")
    assert "LookupError: a fault of the program" in (tmp_path / "run.log").read_text()


def test_a_folder_in_the_place_of_a_file_is_one_line_and_its_cause_is_in_the_runs_log(
    det_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(trainer, "write_detector_page", lambda *_, **__: (tmp_path / "folder").mkdir())
    (tmp_path / "folder").touch()
    words: list[object] = [det_config, "--work-dir", tmp_path, *ON_CPU, "--cfg-options", "schedule.steps=1"]
    assert "File exists; a file is where a folder is meant" in error_of(train_det, words, capsys)
    log = (tmp_path / "run.log").read_text()
    assert "Traceback (most recent call last)" in log
    assert "FileExistsError" in log


@pytest.mark.parametrize(("owner", "name"), PLACES, ids=["model", "validation", "page"])
def test_missing_memory_anywhere_is_one_line(
    owner: object,
    name: str,
    det_config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(owner, name, out_of_memory)
    words: list[object] = [det_config, "--work-dir", tmp_path, *ON_CPU, "--cfg-options", "schedule.steps=1"]
    assert "too little memory; lower data.images" in error_of(train_det, words, capsys)
    assert "too little memory" in (tmp_path / "run.log").read_text()


def test_sigterm_after_the_last_step_is_143(det_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "write_detector_page", terminated)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as caught:
        call(train_det, det_config, "--work-dir", tmp_path, *ON_CPU, "--cfg-options", "schedule.steps=1")
    assert caught.value.code == 143
    assert read_checkpoint(tmp_path / "last.pth")["step"] == 1
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_lost_process_is_told_though_torchrun_sends_sigterm_meanwhile(capsys: pytest.CaptureFixture[str]) -> None:
    def lose_a_process() -> None:
        try:
            raise LostProcessError("process 0 of 2 has lost another one")
        finally:
            terminated()

    with pytest.raises(SystemExit) as caught, one_line_errors():
        lose_a_process()
    assert caught.value.code == 1
    assert capsys.readouterr().err == "error: process 0 of 2 has lost another one\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_evaluation_ends_with_the_signals_code(
    number: int, code: int, det_config: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FasterRCNN, "trunk", lambda *_: os.kill(os.getpid(), number))
    with pytest.raises(SystemExit) as caught:
        call(eval_voc, det_config, "--checkpoint", checkpoint, *ON_CPU)
    assert caught.value.code == code


def test_a_signal_to_one_process_stops_all_after_the_same_step(det_config: Path, tmp_path: Path) -> None:
    options = ["--cfg-options", "schedule.steps=100000", "data.images=2", "loop.log_every=1"]
    ranks = start_processes(2, "train-det", det_config, "--work-dir", tmp_path, *options)
    end = time.monotonic() + 200
    while not (tmp_path / "scalars.json").is_file() and time.monotonic() < end:
        time.sleep(0.1)
    assert ranks[1].pid is not None
    os.kill(ranks[1].pid, signal.SIGTERM)  # not the one that writes checkpoints
    for rank in ranks:
        rank.join(60)
    assert [rank.exitcode for rank in ranks] == [143, 143]
    assert read_checkpoint(tmp_path / "last.pth")["step"] > 0


@pytest.mark.parametrize("name", ["resdet.cli.main", "argparse", "numpy", "cv2"])
def test_ctrl_c_ends_a_process_in_one_line_from_its_first_import_on(name: str) -> None:
    """Whatever is being imported; only before it does Python itself start, and report a Ctrl-C in its own way."""
    code = (
        "import os, runpy, sys\n"
        f"sys.addaudithook(lambda event, of: event == 'import' and of[0] == {name!r} and os.kill(os.getpid(), 2))\n"
        "sys.argv = ['resdet', 'train-det', 'shapes_det', '--print-config']\n"
        "runpy.run_module('resdet', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


@pytest.mark.slow
def test_ctrl_c_while_a_program_starts_is_at_most_one_line(tmp_path: Path) -> None:
    """In its first seconds torch and others are imported, which report a KeyboardInterrupt in their own ways."""
    for _ in range(5):
        process = subprocess.Popen(
            [*PYTHON, "train-det", "shapes_det", "--dry-run", "--work-dir", tmp_path / "run"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        time.sleep(random.uniform(0.5, 4))
        process.send_signal(signal.SIGINT)
        error = process.communicate(timeout=120)[1]
        assert process.returncode == 130, error
        assert error.count("\n") <= 1, error


# The terminal ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("redirection", ["| head -1", ">&- 2>&-"], ids=["a reader that leaves", "closed"])
def test_a_training_goes_on_without_its_terminal(redirection: str, det_config: Path, tmp_path: Path) -> None:
    words = ["train-det", det_config, "--work-dir", tmp_path, *ON_CPU, "--json", tmp_path / "figures.json"]
    command = " ".join(map(str, [*PYTHON, *words, "--cfg-options", "schedule.steps=2"]))
    found = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{command} {redirection}"],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert found.stderr == ""
    assert len(found.stdout.splitlines()) <= 1
    for name in ("last.pth", "page.html", "figures.json"):
        assert (tmp_path / name).is_file(), name
    assert "step 2/2" in (tmp_path / "run.log").read_text()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
def test_a_training_whose_output_is_on_a_full_disk_ends_whole_and_says_so(det_config: Path, tmp_path: Path) -> None:
    words = ["train-det", det_config, "--work-dir", tmp_path, *ON_CPU, "--cfg-options", "schedule.steps=1"]
    with open("/dev/full", "w") as full:
        command = [*PYTHON, *map(str, words)]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=240, check=False)
    assert done.returncode == 2
    said = "error: stdout cannot be written to (No space left on device): the output on stdout is incomplete; "
    assert done.stderr == f"{said}all files were written\n"
    assert (tmp_path / "page.html").is_file()
    assert "step 1/1" in (tmp_path / "run.log").read_text()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
@pytest.mark.parametrize(("words", "code"), [(["train-det", "no_config"], 2), (["--help"], 0)])
def test_a_full_disk_behind_stderr_changes_no_exit_code(words: list[str], code: int) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([*PYTHON, *words], stdout=subprocess.DEVNULL, stderr=full, timeout=240, check=False)
    assert done.returncode == code


def test_names_that_a_terminal_cannot_show_end_nothing(det_config: Path, tmp_path: Path) -> None:
    config = tmp_path / "det.py"
    config.write_text(det_config.read_text().replace('"apple"', '"äpfel"'))
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [*PYTHON, "train-det", config, "--print-config"]
    done = subprocess.run(command, capture_output=True, timeout=240, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert rb"\xe4pfel" in done.stdout


# Full disks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resumable", [True, False])
def test_only_a_training_is_told_to_resume_after_a_full_disk(
    resumable: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught, one_line_errors(resumable):
        Path("/dev/full").write_text("x")
    error = capsys.readouterr().err
    assert caught.value.code == 2
    assert ("--resume" in error) == resumable
    assert "No space left on device; make room" in error
