"""new-config: what it chooses for a data set and a trunk, and that its config trains as it is."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.coco import instances, write
from helpers.commands import call, error_line, inspect_data, train_det
from helpers.commands import new_config as new_config_command
from helpers.datasets import write_voc
from helpers.weights import own_checkpoint
from resdet.cli.common.options import parse_options
from resdet.data.detection.settings import DetectionData
from resdet.engine.config import build_call
from resdet.errors import UserError
from resdet.nets.cifar_resnet import CifarResNet
from resdet.nets.resnet import ResNet
from resdet.recipes.detection.new_config import Trunk, anchor_ratios, anchor_scales, new_config, trunk_of
from resdet.recipes.sections import load_config
from resdet.weights.export import to_torchvision

SMALL = [
    "model.net.width=0.125", "model.rpn.hidden=8", "data.resizer.short=48", "data.resizer.long=64", "data.workers=0",
    "schedule.steps=2", "schedule.milestones=(1,)", "schedule.warmup=0", "loop.validate_every=0", "loop.best=",
]  # fmt: skip


def write_photos(root: Path) -> Path:
    """VOC without a list: 10 photos, the second class in two of them."""
    images = {
        f"photo {i}": [("apple", 5, 5, 70, 60), *([("pear", 20, 20, 60, 70)] if i > 7 else [])] for i in range(10)
    }
    folder = write_voc(root, {"t": images})
    for path in (folder / "ImageSets/Main").iterdir():
        path.unlink()
    (folder / "JPEGImages").rename(root / "images")
    (folder / "Annotations").rename(root / "annotations")
    return root


def test_the_config_of_an_export_is_inspected_and_trained_without_an_edit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, config = write_photos(tmp_path / "data"), tmp_path / "configs/mine.py"
    call(new_config_command, data, "--out", config, "--crop", 112)
    said = capsys.readouterr().out
    assert "VOC without lists, as labelImg writes it, one set, split 80 : 20; 8 training images" in said
    assert "7 bins: a sixteenth of the trunk's 112-pixel crops (you said so); 14 for 224, 7 for 112" in said
    cfg = load_config(config)
    assert (cfg.model.num_classes, cfg.model.head.bins, cfg.data.train.part) == (2, 7, "train")
    call(inspect_data, config, "--out", tmp_path / "sheets")
    call(train_det, config, "--work-dir", tmp_path / "run", "--device", "cpu", "--cfg-options", *SMALL)
    assert (tmp_path / "run/last.pth").is_file()
    assert "is there already" in error_line(new_config_command, [data, "--out", config], capsys)
    assert "ends in .py" in error_line(new_config_command, [data, "--out", tmp_path / "x.txt"], capsys)


def test_the_weights_that_were_named_are_in_the_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever trains with it need not name them again; paths are those of the folder that commands are run in."""
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / "data")
    call(new_config_command, "data", "--out", "mine.py", "--init-from", "ResNet18_Weights.IMAGENET1K_V1")
    assert load_config("mine.py").init_from == "ResNet18_Weights.IMAGENET1K_V1"
    text = Path("mine.py").read_text()
    assert "ROOT = 'data'  # relative to the folder that commands are run in" in text
    assert "--init-from WEIGHTS" not in text
    call(new_config_command, tmp_path / "data", "--out", "other.py")
    assert load_config("other.py").init_from is None
    assert "--init-from WEIGHTS" in Path("other.py").read_text()


def test_divided_sets_become_train_and_test_and_a_class_may_be_in_one(tmp_path: Path) -> None:
    sets = {"train": {"a": [("apple", 5, 5, 50, 60)]}, "val": {"b": [("pear", 5, 5, 50, 60)]}}
    write_voc(tmp_path, sets)
    text = new_config(tmp_path, "mine.py", Trunk()).text
    assert "CLASSES = ('apple', 'pear')" in text
    assert "splits=[('tiny', 'train')], classes=CLASSES" in text
    assert "splits=[('tiny', 'val')], classes=CLASSES" in text


