"""resdet eval-cls, resdet precise-bn and the figures of responses, on a trained classifier."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from helpers.commands import ON_CPU, eval_cls, export_weights, plot_errors, precise_bn, responses, train_cls
from helpers.datasets import write_test_set
from resdet.engine.checkpoint import read_checkpoint
from resdet.engine.run import RunOptions, start_run
from resdet.recipes.classification.evaluate import evaluate_classifier
from resdet.recipes.sections import load_config

# Evaluation -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(cls_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    work_dir = tmp_path_factory.mktemp("trained")
    train_cls([str(cls_config), "--work-dir", str(work_dir), "--json", str(work_dir / "figures.json"), *ON_CPU])
    return work_dir / "last.pth"


def test_an_ensemble_of_one_net_with_itself_changes_nothing(
    trained: Path, cls_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twin = tmp_path / "twin.pth"
    twin.write_bytes(trained.read_bytes())
    figures = {}
    for name, checkpoints in (("one", [trained]), ("two", [trained, twin])):
        out = tmp_path / f"{name}.json"
        options = ["--checkpoint", *map(str, checkpoints), "--views", "center", "ten-crop", "dense"]
        eval_cls([str(cls_config), *options, "--json", str(out), *ON_CPU])
        figures[name] = json.loads(out.read_text())
    for view in ("center", "ten-crop", "dense"):
        assert figures["two"][f"{view}/top1_error"] == figures["one"][f"{view}/top1_error"]
    assert figures["two"]["confusion"] == figures["one"]["confusion"]
    printed = capsys.readouterr().out
    assert "8 images" in printed
    assert "+0.00 +- 0.00" in printed


def test_an_ensemble_of_different_depths_is_the_mean_of_their_probabilities(
    trained: Path, cls_config: Path, class_folders: Path, tmp_path: Path
) -> None:
    deeper = tmp_path / "deeper.py"
    deeper.write_text(cls_config.read_text().replace("depth=18", "depth=34"))
    train_cls([str(deeper), "--work-dir", str(tmp_path / "deeper"), *ON_CPU])
    cfg = load_config(cls_config)
    run = start_run(tmp_path, RunOptions("cpu", "fp32"), log="test")
    nets = [(cfg, trained), (load_config(deeper), tmp_path / "deeper" / "last.pth")]
    scores = evaluate_classifier(cfg, run, nets, ["center"]).scores
    single = [scores[f"center, {path}"] for _, path in nets]
    np.testing.assert_allclose(scores["center"], (single[0] + single[1]) / 2, rtol=1e-6)
    assert not np.allclose(*single)


def test_weights_of_another_project_can_be_tested_and_get_bn_statistics(
    trained: Path, cls_config: Path, tmp_path: Path
) -> None:
    """The trained net under torchvision's names answers as it did."""
    torchvisions, again = tmp_path / "net.pth", tmp_path / "precise.pth"
    config = tmp_path / "config.py"
    config.write_text(cls_config.read_text().replace("width=0.125", "width=0.125, stride_on='3x3'"))
    export_weights([str(trained), "--to", "torchvision", "--out", str(torchvisions)])
    eval_cls([str(config), "--checkpoint", str(torchvisions), "--json", str(tmp_path / "a.json"), *ON_CPU])
    eval_cls([str(cls_config), "--checkpoint", str(trained), "--json", str(tmp_path / "b.json"), *ON_CPU])
    assert (tmp_path / "a.json").read_text() == (tmp_path / "b.json").read_text()
    statistics = ["--out", str(again), "--images", "8"]
    precise_bn([str(config), "--checkpoint", str(torchvisions), *statistics, *ON_CPU])
    assert read_checkpoint(again)["classes"] == ["dark", "light"]


def test_centre_crops_give_the_error_reported_by_training(trained: Path, cls_config: Path, tmp_path: Path) -> None:
    out, csv_file = tmp_path / "figures.json", tmp_path / "predictions.csv"
    options = ["--checkpoint", str(trained), "--json", str(out), "--predictions", str(csv_file)]
    eval_cls([str(cls_config), *options, *ON_CPU])
    figures, ended = json.loads(out.read_text()), json.loads((trained.parent / "figures.json").read_text())
    assert figures.keys() == {"center/top1_error", "confusion"}
    assert figures["center/top1_error"] == ended["test/top1_error"]
    confusion = np.array(figures["confusion"])
    assert confusion.sum() == 8
    assert figures["center/top1_error"] == 100 * (1 - confusion.trace() / 8)
    rows = list(csv.DictReader(csv_file.open()))
    assert len(rows) == 8
    assert {row["PredictionString"] for row in rows} <= {"dark light", "light dark"}


