"""resdet eval-loc: figures, files and ensembles, from a classifier to the rows of Table 13 (App. C)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.commands import ON_CPU, call, error_line, eval_loc, inspect_data, train_loc
from helpers.localizers import TWO_CLASSES, Trained, random_localizer
from helpers.paths import CONFIGS
from resdet.data.localization.files import read_kaggle
from resdet.engine.checkpoint import read_checkpoint, save_checkpoint
from resdet.engine.config import build
from resdet.engine.run import Run
from resdet.recipes.classification.evaluate import evaluate_classifier
from resdet.recipes.localization.score import score_files
from resdet.recipes.sections import load_config

SMALL_RCNN = """
rcnn.update(images=8, schedule=dict(type=Cosine, steps=2))
rcnn["settings"].update(size=32, positive_iou=0.1)  # of a net that knows nothing some boxes are positive all the same
rcnn["proposals"].update(count=5)
"""


def test_training_and_evaluation_give_the_rows_of_the_table(
    tmp_path: Path, loc_config: Path, loc_images: Path, loc_classifier: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    run, figures = tmp_path / "run", tmp_path / "train.json"
    call(train_loc, loc_config, "--work-dir", run, "--init-from", loc_classifier.checkpoint, *ON_CPU, "--json", figures)
    error = json.loads(figures.read_text())["test/localization_error"]
    assert f"test/localization_error {error:.2f}" in capsys.readouterr().out
    assert "tensors of conv1..conv5 matched; new: objectness.*, deltas.*; unused: fc.*" in (run / "run.log").read_text()
    assert read_checkpoint(run / "last.pth")["classes"] == ["n01", "n02"]
    assert (run / "1_rpn/last.pth").read_bytes() == (run / "last.pth").read_bytes()
    assert (run / "page.html").is_file()
    assert sorted(p.name for p in (run / "pictures").iterdir()) == ["best.jpg", "worst.jpg"]

    out = ["--json", tmp_path / "eval.json", "--write-predictions", tmp_path / "p.csv", "--pictures", tmp_path / "pics"]
    classes = ["--classifier", *loc_classifier, "--classifier-views", "dense"]
    views = ["--views", "1-crop", "dense", "--flip"]
    call(eval_loc, loc_config, "--checkpoint", run / "last.pth", *views, *classes, *out, *ON_CPU)
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

    files = ["--predictions", tmp_path / "p.csv", "--ground-truth", loc_images / "LOC_val_solution.csv"]
    call(eval_loc, *files, "--json", tmp_path / "files.json")
    assert json.loads((tmp_path / "files.json").read_text())["p.csv"] == {
        **{name: figure for name, figure in last.items() if name != "error_by_share"},
        "difference": None, "standard_error": None,
    }  # fmt: skip


def test_the_classifier_of_the_configs_section_is_tested_as_the_section_says(
    tmp_path: Path, loc_config: Path, random_rpn: Path, loc_classifier: Trained
) -> None:
    """`--classifier` alone takes its nets; with nets of the command line its views and scales count as well."""
    own, (config, checkpoint) = tmp_path / "tiny_own.py", loc_classifier
    section = f"classifier = dict(nets=[({str(config)!r}, {str(checkpoint)!r})], views='dense', scales=(224, 320))"
    own.write_text(f"{loc_config.read_text()}\n{section}\n")
    dense = tmp_path / "dense_cls.py"
    dense.write_text(config.read_text().replace("workers=0,", "workers=0, scales=(224, 320),"))
    dense_views = ["--classifier-views", "dense"]
    given = {
        "section": [own, "--checkpoint", random_rpn, "--classifier"],
        "nets": [own, "--checkpoint", random_rpn, "--classifier", *loc_classifier],
        "views": [loc_config, "--checkpoint", random_rpn, *dense_views, "--classifier", dense, checkpoint],
    }
    for name, words in given.items():
        call(eval_loc, *words, "--write-predictions", tmp_path / f"{name}.csv", *ON_CPU)
    texts = [(tmp_path / f"{name}.csv").read_text() for name in given]
    assert texts[0] == texts[1] == texts[2]
    assert json.loads((tmp_path / "nets.csv.about.json").read_text())["holds"] == "1-crop, top-2"


def test_a_config_that_names_no_classifier_says_so(
    loc_config: Path, random_rpn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = error_line(eval_loc, [loc_config, "--checkpoint", random_rpn, *ON_CPU, "--classifier"], capsys)
    assert "names no classifier: give --classifier CONFIG F" in error


def test_without_a_config_the_embedded_dataset_is_trained_on_once_and_tabulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make demo-loc` at small size: drawn pictures, a classifier, a localizer and its R-CNN stage, the baseline."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(CONFIGS, "configs")
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
    train_loc(ON_CPU)
    classifier, run = Path("runs/shapes_cls/last.pth"), Path("runs/shapes_loc_rcnn")
    before = classifier.read_bytes()
    train_loc([*ON_CPU, "--resume"])
    assert classifier.read_bytes() == before
    call(train_loc, "shapes_loc_pcr", *ON_CPU)
    assert read_checkpoint("runs/shapes_loc_pcr/1_regression/last.pth")["step"] == 2
    classes = ["--classifier", "shapes_cls", classifier, "--classifier-views", "dense"]
    views = ["--views", "1-crop", "dense", "--pictures", "--json", "rows.json"]
    stages = ["--checkpoint", run / "last.pth", "--rcnn", run / "3_rcnn/last.pth"]
    call(eval_loc, "shapes_loc_rcnn", *stages, *classes, *views, *ON_CPU)
    rows = ["dense", "RPN + R-CNN, dense", "RPN + R-CNN (odds), dense", "RPN + R-CNN (keep), dense"]
    assert list(json.loads(Path("rows.json").read_text()))[-4:] == [f"{row}, top-5" for row in rows]
    assert sorted(p.name for p in (run / "eval_pictures").iterdir()) == ["best.jpg", "worst.jpg"]


def test_the_error_after_training_is_the_one_of_eval_loc(tmp_path: Path, loc_config: Path) -> None:
    for name in ("train", "eval"):
        command = (
            [loc_config, "--work-dir", tmp_path]
            if name == "train"
            else [loc_config, "--checkpoint", tmp_path / "last.pth"]
        )
        main = train_loc if name == "train" else eval_loc
        call(main, *command, *ON_CPU, "--json", tmp_path / f"{name}.json")
    trained, tested = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("train", "eval"))
    assert trained["test/localization_error"] == tested["1-crop, true class"]["localization_error"]


def test_submissions_in_ilsvrcs_form_respect_excluded_images(
    tmp_path: Path, loc_config: Path, loc_images: Path, random_rpn: Path, loc_classifier: Trained
) -> None:
    (tmp_path / "excluded.txt").write_text("2\nILSVRC2012_val_00000005\n")
    form = ["--class-ids", loc_images / "map_clsloc.txt", "--excluded", tmp_path / "excluded.txt"]
    out = ["--write-predictions", tmp_path / "p.txt", "--json", tmp_path / "a.json"]
    command = [loc_config, "--checkpoint", random_rpn, "--classifier", *loc_classifier, *ON_CPU]
    call(eval_loc, *command, *form, *out)
    lines = (tmp_path / "p.txt").read_text().splitlines()
    assert (len(lines), {len(line.split()) for line in lines}) == (7, {25})
    files = ["--predictions", tmp_path / "p.txt", "--ground-truth", loc_images / "LOC_val_solution.csv"]
    call(eval_loc, *files, *form, "--json", tmp_path / "b.json")
    a, b = (json.loads((tmp_path / f"{n}.json").read_text()) for n in "ab")
    assert (a["images"], a["counted"], b["counted"]) == (7, 5, 5)
    for name in ("localization_error", "top1_localization_error", "top5_error", "top1_error"):
        assert a["1-crop, top-2"][name] == b["p.txt"][name]


def test_without_a_list_images_are_ordered_by_name(
    tmp_path: Path, loc_config: Path, loc_images: Path, random_rpn: Path
) -> None:
    for name in ("LOC_val_solution.csv", "LOC_synset_mapping.txt"):
        shutil.copyfile(loc_images / name, tmp_path / name)
    form = ["--class-ids", loc_images / "map_clsloc.txt"]
    out = ["--write-predictions", tmp_path / "p.txt", "--json", tmp_path / "a.json"]
    call(eval_loc, loc_config, "--checkpoint", random_rpn, *ON_CPU, *form, *out)
    files = ["--predictions", tmp_path / "p.txt", "--ground-truth", tmp_path / "LOC_val_solution.csv"]
    call(eval_loc, *files, *form, "--json", tmp_path / "b.json")
    a, b = (json.loads((tmp_path / f"{n}.json").read_text()) for n in "ab")
    assert a["1-crop, true class"]["localization_error"] == b["p.txt"]["localization_error"]


@pytest.mark.parametrize(
    "listed",
    [
        "{0} 1\r\n{1} 2\r\n",
        "\ufeff{0} 1\n{1} 2\n",
        "\n{0}\n\n{1}\n",
        "sub\\{0} 1\nsub/{1} 2\n",
        "{0}.JPEG 1\n{1}.JPEG 2\n",
    ],
)
def test_a_list_of_images_may_be_written_as_on_windows(tmp_path: Path, listed: str) -> None:
    ids, header = ["ILSVRC2012_val_00000002", "ILSVRC2012_val_00000001"], "ImageId,PredictionString\n"
    (tmp_path / "LOC_synset_mapping.txt").write_text("n01440764 tench\nn01443537 goldfish\n")
    rows = "".join(f"{name},n01440764 0 0 9 9\n" for name in ids)
    for name in ("LOC_val_solution.csv", "p.csv"):
        (tmp_path / name).write_text(header + rows)
    (tmp_path / "val.txt").write_bytes(listed.format(*ids).encode())
    found = score_files(tmp_path / "p.csv", tmp_path / "LOC_val_solution.csv", image_list=tmp_path / "val.txt")
    assert list(found.ids) == ids


def test_several_localizers_have_a_row_each_and_one_together(
    tmp_path: Path, loc_config: Path, random_rpn: Path
) -> None:
    other = random_localizer(loc_config, tmp_path / "b.pth", seed=1)
    views = ["--views", "dense", "--scales", 224, 256]
    for name, rest in (("two", ["--net", loc_config, other]), ("same", ["--net", loc_config, random_rpn])):
        command = [loc_config, "--checkpoint", random_rpn, *rest, *views, *ON_CPU]
        call(
            eval_loc,
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
        eval_loc,
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
        call(eval_loc, *command, *given, *out)
    ids = [f"ILSVRC2012_val_{i:08}" for i in range(1, 8)]
    boxes = {name: read_kaggle(tmp_path / f"{name}.csv", ids, ["n01", "n02"]).boxes[:, 0] for name in ways}
    np.testing.assert_array_equal(boxes["flag"], boxes["config"])
    np.testing.assert_allclose(boxes["alone"], boxes["off"], atol=1e-3)  # only the best box is equal to itself
    assert np.abs(boxes["flag"] - boxes["off"]).max(1).min() > 0.1
    for name, row in (("off", "dense with flips, true class"), ("config", "dense with flips and voting, true class")):
        assert list(json.loads((tmp_path / f"{name}.json").read_text()))[-1] == row
    assert "--vote: '1.5'; wanted: a number, above 0, at most 1" in error_line(
        eval_loc, [*command, "--vote", 1.5], capsys
    )


def test_classifiers_of_several_nets_form_an_ensemble(
    tmp_path: Path, loc_config: Path, random_rpn: Path, loc_classifier: Trained
) -> None:
    deep = tmp_path / "deep_cls.py"
    deep.write_text(loc_classifier.config.read_text().replace("depth=18", "depth=34"))
    torch.manual_seed(3)
    net = build(load_config(deep).net)
    torch.nn.init.normal_(net.fc.weight, std=20)  # surer than the other, of other things
    save_checkpoint(
        tmp_path / "deep.pth", {"model": {f"net.{k}": v for k, v in net.state_dict().items()}, **TWO_CLASSES}
    )
    lists = {"one": loc_classifier, "both": [*loc_classifier, "--classifier-net", deep, tmp_path / "deep.pth"]}
    lists["deep"] = [deep, tmp_path / "deep.pth"]
    for name, given in lists.items():
        out = ["--write-predictions", tmp_path / f"{name}.csv"]
        call(eval_loc, loc_config, "--checkpoint", random_rpn, "--classifier", *given, *out, *ON_CPU)
    ids = [f"ILSVRC2012_val_{i:08}" for i in range(1, 8)]
    first = {name: read_kaggle(tmp_path / f"{name}.csv", ids, ["n01", "n02"]).labels[:, 0] for name in lists}
    cfgs = [load_config(lists[name][0]) for name in ("one", "deep")]
    nets = list(zip(cfgs, (loc_classifier.checkpoint, tmp_path / "deep.pth"), strict=True))
    run = Run(tmp_path, torch.device("cpu"), "fp32")
    mean = evaluate_classifier(cfgs[0], run, nets, ["center"]).scores["center"]
    np.testing.assert_array_equal(first["both"], mean.argmax(1))
    assert (first["both"] != first["one"]).any()


def test_predictions_are_written_for_a_dataset_without_truth(
    editable: tuple[Path, Path], tmp_path: Path, loc_classifier: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    config, images = editable
    data, lists = images / "ILSVRC/Data/CLS-LOC", images / "ILSVRC/ImageSets/CLS-LOC"
    shutil.copytree(data / "val", data / "test")  # the same images: what is known of val must not matter
    shutil.copyfile(lists / "val.txt", lists / "test.txt")
    checkpoint, test = random_localizer(config, tmp_path / "a.pth"), ["--cfg-options", "data.test.image_set=test"]
    command = [config, "--checkpoint", checkpoint, "--classifier", *loc_classifier, *ON_CPU]
    for name, more in (("val", []), ("test", test)):
        written = ["--write-predictions", tmp_path / f"{name}.txt", "--class-ids", images / "map_clsloc.txt"]
        capsys.readouterr()
        call(eval_loc, *command, *written, "--json", tmp_path / f"{name}.json", *more)
    assert "7 images without truth: no errors to compute" in capsys.readouterr().out
    assert json.loads((tmp_path / "test.json").read_text()) == {"images": 7}
    assert (tmp_path / "test.txt").read_text() == (tmp_path / "val.txt").read_text()

    needs = "has no truth to compare with: give --classifier CONFIG F"
    out = ["--write-predictions", tmp_path / "p.csv"]
    assert needs in error_line(eval_loc, [config, "--checkpoint", checkpoint, *ON_CPU, *out, *test], capsys)
    assert needs in error_line(eval_loc, [*command, *test], capsys)
    assert "leave out --pictures" in error_line(eval_loc, [*command, *out, *test, "--pictures"], capsys)
    train = [config, "--work-dir", tmp_path / "run", *ON_CPU]
    assert "the boxes of 'test' are not public" in error_line(train_loc, [*train, *test], capsys)
    call(inspect_data, config, "--out", tmp_path / "seen", *test)
    assert "test: 7 images without labels" in capsys.readouterr().out
