"""Testing classifiers: the views are what they are called, by slow literal versions; errors, ensembles, files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from resdet.classification.classifier import Classifier
from resdet.classification.inference import dense, ten_crop, ten_crops
from resdet.classification.responses import gradient_norms, layer_responses
from resdet.cli import eval_cls, export_weights, plot_errors, precise_bn, responses, train_cls
from resdet.engine.checkpoint import read_checkpoint
from resdet.engine.config import load_config
from resdet.engine.run import start_run
from resdet.errors import UserError
from resdet.metrics.pairs import paired_difference
from resdet.metrics.topk import confusion_matrix, topk_error
from resdet.nets.resnet import ResNet
from resdet.nets.vgg import VGG
from resdet.recipes.classification.evaluate import evaluate_classifier
from resdet.structures import LabelledImages

ON_CPU = ["--device", "cpu", "--precision", "fp32"]


def classifier(depth: int = 18) -> Classifier:
    torch.manual_seed(depth)
    net = ResNet(depth, num_classes=5, width=1 / 8).eval()
    torch.nn.init.normal_(net.fc.weight, std=1.0)  # type: ignore[union-attr]
    return Classifier(net).eval()


def noise(*shape: int) -> torch.Tensor:
    return torch.randint(256, shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


# Views ---------------------------------------------------------------------------------------------------------------


def test_ten_crops_are_corners_centre_and_their_mirror_images() -> None:
    images = noise(2, 3, 40, 51)
    crops = ten_crops(images, 32)
    assert crops.shape == (10, 2, 3, 32, 32)
    for i, (top, left) in enumerate([(0, 0), (0, 19), (8, 0), (8, 19), (4, 9)]):
        literal = images[:, :, top : top + 32, left : left + 32]
        assert torch.equal(crops[i], literal)
        assert torch.equal(crops[i + 5], literal.flip(3))
    with pytest.raises(ValueError, match="have no crops"):
        ten_crops(images, 41)


def test_ten_crop_is_the_mean_of_ten_softmaxes() -> None:
    model, images = classifier(), noise(1, 3, 70, 64)
    slow = torch.zeros(5)
    for crop in ten_crops(images, 64)[:, 0]:
        with torch.no_grad():
            slow += model.net(model.net.preprocess(crop[None]))[0].softmax(0) / 10
    torch.testing.assert_close(ten_crop(model, images, 64)[0], slow)


@pytest.mark.parametrize("depth", [18, 50])
def test_dense_is_the_mean_of_the_softmaxes_at_all_positions(depth: int) -> None:
    model, images = classifier(depth), noise(1, 3, 130, 170)
    net, slow, count = model.net, torch.zeros(5), 0
    assert isinstance(net, ResNet)
    with torch.no_grad():
        for view in (images, images.flip(3)):
            maps = net.conv5(net.trunk(net.preprocess(view)))
            for y in range(maps.shape[2] - 1):
                for x in range(maps.shape[3] - 1):
                    vector = maps[0, :, y : y + 2, x : x + 2].mean((1, 2))  # 64 px crops have maps of 2x2
                    slow, count = slow + net.fc(vector).softmax(0), count + 1  # type: ignore[misc]
    assert count == 2 * 4 * 5
    torch.testing.assert_close(dense(model, images, window=2)[0], slow / count)


def test_dense_on_a_training_crops_size_is_the_net_itself() -> None:
    model, images = classifier(), noise(2, 3, 64, 64)
    expected = (model.predict(images) + model.predict(images.flip(3))) / 2
    torch.testing.assert_close(dense(model, images, window=2), expected)


def test_vggs_layers_as_convolutions_give_its_own_answer() -> None:
    torch.manual_seed(0)
    net = VGG(16, num_classes=3).eval()
    x = net.preprocess(noise(1, 3, 224, 224))
    with torch.no_grad():
        torch.testing.assert_close(net.dense(x)[:, :, 0, 0], net(x), atol=1e-5, rtol=1e-4)
        wider = net.dense(net.preprocess(noise(1, 3, 224, 256)))
    assert wider.shape == (1, 3, 1, 2)
    for call in (lambda: net(noise(1, 3, 64, 64).float()), lambda: net.dense(noise(1, 3, 64, 64).float(), 2)):
        with pytest.raises(UserError, match="VGG reads crops of 224 pixels"):
            call()


# Figures -------------------------------------------------------------------------------------------------------------


def test_errors_and_confusions_worked_by_hand() -> None:
    scores = np.array([[0.7, 0.2, 0.1], [0.2, 0.5, 0.3], [0.4, 0.3, 0.3], [0.1, 0.2, 0.7]])
    labels = np.array([0, 2, 1, 2])
    assert topk_error(scores, labels, 1) == 50
    assert topk_error(scores, labels, 2) == 25  # equal scores count against the image
    assert confusion_matrix(scores, labels).tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 1]]
    assert topk_error(np.full((4, 3), np.nan), labels, 2) == 100  # a broken net is never right


def test_a_paired_difference_has_the_standard_error_of_its_own_spread() -> None:
    mean, error = paired_difference(np.array([1, 0, 1, 0]), np.array([0, 0, 1, 0]))
    assert mean == -0.25
    assert error == pytest.approx(np.std([-1, 0, 0, 0], ddof=1) / 2)
    hard = np.random.default_rng(0).random(1000) < 0.5  # what both find hard does not count
    assert paired_difference(hard, hard) == (0, 0)


# The command ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(cls_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    work_dir = tmp_path_factory.mktemp("trained")
    train_cls.main([str(cls_config), "--work-dir", str(work_dir), "--json", str(work_dir / "figures.json"), *ON_CPU])
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
        eval_cls.main([str(cls_config), *options, "--json", str(out), *ON_CPU])
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
    train_cls.main([str(deeper), "--work-dir", str(tmp_path / "deeper"), *ON_CPU])
    cfg = load_config(cls_config)
    run = start_run(tmp_path, "cpu", "fp32", 0, log="test")
    nets = [(cfg, trained), (load_config(deeper), tmp_path / "deeper" / "last.pth")]
    scores = evaluate_classifier(cfg, run, nets, ["center"]).scores
    single = [scores[f"center, {path}"] for _, path in nets]
    np.testing.assert_allclose(scores["center"], (single[0] + single[1]) / 2, rtol=1e-6)
    assert not np.allclose(*single)


def test_another_projects_weights_are_tested_and_get_statistics(
    trained: Path, cls_config: Path, tmp_path: Path
) -> None:
    """The trained net under torchvision's names answers as it did."""
    torchvisions, again = tmp_path / "net.pth", tmp_path / "precise.pth"
    config = tmp_path / "config.py"
    config.write_text(cls_config.read_text().replace("width=0.125", "width=0.125, stride_on='3x3'"))
    export_weights.main([str(trained), "--to", "torchvision", "--out", str(torchvisions)])
    eval_cls.main([str(config), "--checkpoint", str(torchvisions), "--json", str(tmp_path / "a.json"), *ON_CPU])
    eval_cls.main([str(cls_config), "--checkpoint", str(trained), "--json", str(tmp_path / "b.json"), *ON_CPU])
    assert (tmp_path / "a.json").read_text() == (tmp_path / "b.json").read_text()
    statistics = ["--out", str(again), "--images", "8"]
    precise_bn.main([str(config), "--checkpoint", str(torchvisions), *statistics, *ON_CPU])
    assert read_checkpoint(again)["classes"] == ["dark", "light"]


