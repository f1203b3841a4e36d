"""Several processes give the result of one, evaluate every image once, and restart if one dies."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from helpers.detectors import random_detector
from helpers.failing import failing_config, losses_in
from helpers.paths import ROOT
from helpers.processes import LOST_OR_TERMINATED, free_port, run_processes, run_two_ranks, torchrun
from helpers.runs import begin_scale, grey, run_in
from resdet.engine.checkpoint import read_checkpoint
from resdet.engine.config import build
from resdet.engine.distributed import seed_step
from resdet.engine.log import read_scalars
from resdet.engine.loop import TrainLoop
from resdet.engine.loop_settings import LoopSettings
from resdet.engine.meeting import meet
from resdet.engine.run import Run
from resdet.engine.schedule import MultiStep
from resdet.errors import UserError
from resdet.recipes.sections import load_config
from resdet.structures import LabelledImages

TRAIN_CLS = [str(ROOT / "tools" / "train_cls.py")]


# Gradients ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("accumulate", [1, 2])
def test_two_processes_have_the_gradient_of_one(accumulate: int, tmp_path: Path, det_config: Path) -> None:
    images, rate = 2 * accumulate, 1.0
    options = ["schedule.steps=1", f"loop.accumulate={accumulate}", f"data.images={images}"]
    options += [f"optimizer.lr={rate}", f"optimizer.reference_images={images}", "optimizer.weight_decay=0"]
    for world in (1, 2):
        run_processes(world, "train-det", det_config, "--work-dir", tmp_path / str(world), "--cfg-options", *options)
    one, two = (read_checkpoint(tmp_path / n / "last.pth")["model"] for n in "12")
    torch.manual_seed(0)
    start = build(load_config(det_config).model)
    for name, parameter in start.named_parameters():
        gradients = [(parameter.detach() - model[name]) / rate for model in (one, two)]
        assert gradients[0].abs().max() > 1e-4, name
        torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=1e-6, msg=name)
    losses = [read_scalars(tmp_path / n / "scalars.json")[0] for n in "12"]
    assert losses[0]["lr"] == losses[1]["lr"] == rate  # of all images of the step, not of one process's


def test_the_rate_follows_the_images_of_all_processes(tmp_path: Path, det_config: Path) -> None:
    options = ["schedule.steps=1", "data.images=4", "optimizer.lr=0.01", "optimizer.reference_images=2"]
    run_processes(2, "train-det", det_config, "--work-dir", tmp_path, "--cfg-options", *options)
    assert read_scalars(tmp_path / "scalars.json")[0]["lr"] == pytest.approx(0.02)


# Evaluation -----------------------------------------------------------------------------------------------------------


def test_two_and_three_processes_score_as_one(tmp_path: Path, det_config: Path) -> None:
    checkpoint = random_detector(det_config, tmp_path / "random.pth")
    low = ["--cfg-options", "model.head.score_floor=0.0"]
    for world in (1, 2, 3):  # two images: the third process has none
        out = ["--json", tmp_path / f"{world}.json", "--write-detections", tmp_path / str(world)]
        run_processes(world, "eval-voc", det_config, "--checkpoint", checkpoint, *out, *low)
    figures = [json.loads((tmp_path / f"{world}.json").read_text()) for world in (1, 2, 3)]
    assert figures[0]["detections"] > 0
    assert figures[0] == figures[1] == figures[2]
    for name in ("comp4_det_test_apple.txt", "comp4_det_test_pear.txt"):
        assert len({(tmp_path / str(world) / name).read_text() for world in (1, 2, 3)}) == 1


# Batch normalization --------------------------------------------------------------------------------------------------


def test_two_processes_with_bn_equal_one_with_ghost_batches(tmp_path: Path, cls_config: Path) -> None:
    states = []
    for world, ghost in ((1, "8"), (2, "None")):
        options = ["data.images=16", "schedule.steps=2", "precise_bn.images=0", f"ghost_batch={ghost}"]
        work_dir = tmp_path / str(world)
        run_processes(world, "train-cls", cls_config, "--work-dir", work_dir, "--cfg-options", *options)
        states.append(read_checkpoint(work_dir / "last.pth")["model"])
    for name, tensor in states[0].items():  # running means and variances too
        torch.testing.assert_close(states[1][name], tensor, rtol=1e-6, atol=1e-6, msg=name)


class Normalising(nn.Module):
    """A single BN layer, whose running mean depends on the images of its process."""

    def __init__(self) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(3)

    def forward(self, batch: LabelledImages) -> dict[str, torch.Tensor]:
        return {"loss_mean": self.bn(batch.images.float()).square().mean()}


def train_normalising(rank: int, port: int, folder: Path) -> None:
    """Train one step as one of two processes; each writes the running mean that its validation saw."""
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.distributed.init_process_group("gloo")
    model = Normalising()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    run = Run(folder, torch.device("cpu"), "fp32")
    loop = TrainLoop(model, sgd, MultiStep(1), LoopSettings(), run)
    images, zeros = torch.randint(256, (4, 3, 5, 5), generator=torch.Generator().manual_seed(rank)), torch.zeros(4)

    def validate(model: nn.Module) -> dict[str, float]:
        (folder / f"{rank}.json").write_text(json.dumps(model.bn.running_mean.tolist()))
        return {"val/x": 0.0}

    loop.train([LabelledImages(images.to(torch.uint8), zeros.long(), zeros.long(), list("abcd"))], validate)
    torch.distributed.destroy_process_group()


def test_every_process_validates_what_the_checkpoint_has(tmp_path: Path) -> None:
    run_two_ranks(train_normalising, tmp_path)
    saved = read_checkpoint(tmp_path / "last.pth")["model"]["bn.running_mean"].tolist()
    assert [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)] == [saved, saved]


def test_bn_statistics_of_two_processes_are_those_of_one(tmp_path: Path, cls_config: Path) -> None:
    options = ["optimizer.lr=0", "schedule.steps=1", "precise_bn.images=14"]
    states = []
    for world in (1, 2):
        work_dir = tmp_path / str(world)
        run_processes(world, "train-cls", cls_config, "--work-dir", work_dir, "--cfg-options", *options)
        states.append(read_checkpoint(work_dir / "last.pth")["model"])
    for name, tensor in states[0].items():
        if "tracked" not in name:  # how many batches this process has seen
            torch.testing.assert_close(states[1][name], tensor, rtol=1e-5, atol=1e-6)


def read_limit(rank: int, port: int, folder: Path) -> None:
    """Join as one of two processes, and write how long an exchange may wait for the other, in seconds."""
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    meet("gloo")
    group = torch.distributed.group.WORLD
    assert group is not None
    limit = group._get_backend(torch.device("cpu")).options._timeout
    (folder / f"{rank}.json").write_text(json.dumps(limit.total_seconds()))
    torch.distributed.destroy_process_group()


def test_other_processes_wait_while_the_main_one_scores_for_an_hour(tmp_path: Path) -> None:
    """torch's own limit is ten minutes; scoring COCO's 40,504 validation images took up to five."""
    run_two_ranks(read_limit, tmp_path)
    assert all(json.loads((tmp_path / f"{rank}.json").read_text()) >= 3600 for rank in range(2))


def resume_apart(rank: int, port: int, folder: Path) -> None:
    """Resume as one of two processes, each on a disk of its own; writes the error."""
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.distributed.init_process_group("gloo")
    try:
        begin_scale(run_in(folder / str(rank), resume="auto"), 4)
    except UserError as error:
        (folder / f"{rank}.txt").write_text(str(error))
    torch.distributed.destroy_process_group()


def test_machines_that_do_not_share_the_runs_folder_are_refused(tmp_path: Path) -> None:
    """Only the main process writes checkpoints: on a disk of its own another machine would begin at step 0."""
    begin_scale(run_in(tmp_path / "0"), 2).train([grey(9)] * 2)
    run_two_ranks(resume_apart, tmp_path)
    for rank in range(2):
        error = (tmp_path / f"{rank}.txt").read_text()
        assert "have found different checkpoints" in error
        assert "(that of step 2, none): put the folder on a disk that all machines share" in error


# Random numbers -------------------------------------------------------------------------------------------------------


def draw(rank: int, port: int, folder: Path) -> None:
    """Draw as a dropout does, as one of two processes: steps 0 to 2, and steps 1 and 2 as after a resume."""
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.distributed.init_process_group("gloo")
    drawn = []
    for first in (0, 1):
        torch.manual_seed(7)
        for step in range(first, 3):
            seed_step(7, step)
            drawn.append(torch.rand(3).tolist())
    (folder / f"{rank}.json").write_text(json.dumps(drawn))
    torch.distributed.destroy_process_group()


def test_processes_have_different_dropout_which_a_resumed_run_repeats(tmp_path: Path) -> None:
    run_two_ranks(draw, tmp_path)
    main, other = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    torch.manual_seed(7)
    assert main[:3] == [torch.rand(3).tolist() for _ in range(3)]  # as alone: its generator is in the checkpoint
    assert other[3:] == other[1:3]
    assert len({tuple(numbers) for numbers in (*main[:3], *other[:3])}) == 6


# Restarting -----------------------------------------------------------------------------------------------------------


def training(config: Path, work_dir: Path) -> list[object]:
    options = ["data.images=4", "schedule.steps=10", "loop.log_every=1", "precise_bn.images=0"]
    device = ["--device", "cpu", "--precision", "fp32", "--launcher", "pytorch", "--resume"]
    return [ROOT / "tools" / "train_cls.py", config, "--work-dir", work_dir, *device, "--cfg-options", *options]


@pytest.mark.slow
def test_two_processes_train_in_four_steps_and_score_by_cocos_rules(tmp_path: Path) -> None:
    """Each step trains other parts: gradients that a process waits for in vain would hang it."""
    script = ["--standalone", "--nproc-per-node", 2, ROOT / "tools" / "train_det.py", "coco_r101_alternating"]
    options = ["--dry-run", "--launcher", "pytorch", "--device", "cpu", "--work-dir", tmp_path / "run"]
    process = torchrun(*script, *options, folder=tmp_path)
    output = process.communicate(timeout=240)
    assert process.returncode == 0, output
    assert read_checkpoint(tmp_path / "run/last.pth")["step"] == 3


@pytest.mark.slow
def test_torchrun_restarts_a_run_that_lost_a_process(tmp_path: Path, cls_config: Path) -> None:
    config = failing_config(tmp_path, cls_config, "os.kill(os.getpid(), signal.SIGKILL)")
    one_machine = ["--standalone", "--nproc-per-node", 2]
    alone = torchrun(*one_machine, *training(config, tmp_path / "alone"), folder=tmp_path)
    said = alone.communicate(timeout=120)[0]
    assert alone.returncode != 0
    assert LOST_OR_TERMINATED.search(said), said
    (tmp_path / "failed").unlink()

    again = torchrun("--max-restarts", 1, *one_machine, *training(config, tmp_path / "again"), folder=tmp_path)
    said = again.communicate(timeout=120)[0]
    assert again.returncode == 0, said
    assert (tmp_path / "failed").exists()
    assert "resumed at step 6 of 10" in said

    # Two machines: one torchrun on each, here both on this one; nobody dies any more.
    meeting = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{free_port()}", "--rdzv-id", "nodes"]
    words = ["--nnodes", 2, *meeting, "--nproc-per-node", 1, *training(config, tmp_path / "nodes")]
    nodes = [torchrun(*words, folder=tmp_path) for _ in range(2)]
    for node in nodes:
        said = node.communicate(timeout=120)[0]
        assert node.returncode == 0, said
    assert [step for step, _ in losses_in(tmp_path / "again")] == list(range(1, 11))
    assert losses_in(tmp_path / "again") == losses_in(tmp_path / "nodes")
    one, other = (read_checkpoint(tmp_path / n / "last.pth")["model"] for n in ("again", "nodes"))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
