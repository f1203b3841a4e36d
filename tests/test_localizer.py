"""Localization as people use it (App. C): train, test as Table 13 does, files that score the same, mistakes named."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from resdet.cli import benchmark, eval_loc, inspect_data, train_cls, train_loc
from resdet.data.classification.imagenet import ImageNetDataset
from resdet.data.embedded.localization import ShapesLocalization
from resdet.data.localization.crops import CenterLocalizationCrop, WholeLocalizationImage
from resdet.data.localization.dataset import LocalizationDataset
from resdet.data.localization.files import read_kaggle
from resdet.data.localization.loading import localization_views_loader
from resdet.engine.checkpoint import read_checkpoint, save_checkpoint
from resdet.engine.config import build, load_config
from resdet.engine.log import read_scalars
from resdet.engine.run import Run
from resdet.errors import UserError
from resdet.metrics.localization_error import Guesses, best_overlaps
from resdet.recipes.classification.evaluate import evaluate_classifier
from test_processes import together
from tiny import CLASSIFIER, write_cls_loc, write_localizer_config

ON_CPU = ["--device", "cpu", "--precision", "fp32"]
SMALL_RCNN = """
rcnn.update(images=8, schedule=dict(type=Cosine, steps=2))
rcnn["settings"].update(size=32, positive_iou=0.1)  # of a net that knows nothing some boxes are positive all the same
rcnn["proposals"].update(count=5)
"""
TWO = {"classes": ["n01", "n02"]}
Main = Callable[[list[str] | None], None]


def call(main: Main, *arguments: object) -> None:
    main([str(a) for a in arguments])


def refused(main: Main, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line on stderr, with exit code 2."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        call(main, *arguments)
    error = capsys.readouterr().err
    assert (caught.value.code, error.count("\n")) == (2, 1), error
    return error


def random_localizer(config: Path, path: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    model = build(load_config(config).model)
    save_checkpoint(path, {"model": model.state_dict(), **TWO})
    return path


@pytest.fixture(scope="module")
def images(loc_config: Path) -> Path:
    return loc_config.parent / "images"


@pytest.fixture(scope="module")
def random_rpn(loc_config: Path) -> Path:
    return random_localizer(loc_config, loc_config.parent / "random.pth")


@pytest.fixture(scope="module")
def classifier(loc_config: Path, images: Path) -> tuple[Path, Path]:
    """A config for the same images, and a trained checkpoint."""
    config = loc_config.parent / "own_cls.py"
    config.write_text(CLASSIFIER.format(root=str(images)))
    run = loc_config.parent / "cls"
    call(train_cls.main, config, "--work-dir", run, *ON_CPU)
    return config, run / "last.pth"


@pytest.fixture(scope="module")
def regression(loc_config: Path) -> Path:
    path = loc_config.parent / "tiny_pcr.py"
    model = "model = dict(type=CropRegression, net=NET, num_classes=2)"
    path.write_text(re.sub(r"model = dict\(.*?\n\)\)", model, loc_config.read_text(), flags=re.DOTALL))
    return path


# From a classifier to the tables -------------------------------------------------------------------------------------


def test_the_whole_chain(
    tmp_path: Path, loc_config: Path, images: Path, classifier: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run, figures = tmp_path / "run", tmp_path / "train.json"
    call(train_loc.main, loc_config, "--work-dir", run, "--init-from", classifier[1], *ON_CPU, "--json", figures)
    error = json.loads(figures.read_text())["test/localization_error"]
    assert f"test/localization_error {error:.2f}" in capsys.readouterr().out
    assert "tensors of conv1..conv5 matched; new: objectness.*, deltas.*; unused: fc.*" in (run / "run.log").read_text()
    assert read_checkpoint(run / "last.pth")["classes"] == ["n01", "n02"]
    assert (run / "1_rpn/last.pth").read_bytes() == (run / "last.pth").read_bytes()
    assert (run / "page.html").is_file()
    assert sorted(p.name for p in (run / "pictures").iterdir()) == ["best.jpg", "worst.jpg"]

    out = ["--json", tmp_path / "eval.json", "--write-predictions", tmp_path / "p.csv", "--pictures", tmp_path / "pics"]
    classes = ["--classifier", *classifier, "--classifier-views", "dense"]
    views = ["--views", "1-crop", "dense", "--flip"]
    call(eval_loc.main, loc_config, "--checkpoint", run / "last.pth", *views, *classes, *out, *ON_CPU)
    rows = json.loads((tmp_path / "eval.json").read_text())
    names = ["1-crop with flips", "dense with flips"]
    top = [f"{name}, top-2" for name in names]  # there are but two classes
    assert list(rows) == ["images", "counted", "whole-image box", *(f"{name}, true class" for name in names), *top]
    assert (rows["images"], rows["counted"], rows["whole-image box"]["difference"]) == (7, 7, None)
    by_share = rows["whole-image box"]["error_by_share"]
    assert set(by_share[:3]) <= {100, None}
    assert set(by_share[3:]) <= {0, None}
    assert "by the largest object's share of the image" in capsys.readouterr().out
    last = rows["dense with flips, top-2"]
    above = rows["1-crop with flips, top-2"]["localization_error"]
    assert last["difference"] == pytest.approx(last["localization_error"] - above)
    assert last["top5_error"] == 0  # both classes are guessed
    assert last["localization_error"] <= last["top1_localization_error"]
    assert sorted(p.name for p in (tmp_path / "pics").iterdir()) == ["best.jpg", "worst.jpg"]

    files = ["--predictions", tmp_path / "p.csv", "--ground-truth", images / "LOC_val_solution.csv"]
    call(eval_loc.main, *files, "--json", tmp_path / "files.json")
    assert json.loads((tmp_path / "files.json").read_text())["p.csv"] == {
        **{name: figure for name, figure in last.items() if name != "error_by_share"},
        "difference": None, "standard_error": None,
    }  # fmt: skip


def test_without_a_config_the_embedded_set_s_classifier_is_trained_once_and_the_table_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make demo-loc` at small size: drawn pictures, a classifier, a localizer and its R-CNN stage, the baseline."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(Path(__file__).resolve().parents[1] / "configs", "configs")
    few = "data['{}'].update(train=16, val=8)\n"
    small = "schedule = dict(type=Cosine, steps=2)\ndata.update(images=8, workers=0)\n"
    for name, more in (
        ("shapes_cls", "net.update(width=0.125)\nprecise_bn.update(images=16)\n"),
        ("shapes_loc", "model['net'].update(width=0.125)\nmodel['settings'].update(hidden=8)\n"),
        ("shapes_loc_pcr", "model['net'].update(width=0.125)\n"),
    ):
        path = Path("configs") / f"{name}.py"
        path.write_text(path.read_text() + small + more + few.format("train") + few.format("test"))
    rcnn = Path("configs/shapes_loc_rcnn.py")
    rcnn.write_text(rcnn.read_text() + SMALL_RCNN)
    monkeypatch.setattr("resdet.engine.config.packaged_configs", lambda: tmp_path / "configs")
    train_loc.main(ON_CPU)
    classifier, run = Path("runs/shapes_cls/last.pth"), Path("runs/shapes_loc_rcnn")
    before = classifier.read_bytes()
    train_loc.main([*ON_CPU, "--resume"])
    assert classifier.read_bytes() == before
    call(train_loc.main, "shapes_loc_pcr", *ON_CPU)
    assert read_checkpoint("runs/shapes_loc_pcr/1_regression/last.pth")["step"] == 2
    classes = ["--classifier", "shapes_cls", classifier, "--classifier-views", "dense"]
    views = ["--views", "1-crop", "dense", "--pictures", "--json", "rows.json"]
    stages = ["--checkpoint", run / "last.pth", "--rcnn", run / "3_rcnn/last.pth"]
    call(eval_loc.main, "shapes_loc_rcnn", *stages, *classes, *views, *ON_CPU)
    assert list(json.loads(Path("rows.json").read_text()))[-2:] == ["dense, top-5", "RPN + R-CNN, dense, top-5"]
    assert sorted(p.name for p in (run / "eval_pictures").iterdir()) == ["best.jpg", "worst.jpg"]


def test_training_by_crop_error_is_what_eval_loc_finds(tmp_path: Path, loc_config: Path) -> None:
    for name in ("train", "eval"):
        command = (
            [loc_config, "--work-dir", tmp_path]
            if name == "train"
            else [loc_config, "--checkpoint", tmp_path / "last.pth"]
        )
        main = train_loc.main if name == "train" else eval_loc.main
        call(main, *command, *ON_CPU, "--json", tmp_path / f"{name}.json")
    trained, tested = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("train", "eval"))
    assert trained["test/localization_error"] == tested["1-crop, true class"]["localization_error"]


def test_ilsvrc_s_form_and_the_excluded_images(
    tmp_path: Path, loc_config: Path, images: Path, random_rpn: Path, classifier: tuple[Path, Path]
) -> None:
    (tmp_path / "excluded.txt").write_text("2\nILSVRC2012_val_00000005\n")
    form = ["--class-ids", images / "map_clsloc.txt", "--excluded", tmp_path / "excluded.txt"]
    out = ["--write-predictions", tmp_path / "p.txt", "--json", tmp_path / "a.json"]
    command = [loc_config, "--checkpoint", random_rpn, "--classifier", *classifier, *ON_CPU]
    call(eval_loc.main, *command, *form, *out)
    lines = (tmp_path / "p.txt").read_text().splitlines()
    assert (len(lines), {len(line.split()) for line in lines}) == (7, {25})
    files = ["--predictions", tmp_path / "p.txt", "--ground-truth", images / "LOC_val_solution.csv"]
    call(eval_loc.main, *files, *form, "--json", tmp_path / "b.json")
    a, b = (json.loads((tmp_path / f"{n}.json").read_text()) for n in "ab")
    assert (a["images"], a["counted"], b["counted"]) == (7, 5, 5)
    for name in ("localization_error", "top1_localization_error", "top5_error", "top1_error"):
        assert a["1-crop, top-2"][name] == b["p.txt"][name]


def test_without_a_list_images_are_in_the_order_of_their_names(
    tmp_path: Path, loc_config: Path, images: Path, random_rpn: Path
) -> None:
    for name in ("LOC_val_solution.csv", "LOC_synset_mapping.txt"):
        shutil.copyfile(images / name, tmp_path / name)
    form = ["--class-ids", images / "map_clsloc.txt"]
    out = ["--write-predictions", tmp_path / "p.txt", "--json", tmp_path / "a.json"]
    call(eval_loc.main, loc_config, "--checkpoint", random_rpn, *ON_CPU, *form, *out)
    files = ["--predictions", tmp_path / "p.txt", "--ground-truth", tmp_path / "LOC_val_solution.csv"]
    call(eval_loc.main, *files, *form, "--json", tmp_path / "b.json")
    a, b = (json.loads((tmp_path / f"{n}.json").read_text()) for n in "ab")
    assert a["1-crop, true class"]["localization_error"] == b["p.txt"]["localization_error"]


def test_of_several_localizers_each_has_a_row_and_all_together(
    tmp_path: Path, loc_config: Path, random_rpn: Path
) -> None:
    other = random_localizer(loc_config, tmp_path / "b.pth", seed=1)
    views = ["--views", "dense", "--scales", 224, 256]
    for name, rest in (("two", ["--net", loc_config, other]), ("same", ["--net", loc_config, random_rpn])):
        command = [loc_config, "--checkpoint", random_rpn, *rest, *views, *ON_CPU]
        call(
            eval_loc.main,
            *command,
            "--json",
            tmp_path / f"{name}.json",
            "--write-predictions",
            tmp_path / f"{name}.csv",
        )
    rows = json.loads((tmp_path / "two.json").read_text())
    paths = [f"dense, true class, {path}" for path in (random_rpn, other)]
    assert list(rows)[2:] == ["whole-image box", *paths, "dense, true class, all 2"]
    call(
        eval_loc.main,
        loc_config,
        "--checkpoint",
        random_rpn,
        *views,
        *ON_CPU,
        "--write-predictions",
        tmp_path / "one.csv",
    )
    assert (tmp_path / "same.csv").read_text() == (tmp_path / "one.csv").read_text()  # a net agrees with itself
    assert (tmp_path / "two.csv").read_text() != (tmp_path / "one.csv").read_text()


def test_boxes_of_all_views_can_vote(
    tmp_path: Path, loc_config: Path, random_rpn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [loc_config, "--checkpoint", random_rpn, "--views", "dense", "--flip", *ON_CPU]
    ways = {"off": [], "flag": ["--vote", 0.5], "config": ["--cfg-options", "data.vote=0.5"], "alone": ["--vote", 1]}
    for name, given in ways.items():
        out = ["--json", tmp_path / f"{name}.json", "--write-predictions", tmp_path / f"{name}.csv"]
        call(eval_loc.main, *command, *given, *out)
    ids = [f"ILSVRC2012_val_{i:08}" for i in range(1, 8)]
    boxes = {name: read_kaggle(tmp_path / f"{name}.csv", ids, ["n01", "n02"]).boxes[:, 0] for name in ways}
    np.testing.assert_array_equal(boxes["flag"], boxes["config"])
    np.testing.assert_allclose(boxes["alone"], boxes["off"], atol=1e-3)  # only the best box is equal to itself
    assert np.abs(boxes["flag"] - boxes["off"]).max(1).min() > 0.1
    for name, row in (("off", "dense with flips, true class"), ("config", "dense with flips and voting, true class")):
        assert list(json.loads((tmp_path / f"{name}.json").read_text()))[-1] == row
    assert "vote 1.5: give an IoU" in refused(eval_loc.main, capsys, *command, "--vote", 1.5)


def test_classifiers_of_several_nets_name_the_classes_together(
    tmp_path: Path, loc_config: Path, random_rpn: Path, classifier: tuple[Path, Path]
) -> None:
    deep = tmp_path / "deep_cls.py"
    deep.write_text(classifier[0].read_text().replace("depth=18", "depth=34"))
    torch.manual_seed(3)
    net = build(load_config(deep).net)
    torch.nn.init.normal_(net.fc.weight, std=20)  # surer than the other, of other things
    save_checkpoint(tmp_path / "deep.pth", {"model": {f"net.{k}": v for k, v in net.state_dict().items()}, **TWO})
    lists = {"one": classifier, "both": [*classifier, "--classifier-net", deep, tmp_path / "deep.pth"]}
    lists["deep"] = [deep, tmp_path / "deep.pth"]
    for name, given in lists.items():
        out = ["--write-predictions", tmp_path / f"{name}.csv"]
        call(eval_loc.main, loc_config, "--checkpoint", random_rpn, "--classifier", *given, *out, *ON_CPU)
    ids = [f"ILSVRC2012_val_{i:08}" for i in range(1, 8)]
    first = {name: read_kaggle(tmp_path / f"{name}.csv", ids, ["n01", "n02"]).labels[:, 0] for name in lists}
    cfgs = [load_config(lists[name][0]) for name in ("one", "deep")]
    nets = list(zip(cfgs, (classifier[1], tmp_path / "deep.pth"), strict=True))
    run = Run(tmp_path, torch.device("cpu"), "fp32")
    mean = evaluate_classifier(cfgs[0], run, nets, ["center"]).scores["center"]
    np.testing.assert_array_equal(first["both"], mean.argmax(1))
    assert (first["both"] != first["one"]).any()


def test_of_a_set_without_truth_the_classifiers_guesses_are_written(
    own: tuple[Path, Path], tmp_path: Path, classifier: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    config, images = own
    data, lists = images / "ILSVRC/Data/CLS-LOC", images / "ILSVRC/ImageSets/CLS-LOC"
    shutil.copytree(data / "val", data / "test")  # the same images: what is known of val must not matter
    shutil.copyfile(lists / "val.txt", lists / "test.txt")
    checkpoint, test = random_localizer(config, tmp_path / "a.pth"), ["--cfg-options", "data.test.image_set=test"]
    command = [config, "--checkpoint", checkpoint, "--classifier", *classifier, *ON_CPU]
    for name, more in (("val", []), ("test", test)):
        written = ["--write-predictions", tmp_path / f"{name}.txt", "--class-ids", images / "map_clsloc.txt"]
        capsys.readouterr()
        call(eval_loc.main, *command, *written, "--json", tmp_path / f"{name}.json", *more)
    assert "7 images without truth: no errors to compute" in capsys.readouterr().out
    assert json.loads((tmp_path / "test.json").read_text()) == {"images": 7}
    assert (tmp_path / "test.txt").read_text() == (tmp_path / "val.txt").read_text()

    needs = "has no truth to compare with: give --classifier CONFIG F"
    out = ["--write-predictions", tmp_path / "p.csv"]
    assert needs in refused(eval_loc.main, capsys, config, "--checkpoint", checkpoint, *ON_CPU, *out, *test)
    assert needs in refused(eval_loc.main, capsys, *command, *test)
    assert "leave out --pictures" in refused(eval_loc.main, capsys, *command, *out, *test, "--pictures")
    train = [config, "--work-dir", tmp_path / "run", *ON_CPU]
    assert "boxes of 'test' are not public" in refused(train_loc.main, capsys, *train, *test)
    call(inspect_data.main, config, "--out", tmp_path / "seen", *test)
    assert "test: 7 images without labels" in capsys.readouterr().out


def test_the_baseline_trains_and_is_tested_by_one_crop(
    tmp_path: Path, regression: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call(train_loc.main, regression, "--work-dir", tmp_path, *ON_CPU, "--json", tmp_path / "train.json")
    assert read_checkpoint(tmp_path / "1_regression/last.pth")["step"] == 6
    last = tmp_path / "last.pth"
    call(eval_loc.main, regression, "--checkpoint", last, *ON_CPU, "--json", tmp_path / "eval.json")
    trained, tested = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("train", "eval"))
    assert trained["test/localization_error"] == tested["1-crop, true class"]["localization_error"]
    dense = refused(eval_loc.main, capsys, regression, "--checkpoint", last, "--views", "dense", *ON_CPU)
    assert "no score to choose by" in dense


# Resuming and processes ----------------------------------------------------------------------------------------------


def test_a_finished_stage_is_not_redone_and_more_steps_go_on(tmp_path: Path, loc_config: Path) -> None:
    command = [loc_config, "--work-dir", tmp_path, *ON_CPU]
    call(train_loc.main, *command)
    stage = tmp_path / "1_rpn/last.pth"
    before = stage.read_bytes()
    call(train_loc.main, *command, "--resume")
    assert stage.read_bytes() == before
    call(train_loc.main, *command, "--resume", "--cfg-options", "schedule.steps=8")
    log = (tmp_path / "run.log").read_text()
    assert "resumed at step 6 of 6" in log
    assert "resumed at step 6 of 8" in log
    assert [r["step"] for r in read_scalars(tmp_path / "1_rpn/scalars.json") if "loss" in r] == [2, 4, 6, 8]
    call(train_loc.main, *command)  # anew: the old stage does not count
    assert read_checkpoint(stage)["step"] == 6


def test_two_processes_localize_as_one(tmp_path: Path, loc_config: Path, random_rpn: Path) -> None:
    for world in (1, 2):
        out = ["--json", tmp_path / f"{world}.json", "--write-predictions", tmp_path / f"{world}.csv"]
        together(world, "eval_loc", loc_config, "--checkpoint", random_rpn, "--views", "1-crop", "dense", *out)
    one, two = (json.loads((tmp_path / f"{world}.json").read_text()) for world in (1, 2))
    assert one == two
    ids = [f"ILSVRC2012_val_{i:08}" for i in range(1, 8)]
    guesses = [read_kaggle(tmp_path / f"{world}.csv", ids, ["n01", "n02"]) for world in (1, 2)]
    np.testing.assert_array_equal(guesses[0].labels, guesses[1].labels)
    np.testing.assert_allclose(guesses[0].boxes, guesses[1].boxes, atol=1e-3)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_two_processes_have_the_gradient_of_one(accumulate: int, tmp_path: Path, loc_config: Path) -> None:
    options = ["schedule.steps=1", f"loop.accumulate={accumulate}", "data.images=8", "optimizer.lr=1"]
    options += ["optimizer.reference_images=8", "optimizer.weight_decay=0", "model.settings.frozen_bn=True"]
    for world in (1, 2):
        together(world, "train_loc", loc_config, "--work-dir", tmp_path / str(world), "--cfg-options", *options)
    one, two = (read_checkpoint(tmp_path / n / "last.pth")["model"] for n in "12")
    assert one["deltas.bias"].abs().max() > 1e-3
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=0, atol=1e-5, msg=name)


def test_a_new_run_leaves_no_checkpoint_of_an_older_one(
    own: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, images = own
    run = tmp_path / "run"
    command = [config, "--work-dir", run, *ON_CPU]
    best = ["--cfg-options", "loop.best=test/localization_error"]
    call(train_loc.main, *command, *best)
    files = [folder / name for folder in (run, run / "1_rpn") for name in ("last.pth", "best.pth")]
    assert all(path.is_file() for path in files)
    assert "none.pth" in refused(train_loc.main, capsys, *command, "--init-from", "none.pth")
    for path in files:  # nothing was trained: the older run stays
        assert read_checkpoint(path)["step"] == 6
        assert "is the run's own" in refused(train_loc.main, capsys, *command, "--init-from", path)
    (images / "ILSVRC/Data/CLS-LOC/train/n02/n02_1.JPEG").unlink()
    assert "no such image" in refused(train_loc.main, capsys, *command)  # it dies in its first stage
    assert not any(path.is_file() for path in files)


# Data ----------------------------------------------------------------------------------------------------------------


def test_views_of_an_image_stay_together_whatever_their_shapes(images: Path) -> None:
    val = LocalizationDataset(images, "val")
    views = [WholeLocalizationImage(20), CenterLocalizationCrop(16), WholeLocalizationImage(30)]
    seen = []
    for batches in localization_views_loader(val, views, np.arange(len(val)), size=3, workers=0):
        indices = [batch.indices.tolist() for batch in batches]
        assert indices[0] == indices[1] == indices[2]
        assert [min(batch.images.shape[2:]) for batch in batches] == [20, 16, 30]
        for batch in batches[::2]:
            boxes = batch.in_images(batch.boxes)
            for i, index in enumerate(batch.indices.tolist()):
                np.testing.assert_allclose(boxes[i][batch.mask[i]], val.boxes_of(index), atol=1e-4)
        seen += indices[0]
    assert sorted(seen) == list(range(7))


def test_the_embedded_set_has_a_box_for_nine_of_ten_training_images(tmp_path: Path) -> None:
    options = {"root": tmp_path / "shapes", "train": 40, "val": 16}
    train = ShapesLocalization(image_set="train", with_boxes=True, **options)
    val = ShapesLocalization(image_set="val", **options)
    assert (len(train), len(val), len(val.truth().boxes)) == (36, 16, 16)
    assert np.bincount(val.labels).tolist() == [2] * 8
    for index in range(len(val)):
        image, _, (box,), _ = val[index]
        height, width = image.shape[:2]
        assert (box[:2] >= 0).all()
        assert (box[2:] <= [width, height]).all()
        assert 0.2 < np.sqrt((box[2:] - box[:2]).prod() / min(height, width) ** 2) < 1.1


def test_best_overlaps_are_of_each_guess_with_its_best_box(images: Path) -> None:
    truth = LocalizationDataset(images, "val").truth()
    order = np.argsort(truth.image)
    boxes = truth.boxes[order]
    shifted = boxes + np.array([0, 0, 0, 1]) * (boxes[:, 3:] - boxes[:, 1:2])  # twice as high
    guesses = Guesses(np.tile([0, 1, -1], (7, 1)), np.stack([boxes, shifted, boxes], 1))
    np.testing.assert_allclose(best_overlaps(guesses, truth), np.tile([1, 0.5, 0], (7, 1)))


def test_inspect_data_shows_what_a_localizer_has(
    tmp_path: Path, loc_config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call(inspect_data.main, loc_config, "--out", tmp_path)
    printed = capsys.readouterr().out
    assert "train: 11 images of 2 classes" in printed
    assert re.search(r"test: 7 boxes, 0 images have none; square root of the area \d+\.\.\d+ pixels", printed)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["test.jpg", "train.jpg"]
    options = ["--cfg-options", "data.train.with_boxes=False"]
    call(inspect_data.main, loc_config, "--out", tmp_path, *options)
    assert "train: 11 boxes, 1 images have none" in capsys.readouterr().out


# Mistakes ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> tuple[Path, Path]:
    """A config and its images, to be spoilt."""
    return write_localizer_config(tmp_path / "own_loc.py", write_cls_loc(tmp_path / "images")), tmp_path / "images"


def replace_in(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_solution_of_other_images(own: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, images = own
    solution = images / "LOC_val_solution.csv"
    checkpoint = random_localizer(config, tmp_path / "a.pth")
    command = [config, "--checkpoint", checkpoint, *ON_CPU, "--write-predictions", tmp_path / "p.csv"]
    call(eval_loc.main, *command)
    replace_in(solution, "val_00000003", "val_00000099")
    assert "has no row for image 'ILSVRC2012_val_00000003'" in refused(eval_loc.main, capsys, *command)
    files = ["--predictions", tmp_path / "p.csv", "--ground-truth", solution]
    assert "not of the same images: only one has 'ILSVRC2012_val_00000003'" in refused(eval_loc.main, capsys, *files)
    (images / "ILSVRC/ImageSets/CLS-LOC/val.txt").unlink()
    assert "image 'ILSVRC2012_val_00000003' is not in the list" in refused(eval_loc.main, capsys, *files)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ILSVRC2012_val_00000001,n01 1 1 9 9\n", r"first line is not 'ImageId,PredictionString'"),
        ("", r"first line is not 'ImageId,PredictionString'"),
        (
            "ImageId,PredictionString\nILSVRC2012_val_00000001,\n",
            r"csv:2: image 'ILSVRC2012_val_00000001' has no class",
        ),
        ("ImageId,PredictionString\n\nILSVRC2012_val_00000001\n", r"csv:3: image 'ILSVRC2012_val_00000001' has no cl"),
    ],
)
def test_a_solution_without_header_or_answer(text: str, message: str, own: tuple[Path, Path]) -> None:
    (own[1] / "LOC_val_solution.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        ImageNetDataset(own[1], "val")


def test_classes_that_differ(
    own: tuple[Path, Path], random_rpn: Path, classifier: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    config, images = own
    (images / "LOC_synset_mapping.txt").write_text("n02 bee\nn01 ant\n")
    differ = refused(eval_loc.main, capsys, config, "--checkpoint", random_rpn, *ON_CPU)
    assert "random.pth and data.test have different classes: 'n01' and 'n02'" in differ
    other = random_rpn.with_name("other.pth")
    save_checkpoint(other, {**read_checkpoint(random_rpn), "classes": ["n02", "n01"]})
    command = [config, "--checkpoint", other, "--classifier", *classifier, *ON_CPU]
    assert "last.pth and data.test have different classes" in refused(eval_loc.main, capsys, *command)
    (images / "LOC_synset_mapping.txt").write_text("n01 ant\nn02 bee\nn03 cow\n")
    three = refused(train_loc.main, capsys, config, "--work-dir", images.parent / "run", *ON_CPU)
    assert "model.num_classes is 2 but the data have 3 classes" in three


def test_images_without_boxes(own: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, images = own
    command = [config, "--work-dir", tmp_path / "run", *ON_CPU]
    some = refused(train_loc.main, capsys, *command, "--cfg-options", "data.train.with_boxes=False")
    assert "data.train: 1 of 12 images have no box (first: n01_0)" in some
    assert "set data.train.with_boxes=True" in some
    (images / "LOC_train_solution.csv").write_text("ImageId,PredictionString\n")
    assert "no image of 'train' has a box" in refused(train_loc.main, capsys, *command)


def test_checkpoints_and_configs_of_something_else(
    tmp_path: Path,
    loc_config: Path,
    random_rpn: Path,
    regression: Path,
    classifier: tuple[Path, Path],
    det_config: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def evaluated(config: Path, checkpoint: Path, *more: object) -> str:
        return refused(eval_loc.main, capsys, config, "--checkpoint", checkpoint, *ON_CPU, *more)

    assert "last.pth is no localizer; train one" in evaluated(loc_config, classifier[1])
    assert "random.pth is a per-class RPN, " in evaluated(regression, random_rpn)
    wide = ["--cfg-options", "model.net.width=0.25"]
    assert "random.pth does not fit " in evaluated(loc_config, random_rpn, *wide)
    assert "no such checkpoint" in evaluated(loc_config, tmp_path / "none.pth")
    assert "is no localizer (ClassRPN, CropRegression)" in evaluated(det_config, random_rpn)
    assert "'model' is not set, as in a config of a localizer" in evaluated(classifier[0], random_rpn)
    assert "give its checkpoints too" in evaluated(loc_config, random_rpn, "--classifier", classifier[0])
    cifar = ["--classifier", "cifar10_r20", classifier[1]]
    assert "classifies no photographs of any size" in evaluated(loc_config, random_rpn, *cifar)
    assert "'data.resizer' is not set" in refused(benchmark.main, capsys, loc_config, "--device", "cpu")
    assert "which localizer?" in refused(eval_loc.main, capsys, loc_config)
    assert "needs --ground-truth too" in refused(eval_loc.main, capsys, "--predictions", tmp_path / "p.csv")
    resumed = ["--work-dir", tmp_path, "--resume", random_rpn]
    assert "give --resume alone" in refused(train_loc.main, capsys, loc_config, *resumed)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("data.scales=[]", "data.scales is []: give short sides"),
        ("data.scales=[224,0]", "data.scales is [224, 0]: give short sides"),
        ("data.vote=2", "data.vote is 2: give an IoU"),
        ("data.train_view.size=64", "data.train_view.size is 64 at the end of training, data.test_view.size 32"),
        ("model.settings.scales=[]", "model.settings.scales is []: give one number above 0"),
        ("model.settings.ratios=[1,0]", "model.settings.ratios is [1, 0]: give one number above 0"),
        ("model.settings.hidden=0", "model.settings.hidden is 0: give a number of channels"),
        ("model.settings.anchors_per_image=0", "model.settings.anchors_per_image is 0"),
        ("model.settings.positive_fraction=1.5", "model.settings.positive_fraction is 1.5"),
        ("model.settings.negative_iou=0.8", "model.settings.negative_iou is 0.8, positive_iou 0.7"),
        ("model.settings.stage=conv3", "model.settings.stage is 'conv3'"),
    ],
)
def test_a_value_that_cannot_be_is_named(
    option: str, message: str, loc_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [loc_config, "--work-dir", tmp_path, *ON_CPU, "--cfg-options", option]
    assert message in refused(train_loc.main, capsys, *command)


def test_options_that_would_change_nothing_are_refused(
    loc_config: Path, random_rpn: Path, classifier: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    def evaluated(*more: object) -> str:
        return refused(eval_loc.main, capsys, loc_config, "--checkpoint", random_rpn, *ON_CPU, *more)

    assert "--scales are the dense test's" in evaluated("--scales", 224)
    assert "scales [-5]: give short sides" in evaluated("--views", "dense", "--scales", -5)
    assert "--classifier-views needs --classifier" in evaluated("--classifier-views", "center")
    assert "--classifier-net needs --classifier" in evaluated("--classifier-net", *classifier)
    twice = evaluated("--classifier", *classifier, "--classifier", *classifier)
    assert "--classifier is given twice: another config's is --classifier-net" in twice


def test_an_output_that_cannot_be_written_is_named_before_the_test(
    tmp_path: Path, loc_config: Path, images: Path, random_rpn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def evaluated(*more: object) -> str:
        broken = tmp_path / "broken.pth"  # a test would begin by reading it
        broken.write_bytes(b"no checkpoint")
        return refused(eval_loc.main, capsys, loc_config, "--checkpoint", broken, *ON_CPU, *more)

    assert "is not a checkpoint" in evaluated()
    for option in ("--json", "--write-predictions"):
        assert f"{option} {tmp_path} cannot be written" in evaluated(option, tmp_path)
        assert "cannot be made" in evaluated(option, random_rpn / "file.csv")
    assert "cannot be made" in evaluated("--pictures", random_rpn)
    submission = ["--write-predictions", tmp_path / "p.txt"]
    assert "name map_clsloc.txt by --class-ids" in evaluated(*submission)
    (tmp_path / "map.txt").write_text("n01 1 ant\n")
    assert "has no line 'n02 NUMBER NAME'" in evaluated(*submission, "--class-ids", tmp_path / "map.txt")
    assert "is not a checkpoint" in evaluated(*submission, "--class-ids", images / "map_clsloc.txt")


def test_a_set_without_boxes_is_named(
    own: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, _ = own
    text = config.read_text().replace(
        "from resdet.data.localization.dataset import",
        "from resdet.data.classification.imagenet import ImageNetDataset\nfrom resdet.data.localization.dataset import",
    )
    config.write_text(text.replace("test=dict(type=LocalizationDataset", "test=dict(type=ImageNetDataset"))
    error = refused(train_loc.main, capsys, config, "--work-dir", tmp_path / "run", *ON_CPU)
    assert "data.test is a ImageNetDataset, without boxes" in error
