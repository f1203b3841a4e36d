"""`load_detector(...)(image)`: what it takes, and what it gives."""

from __future__ import annotations

import io
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import resdet
from helpers.detectors import random_detector
from resdet.data.detection.coco import COCODataset
from resdet.data.detection.voc import VOCDataset
from resdet.data.detection.yolo import YOLODataset
from resdet.data.images import read_image
from resdet.errors import UserError
from resdet.recipes.detection.detector import Detector
from resdet.recipes.detection.pixels import to_pixels
from resdet.recipes.detection.result import ImageDetections


@pytest.fixture(scope="module")
def detector(det_config: Path) -> Detector:
    path = random_detector(det_config, det_config.parent / "python.pth")
    return resdet.load_detector(det_config, path, device="cpu", precision="fp32")


def example() -> ImageDetections:
    boxes = torch.tensor([[10.0, 20, 40, 60], [0, 0, 90, 60], [50, 10, 70, 30]])
    return ImageDetections(boxes, torch.tensor([0.9, 0.6, 0.25]), torch.tensor([1, 0, 1]), ("apple", "pear"), (60, 90))


# What it takes --------------------------------------------------------------------------------------------------------


def test_every_form_of_an_image_gives_the_same_pixels(photos: Path) -> None:
    path = photos / "wide.png"
    pixels = read_image(path)
    chw = torch.from_numpy(pixels).permute(2, 0, 1)
    alpha = np.dstack([pixels, np.full(pixels.shape[:2], 7, np.uint8)])
    with warnings.catch_warnings(), Image.open(path) as picture:
        warnings.simplefilter("error")
        for image in (
            path, str(path), path.read_bytes(), bytearray(path.read_bytes()), memoryview(path.read_bytes()), pixels,
            pixels[::-1][::-1], np.asarray(picture), torch.from_numpy(pixels), chw, chw / 255, alpha,
            torch.from_numpy(alpha).permute(2, 0, 1), picture, picture.convert("RGBA"),
        ):  # fmt: skip
            found = to_pixels(image)
            assert np.array_equal(found, pixels)
            assert found.flags.writeable  # torch warns of others
            assert found.flags.c_contiguous


def test_gray_images_get_three_channels_and_16_bits_become_8() -> None:
    gray = np.arange(60, dtype=np.uint8).reshape(6, 10)
    expected = gray[:, :, None].repeat(3, 2)
    file = io.BytesIO()
    Image.fromarray(gray.astype(np.uint16) << 8).save(file, "PNG")
    for image in (gray, gray[:, :, None], torch.from_numpy(gray), torch.from_numpy(gray)[None], Image.fromarray(gray)):
        assert np.array_equal(to_pixels(image), expected)
    assert np.array_equal(to_pixels(file.getvalue()), expected)
    assert np.array_equal(to_pixels(Image.open(file)), expected)


