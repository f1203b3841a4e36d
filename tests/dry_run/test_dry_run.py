"""Every config completes a dry run on generated data in its dataset's layout: training, evaluation, page."""

from __future__ import annotations

import json
import re
import shutil
import socket
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from helpers.commands import ON_CPU, train_cls, train_det, train_loc
from helpers.paths import CONFIGS, shipped_configs
from resdet.data.classification.imagenet import ImageNetDataset
from resdet.data.detection.coco import COCO_CLASSES, COCODataset
from resdet.data.detection.splitting import SplitPart
from resdet.data.detection.voc import VOC_CLASSES, VOCDataset
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.dry_run.detection_files import write_voc
from resdet.dry_run.files import generate
from resdet.dry_run.pictures import IMAGES, Numbers
from resdet.dry_run.shrink import STEPS, make_small
from resdet.engine.checkpoint import read_checkpoint
from resdet.engine.config import Config, build
from resdet.engine.log import read_scalars
from resdet.errors import UserError
from resdet.recipes.localization.build import is_localizer
from resdet.recipes.sections import load_config

NAMES = [path.stem for path in shipped_configs()]
RULES = {"coco": r"mAP@\.5 [\d.]+, mAP@\[\.5,\.95\] [\d.]+ \(COCO\)"}  # the others: mAP@.5 and the rule's name
MARKS = {"cifar10_r1202": pytest.mark.slow}


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in a folder without data, with network access blocked."""

    def refuse(*_: object) -> None:
        raise AssertionError("a dry run needs no network")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def dry_run(name: str, *more: object) -> None:
    cfg = load_config(name)
    train = train_loc if is_localizer(cfg) else train_det if cfg.get("model") else train_cls
    train([name, "--dry-run", *ON_CPU, *(str(word) for word in more)])


@pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS.get(name, ())) for name in NAMES])
def test_every_config_completes_a_dry_run(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dry_run(name, "--work-dir", tmp_path / "run")
    printed, cfg = capsys.readouterr().out, load_config(name)
    rule = cfg.data.get("method", "")
    figure = RULES.get(rule, rf"mAP@\.5 [\d.]+ \({rule}\)") if cfg.get("model") else r"^test/top1_error [\d.]+$"
    if is_localizer(cfg):
        figure = r"^test/localization_error [\d.]+$"
    if name.startswith("coco_r101_trainval"):
        figure = "nothing to score"  # on test-dev, whose answers only COCO's server has
    assert re.search(figure, printed, re.MULTILINE)
    assert "its figures mean nothing" in printed
    assert (tmp_path / "run" / "page.html").is_file()
    assert read_checkpoint(tmp_path / "run" / "last.pth")["step"] == STEPS
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    shutil.rmtree(tmp_path / "run")  # ResNet-1202's is of 160 MB


def test_without_a_work_dir_all_files_are_in_a_new_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    dry_run("voc07_vgg16")  # its weights would come from the network
    assert [p.name for p in tmp_path.iterdir()] == ["temporary"]
    (folder,) = (tmp_path / "temporary").glob("voc07_vgg16-dry-run-*")  # torch may make a folder of its own beside it
    assert f"all of it is in {folder}" in capsys.readouterr().out
    assert (folder / "page.html").is_file()
    log = (folder / "run.log").read_text()
    assert f"dry run: {STEPS} steps of a small net on noise in {folder / 'data'}; its figures mean nothing" in log


def test_a_dry_run_keeps_depth_evaluation_rule_and_kind_of_schedule(tmp_path: Path) -> None:
    small, whole = make_small(load_config("voc07_r101"), tmp_path / "data"), load_config("voc07_r101")
    assert (small.model.net.depth, small.data.method) == (101, "11-point")
    assert small.schedule.type is whole.schedule.type
    assert small.model.rpn.scales == pytest.approx([128 * 64 / 600, 256 * 64 / 600, 512 * 64 / 600])
    assert (small.data.resizer.short, small.data.resizer.long, small.init_from) == (64, 107, None)
    assert build(small.schedule)(STEPS - 1) == pytest.approx(0.1)  # past a milestone


def test_a_dry_run_takes_several_seeds_and_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dry_run("cifar10_plain20", "--runs", 2, "--work-dir", tmp_path / "runs")
    assert re.search(r"test/top1_error best [\d.]+ \(mean .* 2 runs\)", capsys.readouterr().out)
    dry_run("cifar10_plain20", "--work-dir", tmp_path / "runs" / "seed0", "--resume")
    assert f"resumed at step {STEPS} of {STEPS}" in (tmp_path / "runs" / "seed0" / "run.log").read_text()
    assert [r["step"] for r in read_scalars(tmp_path / "runs" / "seed0" / "scalars.json") if "loss" in r] == [1, 2, 3]


# Layouts -------------------------------------------------------------------------------------------------------------


def generated(name: str, root: Path) -> Config:
    cfg = load_config(name)
    generate(cfg, root)
    return cfg


def test_coco_files_have_the_published_form(tmp_path: Path) -> None:
    train = build(generated("coco_r101", tmp_path / "data").data.train)
    root = tmp_path / "data" / "coco"
    content = json.loads((root / "annotations" / "instances_train2014.json").read_text())
    ids = [category["id"] for category in content["categories"]]
    assert (len(ids), ids[10:13], ids[-1]) == (80, [11, 13, 14], 90)  # stop sign is 13: 12 has no objects
    assert train.classes == COCO_CLASSES
    assert (root / "train2014" / f"COCO_train2014_{content['images'][0]['id']:012}.jpg").is_file()
    assert len(train) == IMAGES - 1  # without the empty one
    assert set(train.table.labels) == set(range(80))
    assert train.table.crowd.sum() == 1
    generated("detectron2_r50_c4", tmp_path / "2017")
    assert (tmp_path / "2017" / "coco" / "val2017" / "000000010001.jpg").is_file()


def test_coco_test_image_lists_have_no_annotations(tmp_path: Path) -> None:
    test = build(generated("coco_r101_trainval", tmp_path / "data").data.test)
    content = json.loads((tmp_path / "data/coco/annotations/image_info_test-dev2015.json").read_text())
    assert "annotations" not in content
    assert (len(test), len(test.table.labels), test.classes) == (IMAGES, 0, COCO_CLASSES)
    assert all("/test2015/COCO_test2015_" in path for path in test.table.paths)


def test_voc_files_have_the_published_form(tmp_path: Path) -> None:
    cfg = generated("voc12_r50", tmp_path / "data")
    train, test = build(cfg.data.train), build(cfg.data.test)
    root = tmp_path / "data" / "VOCdevkit"
    for image_set in ("VOC2007/ImageSets/Main/trainval.txt", "VOC2007/ImageSets/Main/test.txt"):
        assert re.fullmatch(r"\d{6}", (root / image_set).read_text().split()[0])
    assert (root / "VOC2012/ImageSets/Main/trainval.txt").read_text().startswith("2012_")
    assert (len(train), train.classes, len(test)) == (3 * IMAGES, VOC_CLASSES, IMAGES)
    assert (train.table.difficult.sum(), test.table.difficult.sum()) == (0, 1)
    assert set(test.table.labels) == set(range(20))


def test_voc_files_without_a_year_have_plain_names(tmp_path: Path) -> None:
    """All xml files of one folder, as new-config reads labelImg's: the page's pictures are named like the images."""
    node = {"root": str(tmp_path), "splits": [("", "*")], "classes": ("apple",)}
    write_voc(tmp_path, node, 1, Numbers())
    assert min(path.stem for path in tmp_path.rglob("*.jpg")).isdigit()


def test_imagenet_files_of_both_tasks_have_the_published_form(tmp_path: Path) -> None:
    cfg = generated("imagenet_r50", tmp_path / "cls")
    train, val = build(cfg.data.train), build(cfg.data.test)
    assert (len(train.classes), len(train), len(val)) == (1000, IMAGES, IMAGES)
    assert re.fullmatch(r"ILSVRC/Data/CLS-LOC/train/(n\d{8})/\1_\d+\.JPEG", train.image_id(0))
    assert re.fullmatch(r"ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_\d{8}\.JPEG", val.image_id(0))
    cfg = generated("loc_r50", tmp_path / "loc")
    train, val = build(cfg.data.train), build(cfg.data.test)
    assert (len(train.classes), len(train), len(val), len(val.truth().boxes)) == (1000, IMAGES - 1, IMAGES, IMAGES)
    image, _, (box,), _ = val[0]
    x1, y1, x2, y2 = box.astype(int)
    assert image[y1:y2, x1:x2].mean() > image.mean() + 30
    cfg = generated("det_r101", tmp_path / "det")
    train, test = build(cfg.data.train), build(cfg.data.test)
    assert (len(train.classes), train.parts, test.parts) == (200, ("train", "val"), ("val",))
    assert not set(train.table.ids) & set(test.table.ids)
    corner = test.table.boxes[0, :2].astype(int)
    image = cv2.imread(str(test.table.paths[0]))
    assert image[corner[1] + 1 :, corner[0] + 1 :][:6, :6].mean() > image.mean()  # the object is where the box is


def test_cifar10_files_are_complete(tmp_path: Path) -> None:
    generated("cifar10_r20", tmp_path / "data")
    files = sorted((tmp_path / "data/cifar10/cifar-10-batches-bin").iterdir())
    assert [f.name for f in files] == [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    assert {f.stat().st_size for f in files} == {30_730_000}


OWN = """
from resdet.data.classification.imagenet import ImageNetDataset
from resdet.data.detection.coco import COCODataset
from resdet.data.detection.resampling import Repeated
from resdet.data.detection.splitting import SplitPart
from resdet.data.detection.voc import VOCDataset
from resdet.data.detection.yolo import YOLODataset