def test_a_set_without_objects_is_refused(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    content = {"images": [], "annotations": [], "categories": []}
    (tmp_path / "labels.json").write_text(json.dumps(content))
    with pytest.raises(UserError):
        new_config(tmp_path, "mine.py", Trunk())


@pytest.mark.parametrize(
    ("weights", "depth", "crop", "expected"),
    [
        (None, None, None, (18, 14, "1x1")),
        (None, 50, 112, (50, 7, "1x1")),
        ("ResNet50_Weights.IMAGENET1K_V1", None, None, (50, 14, "3x3")),
        ("ResNet18_Weights.IMAGENET1K_V1", None, None, (18, 14, "1x1")),
        ("msra://R-101", None, None, (101, 14, "1x1")),
    ],
)
def test_bins_are_a_sixteenth_of_the_trunks_crops(
    weights: str | None, depth: int | None, crop: int | None, expected: tuple[int, int, str]
) -> None:
    trunk = trunk_of(weights, depth, crop)
    assert (trunk.depth, trunk.bins, trunk.stride_on) == expected


def test_anchors_cover_the_sizes_of_the_objects() -> None:
    assert anchor_scales(np.geomspace(30, 260, 100)) == (32, 64, 128, 256)
    assert anchor_scales(np.full(10, 100.0)) == (128, 256)
    assert anchor_scales(np.array([1.0, 5000.0] * 50)) == (16, 32, 64, 128, 256, 512)
    assert anchor_ratios(np.full(10, 1.0)) == (0.5, 1, 2)
    assert anchor_ratios(np.array([0.2] * 5 + [4.0] * 5)) == (0.33, 0.5, 1, 2, 3)


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_few_images_are_divided_so_that_one_is_tested(tmp_path: Path, count: int) -> None:
    photos = {f"p{i}": [("apple", 5, 5, 70, 60)] for i in range(count)}
    write_voc(tmp_path / "data", {"t": photos})
    config = tmp_path / "mine.py"
    config.write_text(new_config(tmp_path / "data", "mine.py", Trunk()).text)
    data = build_call(DetectionData, load_config(config).data)
    assert len(data.test) == 1
    assert data.train is not None
    assert len(data.train) == count - 1


def test_one_image_is_refused(tmp_path: Path) -> None:
    write_voc(tmp_path, {"t": {"p": [("apple", 5, 5, 70, 60)]}})
    with pytest.raises(UserError, match="1 image cannot be divided for training and test; annotate more"):
        new_config(tmp_path, "mine.py", Trunk())


def test_objects_marked_difficult_are_not_trained_on_and_not_enough_alone(tmp_path: Path) -> None:
    easy, hard = ("apple", 5, 5, 70, 60), ("apple", 20, 20, 60, 70, True)
    write_voc(tmp_path / "some", {"t": {f"p{i}": [easy, hard] for i in range(5)}})
    made = new_config(tmp_path / "some", "mine.py", Trunk())
    assert "4 objects marked difficult are not trained on, and count neither way in a test" in made.choices
    (tmp_path / "mine.py").write_text(made.text)
    data = build_call(DetectionData, load_config(tmp_path / "mine.py").data)
    assert data.train is not None
    assert (len(data.train.table.labels), len(data.test.table.labels)) == (4, 2)
    write_voc(tmp_path / "all", {"t": {f"p{i}": [hard] for i in range(5)}})
    with pytest.raises(UserError, match="no object of the training set is learned, 4 are marked difficult"):
        new_config(tmp_path / "all", "mine.py", Trunk())


def write_coco(root: Path, **values: object) -> Path:
    """Three images with an object each, of which some values are replaced."""
    content = instances()
    content["annotations"] = [
        {"id": i, "image_id": i, "category_id": 7, "bbox": [1, 2, 30, 20], "area": 600, "iscrowd": 0, **values}
        for i in (12, 5, 90)
    ]
    return write(root, content)


def test_a_set_whose_boxes_have_no_area_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none is annotated, or none has an area in its image; annotate some") as caught:
        new_config(write_coco(tmp_path, bbox=[1, 2, 0, 0]), "mine.py", Trunk())
    assert "crowd" not in str(caught.value)


def test_a_set_of_crowds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="2 are crowds; correct 'iscrowd' of those that are single objects"):
        new_config(write_coco(tmp_path, iscrowd=1), "mine.py", Trunk())


