"""A classifier's run from end to end where something is unusual: its options, its images, its last steps."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch

from resdet.cli import complexity, eval_cls, plot_errors, precise_bn, responses, train_cls
from resdet.engine.checkpoint import read_checkpoint
from resdet.engine.config import load_config
from resdet.recipes.classification.build import build_data
from test_classification import write_test_set
from test_cli import ON_CPU, one_line
from test_processes import free_port, torchrun

ROOT = Path(__file__).resolve().parents[1]
SHORT = ["--cfg-options", "schedule.steps=2"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, cls_config: Path) -> Path:
    """last.pth of a run named seed0, as --runs names them."""
    folder = tmp_path_factory.mktemp("a") / "seed0"
    train_cls.main([str(cls_config), "--work-dir", str(folder), *ON_CPU])
    return folder / "last.pth"


def copy_of(config: Path, folder: Path, images: Path) -> Path:
    """The config with a copy of its images, to be spoiled."""
    shutil.copytree(images, folder / "images")
    path = folder / "copy.py"
    path.write_text(config.read_text().replace(str(images), str(folder / "images")))
    return path


# The end of a training -----------------------------------------------------------------------------------------------


def test_a_config_without_precise_bn_keeps_the_running_averages(cls_config: Path, tmp_path: Path) -> None:
    config = tmp_path / "plain.py"
    config.write_text(cls_config.read_text().replace("precise_bn = dict(images=12)\n", ""))
    train_cls.main([str(config), "--work-dir", str(tmp_path / "run"), *ON_CPU, *SHORT])
    assert "precise_bn" not in read_checkpoint(tmp_path / "run" / "last.pth")


def test_statistics_asked_for_after_the_end_are_computed(cls_config: Path, tmp_path: Path) -> None:
    run = [str(cls_config), "--work-dir", str(tmp_path), *ON_CPU, *SHORT]

    def mean(*options: str) -> torch.Tensor:
        train_cls.main([*run, *options])
        return read_checkpoint(tmp_path / "last.pth")["model"]["net.conv4.0.b.bn.running_mean"]

    first = mean()
    assert torch.equal(mean("--resume"), first)
    assert not torch.equal(few := mean("precise_bn.images=4", "--resume"), first)
    assert read_checkpoint(tmp_path / "last.pth")["precise_bn"] == 4
    assert not torch.equal(mean("precise_bn.images=4", "precise_bn.by_layer=True", "--resume"), few)


def test_a_photo_that_cannot_be_read_is_skipped_to_the_very_end_if_asked(
    cls_config: Path, class_folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = copy_of(cls_config, tmp_path, class_folders)
    victim = sorted((tmp_path / "images" / "train" / "dark").iterdir())[1]
    victim.write_bytes(victim.read_bytes()[:40])
    asked = ["precise_bn.images=16", "data.skip_unreadable=True"]
    train_cls.main([str(config), "--work-dir", str(tmp_path / "a"), *ON_CPU, *SHORT, *asked])
    assert read_checkpoint(tmp_path / "a" / "last.pth")["precise_bn"] == 16
    assert victim.name in one_line(
        train_cls.main, [str(config), "--work-dir", str(tmp_path / "b"), *ON_CPU, *SHORT, *asked[:1]], capsys
    )


def test_a_last_batch_of_one_is_left_out_of_the_statistics(
    trained: Path, cls_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """13 images in batches of 4: conv5's map of 32 pixels is one cell, which has no variance in one image."""
    out = ["--out", str(tmp_path / "p.pth"), "--images", "13"]
    precise_bn.main([str(cls_config), "--checkpoint", str(trained), *out, *ON_CPU])
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