from mmengine.config import read_base

with read_base():
    from {base} import *

"""
YOLO_SPLIT = """
photos = dict(type=YOLODataset, root="/nowhere/photos", image_sets={sets})
model.update(num_classes=7)
data["train"] = dict(type=Repeated, threshold=0.5, dataset=dict(type=SplitPart, dataset=photos, part="train"))
data["test"] = dict(type=SplitPart, dataset=photos, part="test")
"""
VOC_OWN = """
model.update(num_classes=3)
data["train"] = dict(type=VOCDataset, root="/nowhere/kit", splits=[("mine", "train")], classes=None)
data["test"] = dict(type=VOCDataset, root="/nowhere/kit", splits=[("mine", "val")], classes=None)
"""
COCO_OWN = """
model.update(num_classes=2)
photos = dict(type=COCODataset, root="/nowhere/mine", splits=[("photos", "labels.json")], classes=["ant", "bee"])
data.update(method="coco")
data["train"] = data["test"] = photos
"""
FLOWERS = """
net.update(num_classes=9)
for part in ("train", "test"):
    data[part].update(root="/nowhere/flowers")
"""


@pytest.mark.parametrize(
    ("base", "changes"),
    [
        ("fruit_r18", YOLO_SPLIT.format(sets='"."')),
        ("fruit_r18", YOLO_SPLIT.format(sets='["train", "more.txt"]')),
        ("fruit_r18", VOC_OWN),
        ("fruit_r18", COCO_OWN),
        ("imagenet_r18", FLOWERS),
    ],
    ids=["yolo_in_one_folder", "yolo_in_sets_and_lists", "voc", "coco", "folders_of_classes"],
)
def test_custom_data_can_be_tried_in_a_dry_run(base: str, changes: str, tmp_path: Path) -> None:
    shutil.copytree(CONFIGS, tmp_path / "configs")
    config = tmp_path / "configs" / "mine.py"
    config.write_text(OWN.format(base=f".{base}") + changes)
    dry_run(str(config), "--work-dir", tmp_path / "run")
    assert (tmp_path / "run" / "page.html").is_file()


def test_equal_configs_give_equal_files(tmp_path: Path) -> None:
    contents = []
    for name in "ab":
        generated("voc07_r50", tmp_path / name)
        files = sorted(p for p in (tmp_path / name).rglob("*") if p.is_file())
        contents.append([(p.relative_to(tmp_path / name), p.read_bytes()) for p in files])
    assert contents[0] == contents[1]


# User errors ----------------------------------------------------------------------------------------------------------


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as caught:
        dry_run("voc07_r50", *arguments)
    error = capsys.readouterr().err
    assert (caught.value.code, error.count("\n")) == (2, 1)
    return error


def test_files_that_a_dry_run_did_not_write_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    real = tmp_path / "data" / "VOCdevkit" / "VOC2007" / "Annotations" / "000001.xml"
    real.parent.mkdir(parents=True)
    real.write_text("real")
    assert "data was not written by a dry run" in refused(capsys, "--work-dir", tmp_path)
    assert real.read_text() == "real"
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "last.pth").write_text("real")
    assert "last.pth is not of a dry run" in refused(capsys, "--work-dir", tmp_path / "run")


def test_weights_and_processes_without_a_folder_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--init-from F does not fit a dry run's narrow net" in refused(capsys, "--init-from", "F")
    assert "needs --work-dir, a folder that all of them see" in refused(capsys, "--launcher", "pytorch")


class Photos(VOCDataset):
    """A dataset class of the user."""


def test_unknown_datasets_and_paths_outside_the_folder_are_named(tmp_path: Path) -> None:
    net = {"type": ImageNetDataset, "num_classes": 3}
    with pytest.raises(UserError, match=r"cannot write data for Photos; take one of VOCDataset, .*YOLODataset"):
        generate({"net": net, "data": {"train": {"type": Photos}}}, tmp_path / "data")
    outside = {"type": COCODataset, "root": "x", "splits": [("../../photos", "labels.json")]}
    with pytest.raises(UserError, match=r"writes below its own folder only, not .*photos"):
        generate({"net": net, "data": {"train": outside}}, tmp_path / "data")
    with pytest.raises(UserError, match=r"VOCDataset cannot be called .*'splits'"):
        generate({"net": net, "data": {"train": {"type": VOCDataset, "root": "x"}}}, tmp_path / "data")
    with pytest.raises(UserError, match=r"net.num_classes is None: set it"):
        generate({"net": {**net, "num_classes": None}, "data": {}}, tmp_path / "data")
    assert not list(tmp_path.glob("photos"))
    assert np.all([p.is_relative_to(tmp_path / "data") for p in tmp_path.rglob("*") if p.is_file()])


def test_both_parts_of_a_split_have_objects(tmp_path: Path) -> None:
    """Else a dry run could not measure anything."""
    photos = {"type": VOCDataset, "root": "x", "splits": [("mine", "all")]}
    parts = {
        name: {"type": SplitPart, "dataset": dict(photos), "part": name, "fraction": 0.9} for name in ("train", "test")
    }
    cfg = Config({"model": {"type": FasterRCNN, "num_classes": 20}, "data": parts})
    generate(cfg, tmp_path / "data")
    assert all(len(build(cfg.data[name]).table.labels) > 0 for name in parts)