def test_centre_crops_have_the_error_that_training_ended_with(trained: Path, cls_config: Path, tmp_path: Path) -> None:
    out, csv_file = tmp_path / "figures.json", tmp_path / "predictions.csv"
    options = ["--checkpoint", str(trained), "--json", str(out), "--predictions", str(csv_file)]
    eval_cls.main([str(cls_config), *options, *ON_CPU])
    figures, ended = json.loads(out.read_text()), json.loads((trained.parent / "figures.json").read_text())
    assert figures.keys() == {"center/top1_error", "confusion"}
    assert figures["center/top1_error"] == ended["test/top1_error"]
    confusion = np.array(figures["confusion"])
    assert confusion.sum() == 8
    assert figures["center/top1_error"] == 100 * (1 - confusion.trace() / 8)
    rows = list(csv.DictReader(csv_file.open()))
    assert len(rows) == 8
    assert {row["PredictionString"] for row in rows} <= {"dark light", "light dark"}


def write_test_set(root: Path, source: Path) -> None:
    """CLS-LOC's layout with a test set alone: a dark, a light and a dark image."""
    lists, images = root / "ILSVRC/ImageSets/CLS-LOC", root / "ILSVRC/Data/CLS-LOC/test"
    lists.mkdir(parents=True)
    images.mkdir(parents=True)
    (root / "LOC_synset_mapping.txt").write_text("dark night\nlight day\n")
    (lists / "test.txt").write_text("b 1\na 2\nc 3\n")
    for stem, name in (("b", "dark/0"), ("a", "light/0"), ("c", "dark/1")):
        cv2.imwrite(str(images / f"{stem}.jpeg"), cv2.imread(str(source / "val" / f"{name}.png")))
        (images / f"{stem}.jpeg").rename(images / f"{stem}.JPEG")


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
    eval_cls.main(arguments)
    assert "3 images without labels" in capsys.readouterr().out
    number = {"dark": "7", "light": "3"}
    rows = list(csv.DictReader(names.open()))
    assert [row["ImageId"] for row in rows] == ["b", "a", "c"]
    expected = [" ".join(number[name] for name in row["PredictionString"].split()) for row in rows]
    assert out.read_text().splitlines() == expected

    mapping.write_text("dark 7 night\n")
    with pytest.raises(SystemExit) as ended:
        eval_cls.main(arguments)
    assert ended.value.code == 2
    assert "map_clsloc.txt has no line 'light NUMBER NAME'" in capsys.readouterr().err


