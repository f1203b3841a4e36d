"""The four kinds of training, killed at random moments and resumed, end with the bits of an undisturbed training."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.configs import DETECTOR
from helpers.localizers import RCNN_SECTION
from helpers.processes import SERVER
from resdet.engine.checkpoint import read_checkpoint
from resdet.engine.log import read_scalars

KILLS = 25  # of each kind
LONGEST = 2.0  # seconds after the first sign of life
LOOP = "loop = dict(log_every=1, checkpoint_every=2, validate_every=3, best={best!r})\n"
FOUR_STEPS = """
schedule = None
alternating = dict(
    rpn=dict(images=1, reference_images=1, schedule=dict(type=MultiStep, steps=8)),
    head=dict(images=2, reference_images=2, schedule=dict(type=MultiStep, steps=8)),
)
"""
STAGES = {"cls": [""], "det": [""], "four": ["1_rpn", "2_head", "3_rpn", "4_head"], "loc": ["1_rpn", "3_rcnn"]}


def train(kind: str, config: Path, work_dir: Path) -> None:
    """Runs in a child process: train to the end, resuming from where the process before was killed."""
    from resdet.engine.run import RunOptions, start_run
    from resdet.recipes.classification.training import train_classifier
    from resdet.recipes.detection.alternating import train_alternating
    from resdet.recipes.detection.trainer import train_jointly
    from resdet.recipes.localization.training import train_localizer
    from resdet.recipes.sections import load_config

    multiprocessing.set_start_method("fork", force=True)  # the loader's workers, as in a command
    torch.set_num_threads(1)
    run = start_run(work_dir, RunOptions("cpu", "fp32", seed=3, resume="auto"), exclusive=True)
    (work_dir / "alive").touch()
    recipes = {"cls": train_classifier, "det": train_jointly, "four": train_alternating, "loc": train_localizer}
    recipes[kind](load_config(config), run)


@pytest.fixture
def config(kind: str, cls_config: Path, det_config: Path, loc_config: Path, tmp_path: Path) -> Path:
    found = {"cls": cls_config, "det": det_config, "four": det_config, "loc": loc_config}[kind]
    text = found.read_text()
    best = {"cls": "test/top1_error", "loc": "test/localization_error"}.get(kind, "val/mAP50")
    more = {"cls": "", "det": "", "four": FOUR_STEPS, "loc": RCNN_SECTION}[kind]
    if kind == "four":
        text = DETECTOR.format(root=str(det_config.parent / "devkit")).replace("frozen_stages=0", "frozen_stages=2")
    path = tmp_path / f"{kind}.py"
    steps = "" if kind == "four" else "schedule.update(steps=24)\n"
    path.write_text(text + more + steps + LOOP.format(best=best) + "data.update(workers=1)\n")
    return path


def result(work_dir: Path, kind: str) -> dict[str, object]:
    """Everything that a run leaves, but times."""
    found: dict[str, object] = {}
    for stage in STAGES[kind]:
        found[f"{stage} records"] = [
            {name: value for name, value in record.items() if name != "images_per_second"}
            for record in read_scalars(work_dir / stage / "scalars.json")
        ]
        for name in ("last.pth", "best.pth"):
            if (work_dir / stage / name).is_file():
                found |= {f"{stage}/{name}/{key}": value for key, value in flat(work_dir / stage / name).items()}
    return found


def flat(path: Path) -> dict[str, object]:
    """The values of a checkpoint by their path, tensors as bytes."""
    state, found = read_checkpoint(path), dict[str, object]()

    def add(value: object, key: str) -> None:
        if isinstance(value, dict):
            for name, item in value.items():
                add(item, f"{key}.{name}")
        elif isinstance(value, list | tuple):
            for i, item in enumerate(value):
                add(item, f"{key}.{i}")
        else:
            found[key] = value.numpy().tobytes() if isinstance(value, torch.Tensor) else repr(value)

    add({name: value for name, value in state.items() if name != "run"}, "")
    return found


def steps_done(work_dir: Path, kind: str) -> int:
    """Steps that a resume would not repeat, over all stages."""
    found = 0
    for stage in STAGES[kind]:
        files = [path for name in ("last.pth", "previous.pth") if (path := work_dir / stage / name).is_file()]
        found += max((read_checkpoint(path)["step"] for path in files), default=0)
    return found


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["cls", "det", "four", "loc"])
def test_random_kills_change_no_bit_and_lose_no_finished_step(kind: str, config: Path, tmp_path: Path) -> None:
    def start(work_dir: Path) -> multiprocessing.process.BaseProcess:
        process = SERVER.Process(target=train, args=(kind, config, work_dir))
        process.start()
        return process

    straight = start(tmp_path / "straight")
    straight.join(600)
    assert straight.exitcode == 0

    random, killed, runs = np.random.default_rng(1), 0, 0
    while killed < KILLS:
        work_dir = tmp_path / f"killed{runs}"
        process, alive = start(work_dir), work_dir / "alive"
        while not alive.exists() and process.is_alive():
            time.sleep(0.002)
        alive.unlink(missing_ok=True)
        time.sleep(random.uniform(0, LONGEST))
        before = steps_done(work_dir, kind)
        if process.is_alive():
            os.kill(process.pid or 0, signal.SIGKILL)
            process.join()
            killed += process.exitcode == -signal.SIGKILL
            assert steps_done(work_dir, kind) >= before
            continue
        assert process.exitcode == 0
        runs += 1
    last = start(tmp_path / f"killed{runs}")
    last.join(600)
    assert last.exitcode == 0, "it hangs or fails"
    expected = result(tmp_path / "straight", kind)
    for number in range(runs + 1):
        found = result(tmp_path / f"killed{number}", kind)
        assert found.keys() == expected.keys()
        assert [name for name in found if found[name] != expected[name]] == []
    print(f"{kind}: {killed} kills in {runs + 1} runs, 0 differing values of {len(expected)}")
