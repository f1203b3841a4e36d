"""ImageNet and class folders: labels, batches, missing and unreadable files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from resdet.data.classification.imagenet import ImageNetDataset
from resdet.data.classification.loading import CroppedImages, collate_images
from resdet.data.images import read_image
from resdet.data.loading import make_loader
from resdet.data.sampling import TrainSampler
from resdet.data.transforms import TrainCrop
from resdet.errors import UserError


def cls_loc(root: Path, mapping: str = "n01 tench, Tinca\nn00 fish") -> Path:
    """The CLS-LOC layout with three training and two validation images."""
    lists, images = root / "ILSVRC/ImageSets/CLS-LOC", root / "ILSVRC/Data/CLS-LOC"
    lists.mkdir(parents=True)
    (root / "LOC_synset_mapping.txt").write_text(mapping + "\n")
    (lists / "train_cls.txt").write_text("n01/n01_7 1\nn00/n00_3 2\nn01/n01_9 3\n")
    (lists / "val.txt").write_text("val_1 1\nval_2 2\n")
    (root / "LOC_val_solution.csv").write_text(
        "ImageId,PredictionString\nval_2,n01 1 2 3 4 n01 5 6 7 8 \nval_1,n00 1 2 3 4 \n"
    )
    for i, stem in enumerate(("train/n01/n01_7", "train/n00/n00_3", "train/n01/n01_9", "val/val_1", "val/val_2")):
        path = images / f"{stem}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        ok, encoded = cv2.imencode(".jpg", np.full((8, 10, 3), 40 * i, np.uint8))
        assert ok
        path.write_bytes(encoded.tobytes())
    return root


def test_cls_loc_takes_the_class_order_of_the_mapping_and_the_labels_of_the_solution(tmp_path: Path) -> None:
    root = cls_loc(tmp_path)
    train, val = ImageNetDataset(root, "train"), ImageNetDataset(root, "val")
    assert train.classes == ("n01", "n00")  # not the alphabet's
    assert train.names == ("tench, Tinca", "fish")
    assert train.labels.tolist() == [0, 1, 0]
    assert val.labels.tolist() == [1, 0]
    image, label = train[2]
    assert (image.shape, image.dtype, label) == ((8, 10, 3), np.uint8, 0)
    assert abs(int(image.mean()) - 80) <= 1
    assert val.image_id(1) == "ILSVRC/Data/CLS-LOC/val/val_2.JPEG"


def test_plain_folders_are_ordered_alphabetically(class_folders: Path) -> None:
    val = ImageNetDataset(class_folders, "val")
    assert val.classes == val.names == ("dark", "light")
    assert val.labels.tolist() == [0] * 4 + [1] * 4
    assert val.image_id(4) == "val/light/0.png"
    assert val[0][0].mean() < 110 < val[7][0].mean()


def test_image_loader_gives_crops_labels_and_names(class_folders: Path) -> None:
    train = ImageNetDataset(class_folders, "train")
    crops, sampler = CroppedImages(train, TrainCrop(32)), TrainSampler(16, 8, seed=0)
    batch = next(iter(make_loader(crops, sampler, collate_images, workers=0, pin=False)))
    assert (batch.images.shape, batch.images.dtype) == ((8, 3, 32, 32), torch.uint8)
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    bright = batch.images.float().mean((1, 2, 3)) > 110
    assert torch.equal(bright.long(), batch.labels)
    assert [("light" in i) for i in batch.image_ids] == bright.tolist()


@pytest.mark.parametrize(
    ("break_it", "image_set", "message"),
    [
        (lambda r: (r / "LOC_synset_mapping.txt").unlink(), "train", r"LOC_synset_mapping.txt is missing"),
        (lambda r: (r / "LOC_val_solution.csv").unlink(), "val", r"LOC_val_solution.csv is missing"),
        (lambda r: (r / "LOC_synset_mapping.txt").write_text("n01 a\n"), "train", "class 'n00' is not in"),
        (lambda r: (r / "LOC_synset_mapping.txt").write_text("n01 a\n"), "val", "solution.csv: class 'n00' is not in"),
        (lambda r: (r / "LOC_val_solution.csv").write_text("ImageId,PredictionString\n"), "val", "no row .*'val_1'"),
    ],
)
def test_cls_loc_names_a_missing_file(
    tmp_path: Path, break_it: Callable[[Path], None], image_set: str, message: str
) -> None:
    root = cls_loc(tmp_path)
    break_it(root)
    with pytest.raises(UserError, match=message) as caught:
        ImageNetDataset(root, image_set)
    assert "\n" not in str(caught.value)


def test_folders_without_classes_or_images_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train has no class folders"):
        ImageNetDataset(tmp_path, "train")
    (tmp_path / "train" / "cats").mkdir(parents=True)
    (tmp_path / "train" / "cats" / "notes.txt").write_text("none")
    with pytest.raises(UserError, match=r"train/cats holds no images"):
        ImageNetDataset(tmp_path, "train")


def test_a_listed_image_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    root = cls_loc(tmp_path)
    (root / "ILSVRC/Data/CLS-LOC/val/val_1.JPEG").unlink()
    with pytest.raises(UserError, match=r"val_1\.JPEG: no such image"):
        ImageNetDataset(root, "val")


def test_a_set_may_lack_classes_that_are_given(class_folders: Path, tmp_path: Path) -> None:
    shutil.copytree(class_folders, tmp_path / "set")
    shutil.rmtree(tmp_path / "set/val/dark")
    classes = ["dark", "light", "night"]
    train, val = (ImageNetDataset(tmp_path / "set", name, classes=classes) for name in ("train", "val"))
    assert train.classes == val.classes == ("dark", "light", "night")
    assert (train.labels.tolist(), val.labels.tolist()) == ([0] * 8 + [1] * 8, [1] * 4)
    with pytest.raises(UserError, match=r"train/dark is not one of `classes`"):
        ImageNetDataset(tmp_path / "set", "train", classes=["light"])


def test_classes_choose_the_order_of_synsets(tmp_path: Path) -> None:
    root = cls_loc(tmp_path)
    val = ImageNetDataset(root, "val", classes=["n00", "n01"])
    assert (val.names, val.labels.tolist()) == (("fish", "tench, Tinca"), [0, 1])
    with pytest.raises(UserError, match=r"has no class 'n0' \(did you mean"):
        ImageNetDataset(root, "val", classes=["n0"])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("LOC_synset_mapping.txt", b"n01 t\xe4nch\nn00 fish\n", r"mapping.txt: not a UTF-8 text file \(line 1\)"),
        ("LOC_synset_mapping.txt", b"n01 a\nn01 b\n", "'n01' is there twice"),
        ("LOC_synset_mapping.txt", b"\n", "has no line"),
        ("ILSVRC/ImageSets/CLS-LOC/val.txt", b"val_\xff 1\n", r"val.txt: not a UTF-8 text file"),
        ("ILSVRC/ImageSets/CLS-LOC/val.txt", b"\n", "no image in this list"),
        ("ILSVRC/ImageSets/CLS-LOC/val.txt", b"../val_1 1\n", r"val.txt:1: '../val_1' is not below"),
        ("LOC_val_solution.csv", b'ImageId,PredictionString\nval_1,"n00', "no row .*'val_2'"),
        ("LOC_val_solution.csv", b"ImageId,PredictionString\nval_1\n", r"solution.csv:2: image 'val_1' has no class"),
        (
            "LOC_val_solution.csv",
            b"ImageId,PredictionString\nval_1,n00\nval_1,n01\n",
            r"solution.csv:3: image 'val_1' has two rows; keep one",
        ),
    ],
)
def test_a_damaged_file_of_cls_loc_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    root = cls_loc(tmp_path)
    (root / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        ImageNetDataset(root, "val")


def test_images_that_a_list_names_twice_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = cls_loc(tmp_path)
    (root / "ILSVRC/ImageSets/CLS-LOC/val.txt").write_text("val_1 1\nval_2 2\nval_1 3\n")
    with caplog.at_level("WARNING", "resdet"):
        assert len(ImageNetDataset(root, "val")) == 3
    assert "1 images are listed twice (first: val_1)" in caplog.text


def test_large_photographs_are_decoded_to_a_fraction(tmp_path: Path) -> None:
    gradient = np.linspace(0, 255, 800 * 640).reshape(640, 800).astype(np.uint8)
    image = np.stack([gradient, gradient[::-1], gradient[:, ::-1]], 2)
    cv2.imwrite(str(tmp_path / "a.jpg"), image)
    whole = read_image(tmp_path / "a.jpg")
    for at_least, height in ((641, 640), (320, 320), (300, 320), (160, 160), (80, 80), (1, 80)):
        reduced = read_image(tmp_path / "a.jpg", at_least)
        assert reduced.shape == (height, height * 800 // 640, 3)
        by_area = cv2.resize(whole, reduced.shape[1::-1], interpolation=cv2.INTER_AREA)
        assert np.abs(reduced.astype(int) - by_area).mean() < 2
