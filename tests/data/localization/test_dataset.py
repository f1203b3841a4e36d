"""Reading ImageNet's CLS-LOC folder, including its flaws."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from helpers.cls_loc import FISH, OTHER, SHARK, VAL, Layout
from helpers.paths import DATA
from resdet.data.localization.dataset import LocalizationDataset
from resdet.errors import UserError
from resdet.metrics.localization_error import Guesses, localization_error

TINY = DATA / "tiny-imagenet-50"


def refusal(layout: Layout, part: str = "train", **arguments: object) -> str:
    with pytest.raises(UserError) as caught:
        LocalizationDataset(layout.root, part, **arguments)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Reading --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("boxes_from", ["csv", "xml"])
def test_only_some_training_images_have_boxes(layout: Layout, boxes_from: str) -> None:
    train = LocalizationDataset(layout.close(), "train", boxes_from=boxes_from)  # type: ignore[arg-type]
    assert (train.classes, train.names[0], len(train)) == ((FISH, SHARK), "tench, Tinca tinca", 4)
    assert train.labels.tolist() == [0, 0, 1, 1]
    assert [train[i].boxes.tolist() for i in range(4)] == [
        [],
        [[0, 0, 60, 40], [10, 5, 30, 25]],  # inclusive pixels from 0: all of 60x40, and 20x20
        [],
        [[30, 20, 50, 30]],
    ]
    assert (train[0].boxes.shape, train[1].image.shape, train[1].label) == ((0, 4), (40, 60, 3), 0)
    assert train.image_id(3) == f"ILSVRC/Data/CLS-LOC/train/{SHARK}/{SHARK}_2.JPEG"
    assert train[-1].boxes.tolist() == train[3].boxes.tolist()
    with pytest.raises(IndexError):
        train[4]


def test_images_without_boxes_can_be_left_out(layout: Layout) -> None:
    train = LocalizationDataset(layout.close(), "train", with_boxes=True)
    assert train.ids == [f"{FISH}_2", f"{SHARK}_2"]
    assert (train.labels.tolist(), train.lines.tolist()) == ([0, 1], [1, 3])
    assert train.listed[2] == f"{SHARK}_1"
    assert train.truth().image.tolist() == [0, 0, 1]
    assert train[1].boxes.tolist() == [[30, 20, 50, 30]]


def test_the_boxes_of_an_image_do_not_need_its_pixels(layout: Layout) -> None:
    layout.image("val", f"{VAL}3", [(FISH, -5, 30, 70, 45), (FISH, 58, 0, 90, 20), (FISH, 59, 0, 90, 20)])
    val = LocalizationDataset(layout.close(), "val")
    assert val.boxes_in(2, (40, 60)).tolist() == [[0, 30, 60, 40], [58, 0, 60, 21]] == val[2].boxes.tolist()
    assert len(LocalizationDataset(layout.root, "val", min_side=1).boxes_in(2, (40, 60))) == 3
    assert val.boxes_in(2, (0, 0)).shape == (0, 4)


def test_the_test_set_has_images_only(layout: Layout) -> None:
    layout.lists["test"] = []
    for i in range(3):
        layout.image("test", f"ILSVRC2012_test_{i}", [])
    test = LocalizationDataset(layout.close(), "test")
    assert (len(test), test.labelled, LocalizationDataset(layout.root, "val").labelled) == (3, False, True)
    assert (test[1].image.shape, test[1].label, test[1].boxes.shape) == ((40, 60, 3), -1, (0, 4))
    assert test.ids[2] == "ILSVRC2012_test_2"
    with pytest.raises(UserError, match="classes and boxes of 'test' are not public"):
        test.truth()


def test_val_is_read_from_the_xml_or_the_solution(layout: Layout) -> None:
    root = layout.close()
    from_xml = LocalizationDataset(root, "val")
    (root / "ILSVRC/Annotations/CLS-LOC/val").rename(root / "elsewhere")
    from_csv = LocalizationDataset(root, "val")
    for val in (from_xml, from_csv):
        truth = val.truth()
        assert val.ids == [f"{VAL}1", f"{VAL}2"]
        assert (truth.labels.tolist(), truth.image.tolist()) == ([1, 0], [0, 1, 1])
        assert truth.boxes.tolist() == [[0, 10, 20, 30], [20, 0, 60, 40], [0, 0, 10, 10]]


@pytest.mark.parametrize("boxes_from", ["csv", "xml"])
def test_flawed_boxes_are_repaired_and_counted_in_one_warning(
    layout: Layout, boxes_from: str, caplog: pytest.LogCaptureFixture
) -> None:
    layout.image("val", f"{VAL}3", [(FISH, 9, 9, 8, 20), (FISH, -5, 30, 70, 45), (FISH, 70, 3, 80, 9)])
    layout.image("val", f"{VAL}4", [(FISH, 5, 5, 20, 20), (SHARK, 5, 5, 20, 20), (FISH, 7, 0, 7, 30)])
    layout.image("val", f"{VAL}5", [(FISH, -9, -9, -1, -1)])
    with caplog.at_level("WARNING", "resdet"):
        val = LocalizationDataset(layout.close(), "val", boxes_from=boxes_from)  # type: ignore[arg-type]
    [record] = caplog.records
    message = record.getMessage()
    assert f"of 10 boxes 1 of another class than their image's, removed (first: {VAL}4)" in message
    assert f"1 without area, removed (first: {VAL}3)" in message
    assert f"{1 if boxes_from == 'csv' else 2} outside their image, not used" in message  # CSVs tell no sizes
    assert f"1 thinner than 2 pixels, not used (first: {VAL}4)" in message
    assert f"1 extending beyond their image, clipped (first: {VAL}3)" in message
    assert [val[i].boxes.tolist() for i in (2, 3, 4)] == [[[0, 30, 60, 40]], [[5, 5, 21, 21]], []]
    # The kit compares with the file's own numbers, and a line of one pixel is an object to it.
    assert val.truth().boxes[val.truth().image == 2].tolist() == [[-5, 30, 71, 46], [70, 3, 81, 10]]
    assert val.truth().boxes[val.truth().image == 3].tolist() == [[5, 5, 21, 21], [7, 0, 8, 31]]
    assert LocalizationDataset(layout.root, "val", with_boxes=True).lines.tolist() == [0, 1, 2, 3]
    assert len(LocalizationDataset(layout.root, "val", min_side=1)[3].boxes) == 2


def test_an_xml_without_size_is_clipped_to_the_image(layout: Layout, caplog: pytest.LogCaptureFixture) -> None:
    root = layout.close()
    layout.xml("val", f"{VAL}1", [(SHARK, 10, 10, 99, 99)], (0, 0))
    with caplog.at_level("WARNING", "resdet"):
        val = LocalizationDataset(root, "val")
    assert "1 of an xml without the image's size, which is read from the image" in caplog.text
    assert val[0].boxes.tolist() == [[10, 10, 60, 40]]


def test_boxes_shrink_with_an_image_that_is_decoded_smaller(layout: Layout) -> None:
    layout.image("val", f"{VAL}3", [(FISH, 100, 60, 299, 159)], size=(401, 200))
    item = LocalizationDataset(layout.close(), "val", decode_to=50)[2]
    assert item.image.shape == (50, 101, 3)
    assert item.size == (200, 401)
    np.testing.assert_allclose(item.boxes, [[100 * 101 / 401, 15, 300 * 101 / 401, 40]], rtol=1e-6)


def test_every_error_is_one_line_that_names_the_file(layout: Layout, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = layout.close()
    solution = root / "LOC_train_solution.csv"
    text = solution.read_text()
    solution.write_text(f"{text}{FISH}_9,{FISH} 0 0 9 9\n")
    assert f"has a row for image '{FISH}_9', which the list in" in refusal(layout)
    solution.write_text("".join(line for line in text.splitlines(True) if f"{SHARK}_2" not in line))
    assert f"has no row for image '{SHARK}_2', which" in refusal(layout)
    solution.write_text(text.replace(SHARK, OTHER, 2))
    assert f"class '{OTHER}' is not one of the 2 known" in refusal(layout)
    solution.unlink()
    xml = root / f"ILSVRC/Annotations/CLS-LOC/train/{FISH}/{FISH}_2.xml"
    whole = xml.read_text()
    xml.write_text(whole[: len(whole) // 2])
    assert f"{FISH}_2.xml: not valid XML" in refusal(layout)
    xml.write_text(whole.replace(FISH, OTHER))
    assert f"{FISH}_2.xml: class '{OTHER}' is not one of" in refusal(layout)
    xml.unlink()
    assert f"{FISH}_2.xml: no such annotation" in refusal(layout)
    assert "'csv', 'xml' or None" in refusal(layout, boxes_from="json")
    assert "the boxes of 'test' are not public" in refusal(layout, "test", with_boxes=True)
    (root / "LOC_val_solution.csv").write_text(f"ImageId,PredictionString\n{VAL}1,{SHARK} 0 0 9 9\n")
    assert f"has no row for image '{VAL}2'" in refusal(layout, "val")
    assert "has no folder ILSVRC" in refusal(Layout(tmp_path_factory.mktemp("empty")))


def test_a_set_without_any_box_is_refused(layout: Layout) -> None:
    layout.close()
    layout.file("LOC_train_solution.csv", "ImageId,PredictionString\n")
    layout.file("ILSVRC/ImageSets/CLS-LOC/train_loc.txt", "")
    assert "no image of 'train' has a box of its class" in refusal(layout)
    assert "no image of 'train' has a box of its class" in refusal(layout, boxes_from="xml")


# Tiny ImageNet --------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not TINY.is_dir(), reason="tiny-imagenet-50 is not in data/")
def test_tiny_imagenet_is_read_completely_and_the_whole_image_box_is_right_for_half(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("WARNING", "resdet"):
        train, val = LocalizationDataset(TINY, "train"), LocalizationDataset(TINY, "val")
    assert (len(train), len(train.truth().boxes), len(val), len(val.truth().boxes)) == (25000, 25000, 2500, 2500)
    assert "of 25000 boxes 193 thinner than 2 pixels" in caplog.records[0].getMessage()
    assert "of 2500 boxes 23 thinner than 2 pixels" in caplog.records[1].getMessage()
    truth, solution = val.truth(), LocalizationDataset(TINY, "val", boxes_from="csv").truth()
    assert np.array_equal(truth.boxes, solution.boxes)
    assert val[0].image.shape == (64, 64, 3)
    whole = Guesses(truth.labels[:, None], np.tile([0, 0, 64, 64], (2500, 1, 1)))
    assert localization_error(whole, truth).localization == pytest.approx(48.88)


# Sizes ----------------------------------------------------------------------------------------------------------------


def turn(layout: Layout, name: str) -> None:
    """Give a photo of val the EXIF orientation 6: it is read as 40x60 where it was 60x40."""
    path = layout.root / f"ILSVRC/Data/CLS-LOC/val/{name}.JPEG"
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(path) as image:
        image.save(path, exif=exif)


def test_an_image_of_another_size_than_annotated_is_an_error(layout: Layout) -> None:
    layout.image("val", f"{VAL}7", [(FISH, 1, 1, 30, 30)])
    val = LocalizationDataset(layout.close(), "val", boxes_from="xml")
    index = val.ids.index(f"{VAL}7")
    assert val[index].size == (40, 60)
    turn(layout, f"{VAL}7")
    for decode_to in (None, 20):
        val = LocalizationDataset(layout.root, "val", decode_to, boxes_from="xml")
        with pytest.raises(UserError, match=rf"{VAL}7.JPEG: the image is 40x60 but its annotation says 60x40"):
            val[index]


def test_boxes_without_a_size_that_only_fit_before_the_exif_rotation_are_an_error(layout: Layout) -> None:
    layout.image("val", f"{VAL}7", [(FISH, 1, 1, 55, 30)])
    layout.image("val", f"{VAL}8", [(FISH, 1, 1, 30, 30)])
    layout.image("val", f"{VAL}9", [(FISH, 1, 1, 70, 30)])  # beyond the image, which is not turned: clipped
    val = LocalizationDataset(layout.close(), "val", boxes_from="csv")
    for name in (7, 8):
        turn(layout, f"{VAL}{name}")
    with pytest.raises(UserError, match=rf"{VAL}7.JPEG: its boxes extend to 56, 31, beyond the 40x60 image"):
        val[val.ids.index(f"{VAL}7")]
    assert val[val.ids.index(f"{VAL}8")].size == (60, 40)
    assert val[val.ids.index(f"{VAL}9")].boxes.tolist() == [[1, 1, 60, 31]]