def test_a_photo_is_turned_as_its_exif_says_from_a_file_as_from_pillow() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(file, "JPEG", exif=exif)
    assert to_pixels(file.getvalue()).shape == to_pixels(Image.open(file)).shape == (30, 20, 3)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("https://example.com/a.jpg", "URLs are not fetched.*download it"),
        (b"no image", "image: not an image"),
        (np.zeros((6, 6, 3), np.float32), r"expected uint8 \[H, W, 3\].*got float32 \[6, 6, 3\]"),
        (torch.full((3, 6, 6), 2.0), "got float32"),
        (np.zeros((6, 6, 7), np.uint8), "got uint8"),
        (np.zeros((0, 6, 3), np.uint8), "got uint8"),
        (None, "got object"),
    ],
)
def test_what_is_no_image_is_named(image: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        to_pixels(image)


def test_a_list_gives_a_list_of_what_each_image_gives_alone(detector: Detector, photos: Path) -> None:
    images = [photos / "wide.png", read_image(photos / "deep" / "tall.jpg")]
    together = detector(images)
    assert [found.image_size for found in together] == [(60, 90), (90, 50)]
    for found, image in zip(together, images, strict=True):
        alone = detector(image)
        assert len(alone) > 0
        assert torch.equal(found.boxes, alone.boxes)
        assert torch.equal(found.scores, alone.scores)
    assert detector([]) == []


# What it gives --------------------------------------------------------------------------------------------------------


def test_detections_are_indexed_sliced_and_iterated() -> None:
    found = example()
    first, *others = found
    assert (first.box, first.label, first.name) == ((10, 20, 40, 60), 1, "pear")
    assert first.score == pytest.approx(0.9)
    assert [other.name for other in others] == ["apple", "pear"]
    assert found[-1] == found[np.int64(2)] == others[-1]
    for part in (found[:2], found[[0, 1]], found[torch.tensor([True, True, False])], found.above(0.5)):
        assert isinstance(part, ImageDetections)
        assert part.names == ["pear", "apple"]
        assert part.image_size == (60, 90)
    with pytest.raises(IndexError):
        found[3]


def test_a_dictionary_and_coco_results_are_json() -> None:
    found = example()
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["boxes"] == found.boxes.tolist()
    assert (plain["labels"], plain["names"], plain["size"]) == ([1, 0, 1], ["pear", "apple", "pear"], [60, 90])
    result = json.loads(json.dumps(found.to_coco(image_id=7, category_ids=[3, 8])))[0]
    assert (result["image_id"], result["category_id"], result["bbox"]) == (7, 8, [10, 20, 30, 40])
    assert [r["category_id"] for r in found.to_coco()] == [2, 1, 2]


@pytest.mark.parametrize("form", ["voc", "yolo", "coco"])
def test_the_forms_of_annotations_are_read_by_our_readers(form: str, tmp_path: Path) -> None:
    found = example()
    Image.fromarray(np.zeros((60, 90, 3), np.uint8)).save(tmp_path / "a.png")
    if form == "voc":
        (tmp_path / "set").mkdir()
        (tmp_path / "a.png").rename(tmp_path / "set" / "a.png")
        (tmp_path / "set" / "a.xml").write_text(found.to_voc("a.png"))
        sample = VOCDataset(tmp_path, [("set", "*")], classes=found.classes)[0]
    elif form == "yolo":
        (tmp_path / "a.txt").write_text(found.to_yolo())
        (tmp_path / "list.txt").write_text("a.png\n")
        sample = YOLODataset(tmp_path, "list.txt", classes=found.classes)[0]
    else:
        objects = [{**o, "id": i, "area": 1, "iscrowd": 0} for i, o in enumerate(found.to_coco(1), 1)]
        image = {"id": 1, "file_name": "a.png", "width": 90, "height": 60}
        categories = [{"id": 1, "name": "apple"}, {"id": 2, "name": "pear"}]
        content = {"images": [image], "annotations": objects, "categories": categories}
        (tmp_path / "a.json").write_text(json.dumps(content))
        sample = COCODataset(tmp_path, [(".", "a.json")])[0]
    torch.testing.assert_close(sample.boxes, found.boxes, rtol=0, atol=1e-4)
    assert sample.labels.tolist() == [1, 0, 1]


def test_boxes_thinner_than_a_pixel_are_valid_in_voc() -> None:
    boxes = torch.tensor([[89.8, 59.9, 90, 60], [10.1, 10.1, 10.2, 30]])
    text = ImageDetections(boxes, torch.ones(2), torch.zeros(2).long(), ("apple",), (60, 90)).to_voc()
    assert "<xmin>90</xmin>" in text.replace("\n", "")
    assert "<xmax>90</xmax>" in text
    assert "<xmin>11</xmin>" in text
    assert "<xmax>11</xmax>" in text


def test_pandas_gets_a_row_per_detection() -> None:
    pytest.importorskip("pandas")
    table = example().to_pandas()
    assert list(table.columns) == ["x1", "y1", "x2", "y2", "score", "label", "name"]
    assert table.name.tolist() == ["pear", "apple", "pear"]
    assert len(example()[:0].to_pandas()) == 0


def test_supervision_gets_boxes_scores_and_names() -> None:
    pytest.importorskip("supervision")
    found = example().to_supervision()
    assert np.array_equal(found.xyxy, example().boxes.numpy())
    assert found.class_id.tolist() == [1, 0, 1]
    assert found["class_name"].tolist() == ["pear", "apple", "pear"]
    assert len(example()[:0].to_supervision()) == 0


@pytest.mark.parametrize("name", ["pandas", "supervision"])
def test_a_package_that_is_not_installed_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)  # as Python marks what cannot be imported
    with pytest.raises(UserError, match=f"needs {name}.*pip install {name}"):
        getattr(example(), f"to_{name}")()
