"""Runs of classifiers with unusual options, images and last steps."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch

from helpers.commands import ON_CPU, error_line, eval_cls, plot_errors, precise_bn, responses, train_cls
from helpers.datasets import write_test_set
from helpers.paths import ROOT
from helpers.processes import free_port, torchrun
from resdet.engine.checkpoint import read_checkpoint
from resdet.recipes.classification.build import build_data
from resdet.recipes.sections import load_config

SHORT = ["--cfg-options", "schedule.steps=2"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, cls_config: Path) -> Path:
    """last.pth of a run in a folder seed0, the name that --runs gives."""
    folder = tmp_path_factory.mktemp("a") / "seed0"
    train_cls([str(cls_config), "--work-dir", str(folder), *ON_CPU])
    return folder / "last.pth"


def copy_of(config: Path, folder: Path, images: Path) -> Path:
    """The config with a copy of its images that the test may damage."""
    shutil.copytree(images, folder / "images")
    path = folder / "copy.py"
    path.write_text(config.read_text().replace(str(images), str(folder / "images")))
    return path


# The end of a training -----------------------------------------------------------------------------------------------


def test_a_config_without_precise_bn_keeps_the_running_averages(cls_config: Path, tmp_path: Path) -> None:
    config = tmp_path / "plain.py"
    config.write_text(cls_config.read_text().replace("precise_bn = dict(images=12)\n", ""))
    train_cls([str(config), "--work-dir", str(tmp_path / "run"), *ON_CPU, *SHORT])
    assert "precise_bn" not in read_checkpoint(tmp_path / "run" / "last.pth")


def test_statistics_requested_after_the_end_are_computed(cls_config: Path, tmp_path: Path) -> None:
    run = [str(cls_config), "--work-dir", str(tmp_path), *ON_CPU, *SHORT]

    def mean(*options: str) -> torch.Tensor:
        train_cls([*run, *options])
        return read_checkpoint(tmp_path / "last.pth")["model"]["net.conv4.0.b.bn.running_mean"]

    first = mean()
    assert torch.equal(mean("--resume"), first)
    assert not torch.equal(few := mean("precise_bn.images=4", "--resume"), first)
    assert read_checkpoint(tmp_path / "last.pth")["precise_bn"] == 4
    assert not torch.equal(mean("precise_bn.images=4", "precise_bn.by_layer=True", "--resume"), few)


def test_an_unreadable_image_is_skipped_until_the_end_if_requested(
    cls_config: Path, class_folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = copy_of(cls_config, tmp_path, class_folders)
    victim = sorted((tmp_path / "images" / "train" / "dark").iterdir())[1]
    victim.write_bytes(victim.read_bytes()[:40])
    asked = ["precise_bn.images=16", "data.skip_unreadable=True"]
    train_cls([str(config), "--work-dir", str(tmp_path / "a"), *ON_CPU, *SHORT, *asked])
    assert read_checkpoint(tmp_path / "a" / "last.pth")["precise_bn"] == 16
    assert victim.name in error_line(
        train_cls, [str(config), "--work-dir", str(tmp_path / "b"), *ON_CPU, *SHORT, *asked[:1]], capsys
    )


def test_a_last_batch_of_one_is_left_out_of_the_statistics(
    trained: Path, cls_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """13 images in batches of 4: conv5's map of 32 pixels is one cell, which has no variance in one image."""
    out = ["--out", str(tmp_path / "p.pth"), "--images", "13"]
    precise_bn([str(cls_config), "--checkpoint", str(trained), *out, *ON_CPU])
    assert "with 12 images" in capsys.readouterr().out


def test_fewer_batches_than_processes_are_refused_instead_of_waited_for(
    trained: Path, cls_config: Path, tmp_path: Path
) -> None:
    command = [ROOT / "tools/precise_bn.py", cls_config, "--checkpoint", trained, "--out", tmp_path / "p.pth"]
    options = ["--images", "4", "--by-layer", "--launcher", "pytorch", *ON_CPU]
    port = ["--nproc-per-node", "2", "--master-port", free_port()]
    process = torchrun(*port, *command, *options, folder=tmp_path)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode
    assert "4 images are 1 batches: too few for 2 processes" in printed