def test_crowds_among_the_objects_are_counted(tmp_path: Path) -> None:
    """CVAT marks every mask, as of its SAM, as a crowd."""
    root = write_coco(tmp_path)
    path = root / "annotations/instances_val.json"
    content = json.loads(path.read_text())
    content["annotations"] += [{**item, "id": item["id"] + 100, "iscrowd": 1} for item in content["annotations"]]
    path.write_text(json.dumps(content))
    choices = new_config(root, "mine.py", Trunk()).choices
    assert sum("objects are crowds (iscrowd), which are not learned; correct those" in line for line in choices) == 1


def test_a_bad_record_is_refused_with_the_command_that_repairs_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, config = write_coco(tmp_path / "data"), tmp_path / "mine.py"
    path = root / "annotations/instances_val.json"
    content = json.loads(path.read_text())
    content["annotations"][1]["image_id"] = 8
    content["annotations"][2]["id"] = 12  # as the first one
    path.write_text(json.dumps(content))
    line = error_line(new_config_command, [root, "--out", config], capsys)
    assert f"(resdet inspect-data {root} lists all such problems, --fix OUT writes repaired annotations)" in line
    with pytest.raises(SystemExit):
        call(inspect_data, root, "--out", tmp_path / "sheets", "--fix", tmp_path / "fixed")
    said = capsys.readouterr().out
    assert "annotation 5 is of image 8, which is not listed" in said
    assert "two annotations have the id 12" in said
    (tmp_path / "fixed/annotations/instances_val.json").replace(path)
    call(inspect_data, root, "--out", tmp_path / "sheets")
    call(new_config_command, root, "--out", config)
    assert config.is_file()


def test_an_image_of_another_size_is_refused_as_a_training_would(tmp_path: Path) -> None:
    root = write_coco(tmp_path / "data")
    path = root / "annotations/instances_val.json"
    path.write_text(path.read_text().replace('"width": 40, "height": 30', '"width": 30, "height": 40', 1))
    with pytest.raises(
        UserError, match=r"12\.png: the image is 40x30 but its annotation says 30x40.*resdet inspect-data"
    ):
        new_config(root, "mine.py", Trunk())


def test_images_that_cannot_be_read_are_told_with_the_option_that_leaves_them_out(tmp_path: Path) -> None:
    root = write_photos(tmp_path)
    (root / "images/photo 3.jpg").write_bytes(b"no image")
    said = [line for line in new_config(root, "mine.py", Trunk()).choices if line.startswith("Check the images")]
    assert len(said) == 1
    assert "set all: 1 of 10 cannot be read, first: " in said[0]
    assert "photo 3.jpg" in said[0]
    assert "with data.skip_unreadable=True a training leaves them out" in said[0]


def test_sets_that_are_not_used_are_told(tmp_path: Path) -> None:
    good = [("apple", 5, 5, 50, 60)]
    write_voc(tmp_path, {"train": {"a": good}, "val": {"b": good}, "night": {"c": good}})
    said = new_config(tmp_path, "mine.py", Trunk()).choices
    assert "Set night: 1 image, not used" in said
    assert "Set val: 1 image, data.test, measured while training" in said


def test_a_training_set_without_anything_to_learn_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, config = write_coco(tmp_path / "data"), tmp_path / "mine.py"
    call(new_config_command, root, "--out", config)
    write_coco(root, iscrowd=1)
    command = [config, "--work-dir", tmp_path / "run", "--device", "cpu", "--cfg-options", *SMALL]
    line = error_line(train_det, command, capsys)
    assert "data.train: all 2 objects are crowds, which are not learned; correct 'iscrowd'" in line
    with pytest.raises(SystemExit):
        call(inspect_data, config, "--out", tmp_path / "sheets")
    assert "train: refused: data.train: all 2 objects are crowds" in capsys.readouterr().out