def test_a_submission_has_the_servers_numbers_in_the_lists_order(
    trained: Path, cls_config: Path, class_folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, config = tmp_path / "cls_loc", tmp_path / "cls_loc.py"
    write_test_set(root, class_folders)
    config.write_text(cls_config.read_text().replace(str(class_folders), str(root)))
    mapping, out, names = tmp_path / "map_clsloc.txt", tmp_path / "answers.txt", tmp_path / "names.csv"
    mapping.write_text("other 1 other\nlight 3 day\ndark 7 night\n")
    options = ["--checkpoint", str(trained), "--submission", str(out), str(mapping), "--predictions", str(names)]
    arguments = [str(config), *options, *ON_CPU, "--cfg-options", "data.test.image_set=test"]
    eval_cls(arguments)
    assert "3 images without labels" in capsys.readouterr().out
    number = {"dark": "7", "light": "3"}
    rows = list(csv.DictReader(names.open()))
    assert [row["ImageId"] for row in rows] == ["b", "a", "c"]
    expected = [" ".join(number[name] for name in row["PredictionString"].split()) for row in rows]
    assert out.read_text().splitlines() == expected

    mapping.write_text("dark 7 night\n")
    with pytest.raises(SystemExit) as ended:
        eval_cls(arguments)
    assert ended.value.code == 2
    assert "map_clsloc.txt has no line 'light NUMBER NAME'" in capsys.readouterr().err


def test_files_of_predictions_hold_the_last_of_the_views_and_say_so(
    trained: Path, cls_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of several views the last, of all nets together, as eval-loc's; the row is named in print and beside the file."""
    out = tmp_path / "p.csv"
    base = [str(cls_config), "--checkpoint", str(trained), str(trained), *ON_CPU, "--predictions", str(out), "--views"]
    eval_cls([*base, "dense"])
    alone = out.read_text()
    capsys.readouterr()
    eval_cls([*base, "center", "dense"])
    assert out.read_text() == alone
    assert "p.csv holds the row 'dense'" in capsys.readouterr().out
    assert json.loads((tmp_path / "p.csv.about.json").read_text())["holds"] == "dense"


def test_the_scales_of_the_dense_test_are_the_datas(trained: Path, cls_config: Path, tmp_path: Path) -> None:
    """Sect. 3.4's five unless `data.scales` has others."""
    assert load_config("imagenet_r50").data.scales == (224, 256, 384, 480, 640)
    out = tmp_path / "e.json"
    options = ["--json", str(out), "--views", "dense", *ON_CPU, "--cfg-options", "data.scales=(224,)"]
    eval_cls([str(cls_config), "--checkpoint", str(trained), *options])
    assert "dense/top1_error" in json.loads(out.read_text())


def test_predictions_keep_the_order_of_images_of_different_sizes(
    trained: Path, cls_config: Path, class_folders: Path, tmp_path: Path
) -> None:
    root = tmp_path / "mixed"
    for image_set in ("train", "val"):
        for name in ("dark", "light"):
            (root / image_set / name).mkdir(parents=True)
            for i, source in enumerate(sorted((class_folders / image_set / name).iterdir())):
                image = cv2.imread(str(source))
                cv2.imwrite(str(root / image_set / name / source.name), image if i % 2 else image[:40, :40])
    out = tmp_path / "figures.json"
    config = tmp_path / "mixed.py"
    config.write_text(cls_config.read_text().replace(str(class_folders), str(root)))
    views = ["--views", "ten-crop", "dense"]
    eval_cls([str(config), "--checkpoint", str(trained), *views, "--json", str(out), *ON_CPU])
    assert np.array(json.loads(out.read_text())["confusion"]).sum(1).tolist() == [4, 4]


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    return {k: v for k, v in read_checkpoint(path)["model"].items() if not k.endswith("num_batches_tracked")}


def test_statistics_are_computed_on_any_checkpoint(
    trained: Path, cls_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, again = tmp_path / "precise.pth", tmp_path / "again.pth"
    options = ["--checkpoint", str(trained), "--images", "12", *ON_CPU]
    precise_bn([str(cls_config), *options, "--out", str(out)])
    assert "with 12 images" in capsys.readouterr().out
    before, after = weights_of(trained), weights_of(out)
    for name, tensor in after.items():  # the training ended with the same
        torch.testing.assert_close(tensor, before[name])
    precise_bn([str(cls_config), *options, "--out", str(again), "--by-layer"])
    moved = [name for name, tensor in weights_of(again).items() if not torch.allclose(tensor, before[name])]
    assert moved
    assert all(name.endswith(("running_mean", "running_var")) for name in moved)
    eval_cls([str(cls_config), "--checkpoint", str(again), *ON_CPU])


# Figures 6 and 7 ------------------------------------------------------------------------------------------------------


def test_figures_6_and_7_are_drawn_from_runs(
    trained: Path, cls_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plot_errors([str(trained.parent), "--out", str(tmp_path / "errors.png")])
    assert (tmp_path / "errors.png").stat().st_size > 5000
    responses(["--net", str(cls_config), str(trained), "--out", str(tmp_path), *ON_CPU])
    assert (tmp_path / "responses.png").stat().st_size > 5000
    rows = list(csv.DictReader((tmp_path / "responses.csv").open()))
    assert len(rows) == 16
    assert all(float(row["response_std"]) > 0 and float(row["gradient_norm"]) > 0 for row in rows)
    with pytest.raises(SystemExit):
        plot_errors([str(tmp_path), "--out", str(tmp_path / "errors.png")])
    assert "has no scalars.json" in capsys.readouterr().err
