"""User errors in files, configs and options of localization give a one-line error."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.commands import ON_CPU, benchmark, call, error_line, eval_loc, train_loc
from helpers.localizers import Trained, random_localizer
from resdet.data.classification.imagenet import ImageNetDataset
from resdet.engine.checkpoint import read_checkpoint, save_checkpoint
from resdet.errors import UserError


def replace_in(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_solution_of_other_images_is_refused(
    editable: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, images = editable
    solution = images / "LOC_val_solution.csv"
    checkpoint = random_localizer(config, tmp_path / "a.pth")
    command = [config, "--checkpoint", checkpoint, *ON_CPU, "--write-predictions", tmp_path / "p.csv"]
    call(eval_loc, *command)
    replace_in(solution, "val_00000003", "val_00000099")
    assert "has no row for image 'ILSVRC2012_val_00000003'" in error_line(eval_loc, command, capsys)
    files = ["--predictions", tmp_path / "p.csv", "--ground-truth", solution]
    assert "have different images: only one has 'ILSVRC2012_val_00000003'" in error_line(eval_loc, files, capsys)
    (images / "ILSVRC/ImageSets/CLS-LOC/val.txt").unlink()
    assert "image 'ILSVRC2012_val_00000003' is not in the list" in error_line(eval_loc, files, capsys)


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
def test_a_solution_without_header_or_answer_is_refused(text: str, message: str, editable: tuple[Path, Path]) -> None:
    (editable[1] / "LOC_val_solution.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        ImageNetDataset(editable[1], "val")


def test_different_classes_are_refused(
    editable: tuple[Path, Path], random_rpn: Path, loc_classifier: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    config, images = editable
    (images / "LOC_synset_mapping.txt").write_text("n02 bee\nn01 ant\n")
    differ = error_line(eval_loc, [config, "--checkpoint", random_rpn, *ON_CPU], capsys)
    assert "random.pth and data.test have different classes: 'n01' and 'n02'" in differ
    other = random_rpn.with_name("other.pth")
    save_checkpoint(other, {**read_checkpoint(random_rpn), "classes": ["n02", "n01"]})
    command = [config, "--checkpoint", other, "--classifier", *loc_classifier, *ON_CPU]
    assert "last.pth and data.test have different classes" in error_line(eval_loc, command, capsys)
    (images / "LOC_synset_mapping.txt").write_text("n01 ant\nn02 bee\nn03 cow\n")
    three = error_line(train_loc, [config, "--work-dir", images.parent / "run", *ON_CPU], capsys)
    assert "model.num_classes is 2 but the data have 3 classes" in three


def test_images_without_boxes_are_named(
    editable: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, images = editable
    command = [config, "--work-dir", tmp_path / "run", *ON_CPU]
    some = error_line(train_loc, [*command, "--cfg-options", "data.train.with_boxes=False"], capsys)
    assert "data.train: 1 of 12 images have no box (first: n01_0)" in some
    assert "set data.train.with_boxes=True" in some
    (images / "LOC_train_solution.csv").write_text("ImageId,PredictionString\n")
    assert "no image of 'train' has a box" in error_line(train_loc, command, capsys)


def test_checkpoints_and_configs_of_another_task_are_refused(
    tmp_path: Path,
    loc_config: Path,
    random_rpn: Path,
    regression: Path,
    loc_classifier: Trained,
    det_config: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def evaluated(config: Path, checkpoint: Path, *more: object) -> str:
        return error_line(eval_loc, [config, "--checkpoint", checkpoint, *ON_CPU, *more], capsys)

    assert "last.pth is no localizer; train one" in evaluated(loc_config, loc_classifier.checkpoint)
    assert "random.pth is a per-class RPN, " in evaluated(regression, random_rpn)
    wide = ["--cfg-options", "model.net.width=0.25"]
    assert "random.pth does not fit " in evaluated(loc_config, random_rpn, *wide)
    assert "no such checkpoint" in evaluated(loc_config, tmp_path / "none.pth")
    assert "is no localizer (ClassRPN, CropRegression)" in evaluated(det_config, random_rpn)
    assert "'model' is not set, as in a config of a localizer" in evaluated(loc_classifier.config, random_rpn)
    assert "give its checkpoints too" in evaluated(loc_config, random_rpn, "--classifier", loc_classifier.config)
    cifar = ["--classifier", "cifar10_r20", loc_classifier.checkpoint]
    assert "last.pth has 2 classes, " in evaluated(loc_config, random_rpn, *cifar)
    assert "'data.resizer' is not set" in error_line(benchmark, [loc_config, "--device", "cpu"], capsys)
    assert "which weights?" in error_line(eval_loc, [loc_config], capsys)
    assert "needs --ground-truth too" in error_line(eval_loc, ["--predictions", tmp_path / "p.csv"], capsys)
    resumed = ["--work-dir", tmp_path, "--resume", random_rpn]
    assert "give --resume alone" in error_line(train_loc, [loc_config, *resumed], capsys)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("data.scales=[]", "data.scales is []: give short sides"),
        ("data.scales=[224,0]", "data.scales.1 is 0; wanted: an integer, 1 or more"),
        ("data.vote=2", "data.vote is 2: give an IoU"),
        ("data.train_view.size=64", "data.train_view.size is 64 at the end of training, data.test_view.size 32"),
        ("model.settings.scales=[]", "model.settings.scales is []: give one or more numbers above 0"),
        ("model.settings.ratios=[1,0]", "model.settings.ratios.1 is 0; wanted: a number, above 0"),
        ("model.settings.hidden=0", "model.settings.hidden is 0; wanted: an integer, 1 or more"),
        ("model.settings.anchors_per_image=0", "model.settings.anchors_per_image is 0"),
        ("model.settings.positive_fraction=1.5", "model.settings.positive_fraction is 1.5"),
        ("model.settings.negative_iou=0.8", "model.settings.negative_iou is 0.8, positive_iou is 0.7"),
        ("model.settings.stage=conv3", "model.settings.stage is 'conv3'"),
    ],
)
def test_an_invalid_value_is_named(
    option: str, message: str, loc_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [loc_config, "--work-dir", tmp_path, *ON_CPU, "--cfg-options", option]
    assert message in error_line(train_loc, command, capsys)


def test_options_without_effect_are_refused(
    loc_config: Path, random_rpn: Path, loc_classifier: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    def evaluated(*more: object) -> str:
        return error_line(eval_loc, [loc_config, "--checkpoint", random_rpn, *ON_CPU, *more], capsys)

    assert "--scales are the dense test's" in evaluated("--scales", 224)
    assert "--scales: '-5'; wanted: an integer, 1 or more" in evaluated("--views", "dense", "--scales", -5)
    assert "--classifier-views needs --classifier" in evaluated("--classifier-views", "center")
    assert "--classifier-net needs --classifier" in evaluated("--classifier-net", *loc_classifier)
    twice = evaluated("--classifier", *loc_classifier, "--classifier", *loc_classifier)
    assert "--classifier is given twice: another config's is --classifier-net" in twice


def test_an_unwritable_output_is_named_before_the_test(
    tmp_path: Path, loc_config: Path, loc_images: Path, random_rpn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def evaluated(*more: object) -> str:
        broken = tmp_path / "broken.pth"  # a test would begin by reading it
        broken.write_bytes(b"no checkpoint")
        return error_line(eval_loc, [loc_config, "--checkpoint", broken, *ON_CPU, *more], capsys)

    assert "is not a checkpoint" in evaluated()
    for option in ("--json", "--write-predictions"):
        assert f"{option}: {tmp_path} is a folder; give the name of a file" in evaluated(option, tmp_path)
        assert f"in {random_rpn}, which is a file" in evaluated(option, random_rpn / "file.csv")
    assert f"--pictures: {random_rpn} is a file; give the name of a folder" in evaluated("--pictures", random_rpn)
    submission = ["--write-predictions", tmp_path / "p.txt"]
    assert "give map_clsloc.txt as --class-ids" in evaluated(*submission)
    (tmp_path / "map.txt").write_text("n01 1 ant\n")
    assert "has no line 'n02 NUMBER NAME'" in evaluated(*submission, "--class-ids", tmp_path / "map.txt")
    assert "is not a checkpoint" in evaluated(*submission, "--class-ids", loc_images / "map_clsloc.txt")


def test_a_set_without_boxes_is_named(
    editable: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, _ = editable
    text = config.read_text().replace(
        "from resdet.data.localization.dataset import",
        "from resdet.data.classification.imagenet import ImageNetDataset\nfrom resdet.data.localization.dataset import",
    )
    config.write_text(text.replace("test=dict(type=LocalizationDataset", "test=dict(type=ImageNetDataset"))
    error = error_line(train_loc, [config, "--work-dir", tmp_path / "run", *ON_CPU], capsys)
    assert "data.test is an ImageNetDataset; wanted: a LocalizationDataset" in error