def write_divided(root: Path, kind: str) -> Path:
    """Five images of apples to train on, one to test while training, and one of a pear in `test`."""
    good, pear = [("apple", 5, 5, 50, 60)], [("pear", 5, 5, 50, 60)]
    sets = {"train": {f"t{i}": good for i in range(5)}, "val": {"v": good}, "test": {"s": pear}}
    folder = write_voc(root, sets)
    if kind == "voc":
        return root
    for number, (name, images) in enumerate(sets.items()):
        (root / name / "images").mkdir(parents=True)
        (root / name / "labels").mkdir()
        for image in images:
            (folder / f"JPEGImages/{image}.jpg").rename(root / name / "images" / f"{image}.jpg")
            (root / name / "labels" / f"{image}.txt").write_text(f"{int(number == 2)} .5 .5 .5 .5\n")
        records = [{"id": k, "file_name": f"{image}.jpg", "width": 100, "height": 80} for k, image in enumerate(images)]
        objects = [
            {"id": k, "image_id": k, "category_id": int(number == 2), "bbox": [5, 5, 45, 55]}
            for k in range(len(images))
        ]
        content = {
            "images": records, "annotations": objects,
            "categories": [{"id": 0, "name": "apple"}, {"id": 1, "name": "pear"}],
        }  # fmt: skip
        if kind == "coco":
            (root / name / "_annotations.coco.json").write_text(json.dumps(content))
    shutil.rmtree(folder)
    if kind == "yolo":
        (root / "data.yaml").write_text("names: [apple, pear]\n")
    return root


@pytest.mark.parametrize(("kind", "command"), [("voc", "eval-voc"), ("coco", "eval-coco"), ("yolo", "eval-voc")])
def test_the_part_for_the_end_is_told_with_a_command_that_measures_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    made = new_config(write_divided(Path("my data"), kind), "mine.py", Trunk())
    Path("mine.py").write_text(made.text)
    line = next(line for line in made.choices if line.startswith("Set test: 1 image, not used while training"))
    words = shlex.split(line.partition("at the end: ")[2])
    assert words[:5] == ["resdet", command, "mine.py", "--checkpoint", "runs/mine/last.pth"]
    assert f"resdet {command} runs/mine/last.pth" in made.text
    cfg = load_config("mine.py", parse_options(words[words.index("--cfg-options") + 1 :]))
    test = build_call(DetectionData, cfg.data).test
    assert ([Path(path).stem for path in test.table.paths], test.classes) == (["s"], ("apple", "pear"))
    assert "Objects by class: apple 5, pear 0" in made.choices
    assert "Check the classes: no object to learn from: pear (1 in test)" in made.choices


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("gone.pth", "gone.pth: no such weights file; check the path"),
        ("caffe:gone.pth", "gone.pth: no such weights file; check the path"),
        ("data", "data: is a folder; name the weights file inside it"),
        ("msra://R-99", "there are no such weights; did you mean msra://R-50"),
        ("ResNet18_Weights.NONE", "torchvision has no such weights"),
    ],
)
def test_weights_that_are_not_there_are_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], weights: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / "data")
    assert message in error_line(new_config_command, ["data", "--out", "new/mine.py", "--init-from", weights], capsys)
    assert not Path("new").exists()


def test_caffes_weights_have_the_stride_on_the_first_convolution(tmp_path: Path) -> None:
    path = tmp_path / "resnet50_caffe.pth"
    torch.save(to_torchvision(ResNet(50, num_classes=None, width=1 / 16).state_dict()), path)
    assert trunk_of(f"caffe:{path}", None, None).stride_on == "1x1"
    assert trunk_of(f"torchvision:{path}", None, None).stride_on == "3x3"


def test_the_depth_is_that_of_the_file_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "model_best.pth.tar"
    net = to_torchvision(ResNet(101, num_classes=None, width=1 / 16).state_dict())
    torch.save({"epoch": 50, "state_dict": {f"module.{name}": tensor for name, tensor in net.items()}}, path)
    trunk = trunk_of(str(path), None, None)
    assert (trunk.depth, trunk.stride_on, trunk.bins) == (101, "3x3", 14)
    assert trunk.why == "model_best.pth.tar is a ResNet-101, taken to be trained on ImageNet"


def test_a_net_that_a_written_config_cannot_have_is_refused(tmp_path: Path) -> None:
    path = own_checkpoint(CifarResNet(20), tmp_path / "resnet18.pth")
    with pytest.raises(UserError, match=r"resnet18\.pth: its net is no ResNet of 18, 34, 50, 101, 152 layers"):
        trunk_of(str(path), None, None)