def test_a_set_without_labels_ends_no_training(
    cls_config: Path, class_folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_test_set(tmp_path / "images", class_folders)
    text, root = cls_config.read_text(), f'root={str(class_folders)!r}, image_set="val"'
    config = tmp_path / "config.py"
    config.write_text(text.replace(root, f'root={str(tmp_path / "images")!r}, image_set="test"'))
    assert "data.test has no labels" in one_line(
        train_cls.main, [str(config), "--work-dir", str(tmp_path / "run"), *ON_CPU], capsys
    )


# Options -------------------------------------------------------------------------------------------------------------


def test_what_only_the_data_class_names_can_be_set(cls_config: Path) -> None:
    cfg = load_config(cls_config, {"data.skip_unreadable": True, "data.test_images": 3})
    data = build_data(cfg)
    assert (data.skip_unreadable, data.test_images) == (True, 3)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["ROOT=/elsewhere"], "ROOT is used up when the file is read; set what it went into, as data.train.root"),
        (["data.test_view.short=200"], r"data.test_view.short=200 leaves 29 pixels: too few for crops of 32"),
        (["data.colour=1"], "'colour' is not in"),
    ],
)
def test_options_that_cannot_be_obeyed_are_one_line(
    options: list[str], why: str, trained: Path, cls_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.py"
    config.write_text(cls_config.read_text() + "ROOT = 'data'\n")
    views = ["--views", "ten-crop"]
    assert why in one_line(
        eval_cls.main, [str(config), "--checkpoint", str(trained), *views, *ON_CPU, "--cfg-options", *options], capsys
    )


def test_mistyped_checkpoints_leave_no_folder(
    cls_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "no such checkpoint" in one_line(
        eval_cls.main, [str(cls_config), "--checkpoint", str(tmp_path / "nowhere" / "last.pth"), *ON_CPU], capsys
    )
    assert not (tmp_path / "nowhere").exists()


def test_a_file_given_twice_counts_twice_in_an_ensemble(trained: Path, cls_config: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "last.pth"
    train_cls.main([str(cls_config), "--work-dir", str(other.parent), "--seed", "1", *ON_CPU, *SHORT])
    answers = {}
    for name, files in {"F": [trained], "G": [other], "FFG": [trained, trained, other]}.items():
        out = tmp_path / f"{name}.json"
        words = [str(cls_config), "--checkpoint", *map(str, files), "--json", str(out), *ON_CPU]
        eval_cls.main(words)
        answers[name] = json.loads(out.read_text())
    assert len([key for key in answers["FFG"] if key.startswith("center, ")]) == 2  # two different files, two rows


@pytest.mark.parametrize("count", ["0", "-1"])
def test_no_runs_are_no_run(count: str, cls_config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"--runs {count}: give a number of runs, 1 or more" in one_line(
        train_cls.main, [str(cls_config), "--runs", count], capsys
    )


# Figures -------------------------------------------------------------------------------------------------------------


def test_runs_of_one_name_are_told_apart(
    trained: Path, cls_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "b" / "seed0"
    train_cls.main([str(cls_config), "--work-dir", str(other), *ON_CPU, *SHORT])
    names = [f"{trained.parents[1].name}/seed0", "b/seed0"]
    capsys.readouterr()
    plot_errors.main([str(trained.parent), str(other), "--out", str(tmp_path / "errors.svg")])
    assert ", ".join(names) in capsys.readouterr().out
    nets = [word for path in (trained, other / "last.pth") for word in ("--net", str(cls_config), str(path))]
    responses.main([*nets, "--out", str(tmp_path), *ON_CPU])
    rows = list(csv.DictReader((tmp_path / "responses.csv").open()))
    assert [row["net"] for row in rows] == [name for name in names for _ in range(16)]


def test_gradients_are_of_images_of_all_classes(trained: Path, cls_config: Path, tmp_path: Path) -> None:
    """The training set is sorted by class: another seed takes other images, and other norms follow."""
    norms = []
    for seed in ("0", "1"):
        out = tmp_path / seed
        responses.main(["--net", str(cls_config), str(trained), "--out", str(out), "--seed", seed, *ON_CPU])
        norms.append([row["gradient_norm"] for row in csv.DictReader((out / "responses.csv").open())])
    assert norms[0] != norms[1]


def test_a_detectors_run_has_no_errors_to_draw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "scalars.json").write_text('{"iteration": 1, "step": 1, "loss": 2.0}\n')
    assert "has no errors of a classifier" in one_line(
        plot_errors.main, [str(tmp_path), "--out", str(tmp_path / "d.png")], capsys
    )


def test_costs_are_written_as_json_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    complexity.main(["--json", str(tmp_path / "costs.json")])
    assert "pool1" in capsys.readouterr().out
    costs = json.loads((tmp_path / "costs.json").read_text())
    assert costs["ResNet-50"] == {"parameters": 25_557_032, "macs": 3_857_973_248}
    assert {"ResNet-18 A", "ResNet-18 B", "ResNet-18 C"} <= costs.keys()