def test_a_test_set_without_labels_does_not_stop_training(
    cls_config: Path, class_folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_test_set(tmp_path / "images", class_folders)
    text, root = cls_config.read_text(), f'root={str(class_folders)!r}, image_set="val"'
    config = tmp_path / "config.py"
    config.write_text(text.replace(root, f'root={str(tmp_path / "images")!r}, image_set="test"'))
    assert "data.test has no labels" in error_line(
        train_cls, [str(config), "--work-dir", str(tmp_path / "run"), *ON_CPU], capsys
    )


# Options -------------------------------------------------------------------------------------------------------------


def test_parameters_of_the_data_class_can_be_set(cls_config: Path) -> None:
    cfg = load_config(cls_config, {"data.skip_unreadable": True, "data.test_images": 3})
    data = build_data(cfg)
    assert (data.skip_unreadable, data.test_images) == (True, 3)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["ROOT=/elsewhere"], "ROOT is a constant that was used when the file was read"),
        (["data.test_view.short=200"], "short sides 200..200 are given for a crop of 224 pixels"),
        (["data.colour=1"], "data.colour: there is no 'colour'"),
    ],
)
def test_invalid_options_give_a_one_line_error(
    options: list[str], why: str, trained: Path, cls_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.py"
    config.write_text(cls_config.read_text() + "ROOT = 'data'\n")
    views = ["--views", "ten-crop"]
    assert why in error_line(
        eval_cls, [str(config), "--checkpoint", str(trained), *views, *ON_CPU, "--cfg-options", *options], capsys
    )


def test_a_wrong_checkpoint_path_creates_no_folder(
    cls_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "no such checkpoint" in error_line(
        eval_cls, [str(cls_config), "--checkpoint", str(tmp_path / "nowhere" / "last.pth"), *ON_CPU], capsys
    )
    assert not (tmp_path / "nowhere").exists()


def test_a_file_given_twice_counts_twice_in_an_ensemble(trained: Path, cls_config: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "last.pth"
    train_cls([str(cls_config), "--work-dir", str(other.parent), "--seed", "1", *ON_CPU, *SHORT])
    answers = {}
    for name, files in {"F": [trained], "G": [other], "FFG": [trained, trained, other]}.items():
        out = tmp_path / f"{name}.json"
        words = [str(cls_config), "--checkpoint", *map(str, files), "--json", str(out), *ON_CPU]
        eval_cls(words)
        answers[name] = json.loads(out.read_text())
    assert len([key for key in answers["FFG"] if key.startswith("center, ")]) == 2  # two different files, two rows


@pytest.mark.parametrize("count", ["0", "-1"])
def test_zero_runs_are_refused(count: str, cls_config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"--runs: '{count}'; wanted: an integer, 1 or more" in error_line(
        train_cls, [str(cls_config), "--runs", count], capsys
    )


# Figures -------------------------------------------------------------------------------------------------------------


def test_runs_with_the_same_name_are_distinguished(
    trained: Path, cls_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "b" / "seed0"
    train_cls([str(cls_config), "--work-dir", str(other), *ON_CPU, *SHORT])
    names = [f"{trained.parents[1].name}/seed0", "b/seed0"]
    capsys.readouterr()
    plot_errors([str(trained.parent), str(other), "--out", str(tmp_path / "errors.svg")])
    assert ", ".join(names) in capsys.readouterr().out
    nets = [word for path in (trained, other / "last.pth") for word in ("--net", str(cls_config), str(path))]
    responses([*nets, "--out", str(tmp_path), *ON_CPU])
    rows = list(csv.DictReader((tmp_path / "responses.csv").open()))
    assert [row["net"] for row in rows] == [name for name in names for _ in range(16)]


def test_gradients_are_of_images_of_all_classes(trained: Path, cls_config: Path, tmp_path: Path) -> None:
    """The training set is sorted by class: another seed takes other images, and other norms follow."""
    norms = []
    for seed in ("0", "1"):
        out = tmp_path / seed
        responses(["--net", str(cls_config), str(trained), "--out", str(out), "--seed", seed, *ON_CPU])
        norms.append([row["gradient_norm"] for row in csv.DictReader((out / "responses.csv").open())])
    assert norms[0] != norms[1]


def test_plot_errors_refuses_the_run_of_a_detector(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "scalars.json").write_text('{"iteration": 1, "step": 1, "loss": 2.0}\n')
    assert "has no errors of a classifier" in error_line(
        plot_errors, [str(tmp_path), "--out", str(tmp_path / "d.png")], capsys
    )


def test_several_runs_give_best_mean_and_deviation(
    cls_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs.json"
    options = ["--runs", "2", "--seed", "5", "--work-dir", str(tmp_path), "--json", str(out)]
    train_cls([str(cls_config), *options, *ON_CPU])
    figures = json.loads(out.read_text())
    assert figures["seeds"] == [5, 6]
    assert [read_checkpoint(tmp_path / f"seed{seed}" / "last.pth")["seed"] for seed in (5, 6)] == [5, 6]
    first, second = figures["test/top1_error"]
    mean, deviation = (first + second) / 2, abs(first - second) / 2**0.5
    line = f"best {min(first, second):.2f} (mean {mean:.2f} +- {deviation:.2f}, 2 runs)"
    assert line in capsys.readouterr().out