def test_images_of_different_sizes_are_answered_in_their_own_order(
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
    eval_cls.main([str(config), "--checkpoint", str(trained), *views, "--json", str(out), *ON_CPU])
    assert np.array(json.loads(out.read_text())["confusion"]).sum(1).tolist() == [4, 4]


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    return {k: v for k, v in read_checkpoint(path)["model"].items() if not k.endswith("num_batches_tracked")}


def test_statistics_are_computed_on_any_checkpoint(
    trained: Path, cls_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, again = tmp_path / "precise.pth", tmp_path / "again.pth"
    options = ["--checkpoint", str(trained), "--images", "12", *ON_CPU]
    precise_bn.main([str(cls_config), *options, "--out", str(out)])
    assert "with 12 images" in capsys.readouterr().out
    before, after = weights_of(trained), weights_of(out)
    for name, tensor in after.items():  # the training ended with the same
        torch.testing.assert_close(tensor, before[name])
    precise_bn.main([str(cls_config), *options, "--out", str(again), "--by-layer"])
    moved = [name for name, tensor in weights_of(again).items() if not torch.allclose(tensor, before[name])]
    assert moved
    assert all(name.endswith(("running_mean", "running_var")) for name in moved)
    eval_cls.main([str(cls_config), "--checkpoint", str(again), *ON_CPU])


# Figures 6 and 7 -----------------------------------------------------------------------------------------------------


def test_a_response_is_what_leaves_bn_before_the_addition() -> None:
    model, images = classifier(), noise(6, 3, 64, 64)
    labels = torch.arange(6) % 5
    batches = [LabelledImages(images[i : i + 2], labels[i : i + 2], labels[i : i + 2], ["a", "b"]) for i in (0, 2, 4)]
    found = layer_responses(model, batches)
    assert len(found) == 16  # ResNet-18 has 16 3x3 layers
    net = model.net
    assert isinstance(net, ResNet)
    with torch.no_grad():
        x = net.conv1(net.preprocess(images)).relu()
        x = torch.nn.functional.max_pool2d(x, 3, 2, padding=1)
        block = net.conv2[0]
        first = block.a(x)  # type: ignore[operator, union-attr]
        second = block.b(first.relu())  # type: ignore[operator, union-attr]
    assert found["conv2.0.a"] == pytest.approx(float(first.std(correction=0)), rel=1e-4)
    assert found["conv2.0.b"] == pytest.approx(float(second.std(correction=0)), rel=1e-4)


def test_gradient_norms_leave_the_net_as_it_is() -> None:
    model = classifier()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    labels = torch.arange(6) % 5
    norms = gradient_norms(model, LabelledImages(noise(6, 3, 64, 64), labels, labels, ["a"] * 6))
    assert len(norms) == 16
    assert all(norm > 0 for norm in norms.values())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_figures_6_and_7_are_drawn_from_runs(
    trained: Path, cls_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plot_errors.main([str(trained.parent), "--out", str(tmp_path / "errors.png")])
    assert (tmp_path / "errors.png").stat().st_size > 5000
    responses.main(["--net", str(cls_config), str(trained), "--out", str(tmp_path), *ON_CPU])
    assert (tmp_path / "responses.png").stat().st_size > 5000
    rows = list(csv.DictReader((tmp_path / "responses.csv").open()))
    assert len(rows) == 16
    assert all(float(row["response_std"]) > 0 and float(row["gradient_norm"]) > 0 for row in rows)
    with pytest.raises(SystemExit):
        plot_errors.main([str(tmp_path), "--out", str(tmp_path / "errors.png")])
    assert "has no scalars.json" in capsys.readouterr().err


def test_several_runs_give_best_mean_and_deviation(
    cls_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs.json"
    options = ["--runs", "2", "--seed", "5", "--work-dir", str(tmp_path), "--json", str(out)]
    train_cls.main([str(cls_config), *options, *ON_CPU])
    figures = json.loads(out.read_text())
    assert figures["seeds"] == [5, 6]
    assert [read_checkpoint(tmp_path / f"seed{seed}" / "last.pth")["seed"] for seed in (5, 6)] == [5, 6]
    first, second = figures["test/top1_error"]
    mean, deviation = (first + second) / 2, abs(first - second) / 2**0.5
    line = f"best {min(first, second):.2f} (mean {mean:.2f} +- {deviation:.2f}, 2 runs)"
    assert line in capsys.readouterr().out
