"""Reading ImageNet DET: the published layout, submissions and the blacklist."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from helpers.imagenet_det import ACCORDION, AIRPLANE, ANT, SYNSET, TRAIN, VAL, write_image, write_list
from resdet.data.detection.imagenet_det import ImageNetDETDataset, read_blacklist, write_det_submission
from resdet.data.detection.imagenet_det_halves import class_counts
from resdet.data.detection.splitting import subset
from resdet.errors import UserError
from resdet.inspection.imagenet_det import check_imagenet_det
from resdet.metrics.flat import FlatDetections
from resdet.recipes.detection.score import score

# Reading --------------------------------------------------------------------------------------------------------------


def test_labels_follow_the_class_numbers_of_the_devkit(det_folder: Path) -> None:
    val = ImageNetDETDataset(det_folder, ["val"])
    assert val.classes == ("accordion", "airplane", "ant")
    assert val.wnids.tolist() == [ACCORDION, AIRPLANE, ANT]
    assert val.class_ids.tolist() == [1, 2, 3]
    assert val[0].labels.tolist() == [2, 0]
    assert class_counts(val).tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_pixels_are_counted_from_0_and_inclusive(det_folder: Path) -> None:
    sample = ImageNetDETDataset(det_folder, ["val"])[0]
    assert sample.boxes.tolist() == [[0, 0, 40, 30], [5, 6, 6, 7]]  # the whole image, and one pixel of area 1
    assert sample.image.shape == (30, 40, 3)
    assert sample.image_id == f"{VAL}1"


def test_a_box_one_pixel_too_far_is_clipped_and_an_inverted_one_dropped(
    det_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # DET has both: ILSVRC2014_train_00060036 has an object from xmin 1 to xmax 0.
    write_image(det_folder, "train", f"{TRAIN}6", [(ANT, 20, 20, 40, 30), (ANT, 1, 28, 0, 28)])
    with caplog.at_level("WARNING", "resdet"):
        boxes = ImageNetDETDataset(det_folder, ["train"])[0].boxes
    assert boxes.tolist() == [[20, 20, 40, 30]]
    assert "1 boxes extend beyond their image and were clipped, 1 have no area" in caplog.text


def test_image_sets_are_merged_from_their_own_folders(det_folder: Path) -> None:
    both = ImageNetDETDataset(det_folder, ["train", "val"])
    assert both.table.ids.tolist()[:3] == [f"{TRAIN}6", f"{SYNSET}8", f"{VAL}1"]
    assert "/Data/DET/train/ILSVRC2013_train/" in Path(str(both.table.paths[1])).as_posix()
    assert both.image_numbers.tolist() == [1, 2, 1, 2, 3, 4]
    assert both.parts == ("train", "val")
    with pytest.raises(UserError, match=f"image '{VAL}1' is in the lists twice"):
        ImageNetDETDataset(det_folder, ["val", "val"])


def test_lists_of_one_class_leave_out_its_negatives_and_share_images(det_folder: Path) -> None:
    write_image(det_folder, "train", f"{TRAIN}7", [(ANT, 1, 1, 8, 8)])
    write_list(det_folder, "train_1", f"{SYNSET}8 1", f"{TRAIN}6 -1", f"{TRAIN}7 0")
    write_list(det_folder, "train_3", f"{TRAIN}7 1")
    assert ImageNetDETDataset(det_folder, ["train_1", "train_3"]).table.ids.tolist() == [f"{SYNSET}8", f"{TRAIN}7"]


def test_an_image_of_train_without_xml_has_no_objects(det_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    negative = "ILSVRC2013_train_extra0/ILSVRC2013_train_00000001"
    write_image(det_folder, "train", negative, None)
    write_list(det_folder, "train", f"{TRAIN}6 1", f"{negative} 2")
    with caplog.at_level("WARNING", "resdet"):
        train = ImageNetDETDataset(det_folder, ["train"])
    assert train[1].boxes.shape == (0, 4)
    assert train.table.sizes.tolist() == [[30, 40], [30, 40]]  # the second from the image's header
    assert f"1 of 2 images have no annotation and count as images without objects (first: {negative})" in caplog.text
    assert ImageNetDETDataset(det_folder, ["train"], empty_images=False).image_numbers.tolist() == [1]


def test_an_image_of_val_without_xml_is_refused(det_folder: Path) -> None:
    write_image(det_folder, "val", f"{VAL}5", None)
    write_list(det_folder, "val", f"{VAL}1 1", f"{VAL}5 5")
    with pytest.raises(UserError, match=f"Annotations/DET/val/{VAL}5.xml: no such annotation"):
        ImageNetDETDataset(det_folder, ["val"])


def test_the_test_set_has_images_only(det_folder: Path) -> None:
    dataset = ImageNetDETDataset(det_folder, ["test"], annotated=False)
    assert dataset[0].image.shape == (30, 40, 3)
    assert len(dataset.table.labels) == 0
    with pytest.raises(UserError, match="annotated=False"):
        ImageNetDETDataset(det_folder, ["test"])


def test_a_size_missing_from_the_xml_is_the_images(det_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_image(det_folder, "val", f"{VAL}4", [(ANT, 1, 1, 8, 8)], size=False)
    with caplog.at_level("WARNING", "resdet"):
        assert ImageNetDETDataset(det_folder, ["val"]).table.sizes.tolist() == [[30, 40]] * 4
    assert f"1 of 4 annotations have no image size (first: {VAL}4)" in caplog.text


def test_chosen_classes_leave_out_the_others(det_folder: Path) -> None:
    val = ImageNetDETDataset(det_folder, ["val"], classes=[ANT, AIRPLANE], empty_images=False)
    assert val.classes == ("ant", "airplane")
    assert val.class_ids.tolist() == [3, 2]
    assert val.image_numbers.tolist() == [1, 3, 4]
    assert val.table.labels.tolist() == [0, 1, 0]
    with pytest.raises(UserError, match=r"map_det.txt has no class 'n00000000'"):
        ImageNetDETDataset(det_folder, ["val"], classes=["n00000000"])


def test_every_error_is_one_line_that_names_the_file(det_folder: Path) -> None:
    def refusal(image_set: str) -> str:
        with pytest.raises(UserError) as caught:
            ImageNetDETDataset(det_folder, [image_set])
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "val3.txt: no such list of images" in refusal("val3")
    assert "mine.txt: a list's name begins with train, val or test" in refusal("mine")
    write_list(det_folder, "val_short", f"{VAL}1 first")
    assert "val_short.txt:1: 'ILSVRC2012_val_00000001 first' is not 'path number'" in refusal("val_short")
    write_list(det_folder, "val_none")
    assert "val_none.txt: no image in this list" in refusal("val_none")
    write_list(det_folder, "val_more", f"{VAL}1 1", f"{VAL}9 9")
    assert f"Data/DET/val/{VAL}9.JPEG: no such image, but it is listed in" in refusal("val_more")
    write_image(det_folder, "val", f"{VAL}4", [("n00007846", 1, 1, 8, 8)])
    assert f"{VAL}4.xml: class 'n00007846' is not one of n02672831" in refusal("val")
    (det_folder / "map_det.txt").write_text("n02691156 airplane\n")
    assert "map_det.txt:1: 'n02691156 airplane' is not of the form 'n02672831 1 accordion'" in refusal("val")
    (det_folder / "map_det.txt").unlink()
    assert "map_det.txt: no such file; it is data/map_det.txt of ILSVRC's development kit" in refusal("val")


# Submissions and the blacklist ----------------------------------------------------------------------------------------


def test_a_submission_has_the_numbers_and_pixels_of_the_files(det_folder: Path) -> None:
    write_list(det_folder, "val2", f"{VAL}3 3", f"{VAL}1 1")
    dataset = ImageNetDETDataset(det_folder, ["val2"])
    table = dataset.table
    scores = np.array([0.1, 0.75, 1e-7], np.float32)
    detections = FlatDetections(table.image_of_object(), table.labels, scores, table.boxes)
    write_det_submission(det_folder / "results.txt", dataset, detections)
    rows = np.loadtxt(det_folder / "results.txt")
    assert rows[:, :2].tolist() == [[3, 2], [1, 3], [1, 1]]  # the numbers of val.txt, and ILSVRC's of the classes
    assert rows[:, 2].astype(np.float32).tolist() == scores.tolist()
    assert rows[:, 3:].tolist() == [[10, 10, 20, 20], [0, 0, 39, 29], [5, 6, 5, 6]]  # as in the xml


def test_images_without_numbers_of_their_own_cannot_be_submitted(det_folder: Path) -> None:
    nothing = FlatDetections(np.zeros(0), np.zeros(0), np.zeros(0), np.zeros((0, 4)))
    with pytest.raises(UserError, match="every image needs its own number"):
        write_det_submission(det_folder / "results.txt", ImageNetDETDataset(det_folder, ["train", "val"]), nothing)


def test_blacklisted_pairs_are_found_by_number_and_wnid(det_folder: Path) -> None:
    write_list(det_folder, "val2", f"{VAL}3 3", f"{VAL}1 1")
    (det_folder / "blacklist.txt").write_text(f"1 {ANT}\n2 {ANT}\n3 {AIRPLANE}\n")
    dataset = ImageNetDETDataset(det_folder, ["val2"])
    assert read_blacklist(det_folder / "blacklist.txt", dataset).tolist() == [[1, 2], [0, 1]]
    (det_folder / "blacklist.txt").write_text(f"{ANT} 1\n")
    with pytest.raises(UserError, match=r"blacklist.txt:1: .* is not 'image_number wnid'"):
        read_blacklist(det_folder / "blacklist.txt", dataset)


def test_a_part_of_a_set_takes_its_blacklisted_pairs_along(det_folder: Path) -> None:
    write_list(det_folder, "val2", f"{VAL}3 3", f"{VAL}1 1")
    (det_folder / "blacklist.txt").write_text(f"1 {ANT}\n3 {AIRPLANE}\n")
    dataset = ImageNetDETDataset(det_folder, ["val2"], blacklist=det_folder / "blacklist.txt")
    assert dataset.excluded is not None
    assert dataset.excluded.tolist() == [[1, 2], [0, 1]]
    part = subset(dataset, np.array([1, 0, 1]))  # the second image twice
    assert sorted(map(tuple, part.excluded.tolist())) == [(0, 2), (1, 1), (2, 2)]
    assert subset(dataset, np.array([0])).excluded.tolist() == [[0, 1]]


# Scoring --------------------------------------------------------------------------------------------------------------


def test_a_detector_is_scored_by_ilsvrcs_rule(det_folder: Path) -> None:
    dataset = ImageNetDETDataset(det_folder, ["val"])
    table = dataset.table
    perfect = FlatDetections(table.image_of_object(), table.labels, np.ones(len(table.labels)), table.boxes)
    evaluation = score(perfect, dataset, "ilsvrc")
    assert evaluation.figures["mAP50"] == 1
    (det_folder / "blacklist.txt").write_text(f"{dataset.image_numbers[0]} {dataset.wnids[table.labels[0]]}\n")
    without = ImageNetDETDataset(det_folder, ["val"], blacklist=det_folder / "blacklist.txt")
    counts = [sum(c.num_truth for c in score(perfect, d, "ilsvrc").classes) for d in (dataset, without)]
    assert counts[1] < counts[0]


def test_a_list_may_have_backslashes_and_suffixes(det_folder: Path) -> None:
    path = det_folder / "ILSVRC/ImageSets/DET/val.txt"
    plain = [line.split() for line in path.read_text().splitlines()]
    expected = ImageNetDETDataset(det_folder, ["val"]).table.ids.tolist()
    path.write_text("".join(f"{words[0]}.JPEG {' '.join(words[1:])}\n" for words in plain))
    assert ImageNetDETDataset(det_folder, ["val"]).table.ids.tolist() == expected


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "..\\x"])
def test_a_list_does_not_lead_out_of_the_images(det_folder: Path, name: str) -> None:
    write_list(det_folder, "val", f"{name} 1")
    with pytest.raises(UserError, match=r"val\.txt:1: .* is not below the folder of images; list paths below it"):
        ImageNetDETDataset(det_folder, ["val"])


def test_every_image_that_is_listed_twice_is_named(det_folder: Path) -> None:
    write_list(det_folder, "val", f"{VAL}1 1", f"{VAL}2 2", f"{VAL}1 3", f"{VAL}2 4")
    told = [problem.text for problem in check_imagenet_det(det_folder, ["val"]) if problem.refused]
    assert [f"{VAL}{i} is in the lists twice" in text for i, text in zip((1, 2), told, strict=True)] == [True, True]


def test_boxes_that_are_fractions_are_refused(det_folder: Path) -> None:
    for path in (det_folder / "ILSVRC/Annotations/DET").rglob("*.xml"):
        path.write_text(
            re.sub(r"(<(?:xm|ym)(in|ax)>)\d+", lambda m: m[1] + (".2" if m[2] == "in" else ".7"), path.read_text())
        )
    with pytest.raises(UserError, match="they are fractions of the images"):
        ImageNetDETDataset(det_folder, ["val"])
