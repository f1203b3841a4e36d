"""ImageNet DET: the published layout, pixels counted from 0, R-CNN's halves of val, and ILSVRC's own rule of a hit."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resdet.cli import split_det
from resdet.data.detection.imagenet_det import (
    ImageNetDETDataset,
    Split,
    balanced_split,
    class_counts,
    read_blacklist,
    write_det_submission,
    write_split,
)
from resdet.data.detection.splitting import subset
from resdet.errors import UserError
from resdet.metrics.voc_ap import FlatDetections, FlatTruth, evaluate_ilsvrc_det, evaluate_voc, ilsvrc_thresholds
from resdet.recipes.detection.score import score

# Numbers against the order of wnids and of lines, as ant's is in the kit: 3, with the smallest wnid of these.
CLASSES = "n02691156 2 airplane\nn02219486 3 ant\nn02672831 1 accordion\n"
ACCORDION, AIRPLANE, ANT = "n02672831", "n02691156", "n02219486"
VAL = "ILSVRC2012_val_0000000"
TRAIN = "ILSVRC2014_train_0006/ILSVRC2014_train_0006003"
SYNSET = "ILSVRC2013_train/n02672831/n02672831_431"

Objects = list[tuple[str, int, int, int, int]]


def write(root: Path, part: str, image_id: str, objects: Objects | None, size: bool = True) -> None:
    """One image of 40x30 and its xml; None for `objects` writes no xml."""
    image, xml = (root / f"ILSVRC/{kind}/DET/{part}/{image_id}" for kind in ("Data", "Annotations"))
    for path in (image, xml):
        path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(f"{image}.JPEG", np.zeros((30, 40, 3), np.uint8))
    if objects is None:
        return
    body = "<size><width>40</width><height>30</height></size>" if size else ""
    for name, *corners in objects:
        box = "".join(f"<{c}>{v}</{c}>" for c, v in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True))
        body += f"<object><name>{name}</name><bndbox>{box}</bndbox></object>"
    Path(f"{xml}.xml").write_text(f"<annotation>{body}</annotation>")


def write_list(root: Path, name: str, *lines: str) -> Path:
    path = root / "ILSVRC/ImageSets/DET" / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four images of val, two of train, one of test."""
    (tmp_path / "map_det.txt").write_text(CLASSES)
    write(tmp_path, "val", f"{VAL}1", [(ANT, 0, 0, 39, 29), (ACCORDION, 5, 6, 5, 6)])
    write(tmp_path, "val", f"{VAL}2", [])
    write(tmp_path, "val", f"{VAL}3", [(AIRPLANE, 10, 10, 20, 20)])
    write(tmp_path, "val", f"{VAL}4", [(ANT, 1, 1, 8, 8)])
    write_list(tmp_path, "val", *(f"{VAL}{i} {i}" for i in (1, 2, 3, 4)))
    write(tmp_path, "train", f"{TRAIN}6", [(AIRPLANE, 2, 3, 30, 20)])
    write(tmp_path, "train", f"{SYNSET}8", [(ACCORDION, 0, 0, 9, 9)])
    write_list(tmp_path, "train", f"{TRAIN}6 1", f"{SYNSET}8 2")
    write(tmp_path, "test", "ILSVRC2012_test_00000001", None)
    write_list(tmp_path, "test", "ILSVRC2012_test_00000001 1")
    return tmp_path


def detections_of(*rows: tuple[int, int, float, tuple]) -> FlatDetections:
    image, label, score, box = zip(*rows, strict=True)
    return FlatDetections(np.array(image), np.array(label), np.array(score), np.array(box, float))


# --- reading ----------------------------------------------------------------------------------------------------------


def test_labels_follow_the_numbers_of_the_kit(root: Path) -> None:
    val = ImageNetDETDataset(root, ["val"])
    assert val.classes == ("accordion", "airplane", "ant")
    assert val.wnids.tolist() == [ACCORDION, AIRPLANE, ANT]
    assert val.class_ids.tolist() == [1, 2, 3]
    assert val[0].labels.tolist() == [2, 0]
    assert class_counts(val).tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_pixels_are_counted_from_0_and_inclusive(root: Path) -> None:
    sample = ImageNetDETDataset(root, ["val"])[0]
    assert sample.boxes.tolist() == [[0, 0, 40, 30], [5, 6, 6, 7]]  # the whole image, and one pixel of area 1
    assert sample.image.shape == (30, 40, 3)
    assert sample.image_id == f"{VAL}1"


def test_a_box_one_pixel_too_far_is_clipped_and_an_inverted_one_dropped(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # DET has both: ILSVRC2014_train_00060036 has an object from xmin 1 to xmax 0.
    write(root, "train", f"{TRAIN}6", [(ANT, 20, 20, 40, 30), (ANT, 1, 28, 0, 28)])
    with caplog.at_level("WARNING", "resdet"):
        boxes = ImageNetDETDataset(root, ["train"])[0].boxes
    assert boxes.tolist() == [[20, 20, 40, 30]]
    assert "1 boxes reach over their image and were clipped, 1 have no area" in caplog.text


def test_sets_are_united_from_their_own_folders(root: Path) -> None:
    both = ImageNetDETDataset(root, ["train", "val"])
    assert both.table.ids.tolist()[:3] == [f"{TRAIN}6", f"{SYNSET}8", f"{VAL}1"]
    assert "/Data/DET/train/ILSVRC2013_train/" in Path(str(both.table.paths[1])).as_posix()
    assert both.image_numbers.tolist() == [1, 2, 1, 2, 3, 4]
    assert both.parts == ("train", "val")
    with pytest.raises(UserError, match=f"image '{VAL}1' is in the lists twice"):
        ImageNetDETDataset(root, ["val", "val"])


def test_lists_of_one_class_leave_out_its_negatives_and_share_images(root: Path) -> None:
    write(root, "train", f"{TRAIN}7", [(ANT, 1, 1, 8, 8)])
    write_list(root, "train_1", f"{SYNSET}8 1", f"{TRAIN}6 -1", f"{TRAIN}7 0")
    write_list(root, "train_3", f"{TRAIN}7 1")
    assert ImageNetDETDataset(root, ["train_1", "train_3"]).table.ids.tolist() == [f"{SYNSET}8", f"{TRAIN}7"]


def test_an_image_of_train_without_xml_has_no_objects(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    negative = "ILSVRC2013_train_extra0/ILSVRC2013_train_00000001"
    write(root, "train", negative, None)
    write_list(root, "train", f"{TRAIN}6 1", f"{negative} 2")
    with caplog.at_level("WARNING", "resdet"):
        train = ImageNetDETDataset(root, ["train"])
    assert train[1].boxes.shape == (0, 4)
    assert train.table.sizes.tolist() == [[30, 40], [30, 40]]  # the second from the image's header
    assert f"1 of 2 images have no annotation and count as images without objects (first: {negative})" in caplog.text
    assert ImageNetDETDataset(root, ["train"], empty_images=False).image_numbers.tolist() == [1]


def test_an_image_of_val_without_xml_is_refused(root: Path) -> None:
    write(root, "val", f"{VAL}5", None)
    write_list(root, "val", f"{VAL}1 1", f"{VAL}5 5")
    with pytest.raises(UserError, match=f"Annotations/DET/val/{VAL}5.xml: no such annotation"):
        ImageNetDETDataset(root, ["val"])


def test_test_has_images_alone(root: Path) -> None:
    dataset = ImageNetDETDataset(root, ["test"], annotated=False)
    assert dataset[0].image.shape == (30, 40, 3)
    assert len(dataset.table.labels) == 0
    with pytest.raises(UserError, match="annotated=False"):
        ImageNetDETDataset(root, ["test"])


def test_a_size_missing_from_the_xml_is_the_images(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(root, "val", f"{VAL}4", [(ANT, 1, 1, 8, 8)], size=False)
    with caplog.at_level("WARNING", "resdet"):
        assert ImageNetDETDataset(root, ["val"]).table.sizes.tolist() == [[30, 40]] * 4
    assert f"1 of 4 annotations have no image size (first: {VAL}4)" in caplog.text


def test_chosen_classes_leave_out_the_others(root: Path) -> None:
    val = ImageNetDETDataset(root, ["val"], classes=[ANT, AIRPLANE], empty_images=False)
    assert val.classes == ("ant", "airplane")
    assert val.class_ids.tolist() == [3, 2]
    assert val.image_numbers.tolist() == [1, 3, 4]
    assert val.table.labels.tolist() == [0, 1, 0]
    with pytest.raises(UserError, match=r"map_det.txt has no class 'n00000000'"):
        ImageNetDETDataset(root, ["val"], classes=["n00000000"])


def test_a_mistake_is_one_line_with_the_file(root: Path) -> None:
    def refusal(image_set: str) -> str:
        with pytest.raises(UserError) as caught:
            ImageNetDETDataset(root, [image_set])
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "val3.txt: no such list of images" in refusal("val3")
    assert "mine.txt: a list's name begins with train, val or test" in refusal("mine")
    write_list(root, "val_short", f"{VAL}1 first")
    assert "val_short.txt:1: 'ILSVRC2012_val_00000001 first' is not 'path number'" in refusal("val_short")
    write_list(root, "val_none")
    assert "val_none.txt: no image in this list" in refusal("val_none")
    write_list(root, "val_more", f"{VAL}1 1", f"{VAL}9 9")
    assert f"Data/DET/val/{VAL}9.JPEG: no such image, but it is listed in" in refusal("val_more")
    write(root, "val", f"{VAL}4", [("n00007846", 1, 1, 8, 8)])
    assert f"{VAL}4.xml: class 'n00007846' is not one of n02672831" in refusal("val")
    (root / "map_det.txt").write_text("n02691156 airplane\n")
    assert "map_det.txt:1: 'n02691156 airplane' is no class as 'n02672831 1 accordion'" in refusal("val")
    (root / "map_det.txt").unlink()
    assert "map_det.txt: no such file; it is data/map_det.txt of ILSVRC's development kit" in refusal("val")


# --- the submission and the blacklist ---------------------------------------------------------------------------------


def test_a_submission_has_the_numbers_and_pixels_of_the_files(root: Path) -> None:
    write_list(root, "val2", f"{VAL}3 3", f"{VAL}1 1")
    dataset = ImageNetDETDataset(root, ["val2"])
    table = dataset.table
    scores = np.array([0.1, 0.75, 1e-7], np.float32)
    detections = FlatDetections(table.image_of_object(), table.labels, scores, table.boxes)
    write_det_submission(root / "results.txt", dataset, detections)
    rows = np.loadtxt(root / "results.txt")
    assert rows[:, :2].tolist() == [[3, 2], [1, 3], [1, 1]]  # the numbers of val.txt, and ILSVRC's of the classes
    assert rows[:, 2].astype(np.float32).tolist() == scores.tolist()
    assert rows[:, 3:].tolist() == [[10, 10, 20, 20], [0, 0, 39, 29], [5, 6, 5, 6]]  # as in the xml


def test_images_without_numbers_of_their_own_cannot_be_submitted(root: Path) -> None:
    nothing = FlatDetections(np.zeros(0), np.zeros(0), np.zeros(0), np.zeros((0, 4)))
    with pytest.raises(UserError, match="images need numbers of their own"):
        write_det_submission(root / "results.txt", ImageNetDETDataset(root, ["train", "val"]), nothing)


def test_blacklisted_pairs_are_found_by_number_and_wnid(root: Path) -> None:
    write_list(root, "val2", f"{VAL}3 3", f"{VAL}1 1")
    (root / "blacklist.txt").write_text(f"1 {ANT}\n2 {ANT}\n3 {AIRPLANE}\n")
    dataset = ImageNetDETDataset(root, ["val2"])
    assert read_blacklist(root / "blacklist.txt", dataset).tolist() == [[1, 2], [0, 1]]
    (root / "blacklist.txt").write_text(f"{ANT} 1\n")
    with pytest.raises(UserError, match=r"blacklist.txt:1: .* is not 'image_number wnid'"):
        read_blacklist(root / "blacklist.txt", dataset)


def test_a_part_of_a_set_takes_its_blacklisted_pairs_along(root: Path) -> None:
    write_list(root, "val2", f"{VAL}3 3", f"{VAL}1 1")
    (root / "blacklist.txt").write_text(f"1 {ANT}\n3 {AIRPLANE}\n")
    dataset = ImageNetDETDataset(root, ["val2"], blacklist=root / "blacklist.txt")
    assert dataset.excluded is not None
    assert dataset.excluded.tolist() == [[1, 2], [0, 1]]
    part = subset(dataset, np.array([1, 0, 1]))  # the second image twice
    assert sorted(map(tuple, part.excluded.tolist())) == [(0, 2), (1, 1), (2, 2)]
    assert subset(dataset, np.array([0])).excluded.tolist() == [[0, 1]]


# --- halves of val ----------------------------------------------------------------------------------------------------


def _zipf_counts(images: int, classes: int) -> np.ndarray:
    """Objects of one to three classes an image, classes as unequal as DET's: half have few, one has thousands."""
    random = np.random.default_rng(0)
    counts = np.zeros((images, classes), np.int64)
    chance = 1 / np.arange(1, classes + 1)
    for row in counts:
        chosen = random.choice(classes, random.integers(0, 4), replace=False, p=chance / chance.sum())
        row[chosen] = random.geometric(0.4, len(chosen))
    return counts


def test_halves_are_balanced_disjoint_and_complete() -> None:
    counts = _zipf_counts(2001, 50)
    split = balanced_split(counts, seed=0)
    assert len(split.first) == 1001
    assert sorted([*split.first, *split.second]) == list(range(2001))
    a, b = counts[split.first].sum(0), counts[split.second].sum(0)
    imbalance = abs(a - b) / (a + b)
    assert counts.sum(0).min() > 25  # some as few as in val, whose rarest class has 31 objects
    assert (split.max_imbalance, split.median_imbalance) == (imbalance.max(), np.median(imbalance))
    assert split.max_imbalance < 0.05  # R-CNN's has some .11 at most and .04 in the median
    assert split.median_imbalance < 0.02


def test_a_seed_is_a_split() -> None:
    counts = _zipf_counts(100, 10)
    one, same, other = (balanced_split(counts, seed) for seed in (1, 1, 2))
    assert one.first.tolist() == same.first.tolist()
    assert one.first.tolist() != other.first.tolist()


@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (5, 0), (2, 1)])
def test_a_split_of_next_to_nothing(shape: tuple[int, int]) -> None:
    split = balanced_split(np.ones(shape, int), seed=0)
    assert len(split.first) - len(split.second) == shape[0] % 2
    assert sorted([*split.first, *split.second]) == list(range(shape[0]))


def test_written_halves_are_read_by_name_and_by_path(root: Path) -> None:
    val = ImageNetDETDataset(root, ["val"])
    split = Split(np.array([0, 3]), np.array([1, 2]), 0.0, 0.0)
    write_split(root / "ILSVRC/ImageSets/DET", val, split)
    train = ImageNetDETDataset(root, ["train", "val1"])
    assert train.table.ids.tolist()[2:] == [f"{VAL}1", f"{VAL}4"]
    _, second = write_split(root / "halves", val, split)
    assert second.read_text() == f"{VAL}2 2\n{VAL}3 3\n"
    assert ImageNetDETDataset(root, [str(second)]).image_numbers.tolist() == [2, 3]
    with pytest.raises(UserError, match="divide val alone"):
        write_split(root / "halves", train, split)


# --- ILSVRC's rule of a hit -------------------------------------------------------------------------------------------


def test_a_small_object_needs_less_overlap() -> None:
    # The kit's example: 10x10 pixels inside a detection of 20x20, IoU 100 / 400, and 10 * 10 / (20 * 20) is asked.
    truth = FlatTruth(np.array([0]), np.array([0]), np.array([[5.0, 5, 15, 15]]), np.array([False]))
    assert ilsvrc_thresholds(truth.box).tolist() == [0.25]
    around = detections_of((0, 0, 0.9, (0, 0, 20, 20)))
    assert evaluate_ilsvrc_det(around, truth, 1).mean_ap == 1
    assert evaluate_voc(around, truth, 1).mean_ap == 0
    assert evaluate_ilsvrc_det(detections_of((0, 0, 0.9, (0, 0, 20, 20.1))), truth, 1).mean_ap == 0


def test_the_threshold_is_a_half_from_some_25_pixels_on() -> None:
    box = np.array([[0, 0, 24, 24], [0, 0, 25, 25], [0, 0, 500, 12], [0, 0, 500, 4]], np.float32)
    expected = [24 * 24 / (34 * 34), 0.5, 0.5, 500 * 4 / (510 * 14)]
    np.testing.assert_allclose(ilsvrc_thresholds(box), expected, rtol=1e-12)


def test_a_detection_falls_back_to_a_truth_that_is_still_free() -> None:
    box, near = (0, 0, 30, 30), (0, 0, 30, 27)
    truth = FlatTruth(np.zeros(2), np.zeros(2), np.array([box, near]), np.zeros(2, bool))
    twice = detections_of((0, 0, 0.9, box), (0, 0, 0.8, box), (0, 0, 0.7, box))
    result = evaluate_ilsvrc_det(twice, truth, 1).classes[0]
    np.testing.assert_allclose(result.recall, [0.5, 1, 1])
    np.testing.assert_allclose(evaluate_voc(twice, truth, 1).classes[0].recall, [0.5, 0.5, 0.5])


def test_the_best_overlap_counts_only_where_it_is_enough() -> None:
    # IoU .36 with the large truth is more than the .3 with the small one, but only the small one is content with it.
    large, small, detection = (0, 0, 100, 10), (0, 0, 36, 3), (0, 0, 36, 10)
    truth = FlatTruth(np.zeros(2), np.zeros(2), np.array([large, small]), np.zeros(2, bool))
    assert ilsvrc_thresholds(truth.box).round(3).tolist() == [0.455, 0.181]
    result = evaluate_ilsvrc_det(detections_of((0, 0, 0.9, detection), (0, 0, 0.8, large)), truth, 1)
    assert result.mean_ap == 1


def test_an_excluded_pair_counts_neither_way() -> None:
    box, far = (0, 0, 30, 30), (50, 50, 90, 90)
    truth = FlatTruth(np.array([0, 1, 1]), np.array([0, 0, 1]), np.array([box, box, box]), np.zeros(3, bool))
    detections = detections_of((0, 0, 0.9, far), (1, 0, 0.8, box), (1, 1, 0.7, box), (0, 1, 0.6, box))
    result = evaluate_ilsvrc_det(detections, truth, 2, excluded=np.array([[0, 0]]))
    assert [r.ap for r in result.classes] == [1, 1]
    assert result.classes[0].num_truth == 1
    assert evaluate_ilsvrc_det(detections, truth, 2).classes[0].ap == 0.25


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_agrees_with_a_literal_loop_of_the_kit(seed: int) -> None:
    random = np.random.default_rng(seed)
    num_classes, images = 3, 4
    truth_box = _pixel_boxes(random, int(random.integers(0, 25)))
    truth_image = random.integers(0, images, len(truth_box))
    truth_label = random.integers(0, num_classes, len(truth_box))
    box = _pixel_boxes(random, int(random.integers(0, 80)))
    image = np.sort(random.integers(0, images, len(box)))
    label = random.integers(0, num_classes, len(box))
    score = random.integers(0, 10, len(box)) / 10  # coarse: ties are frequent
    excluded, last_pixel = np.array([[0, 0], [2, 1]]), np.array([0, 0, 1, 1])
    result = evaluate_ilsvrc_det(
        FlatDetections(image, label, score, box + last_pixel),
        FlatTruth(truth_image, truth_label, truth_box + last_pixel, np.zeros(len(truth_box), bool)),
        num_classes,
        excluded,
    )
    found = [(int(i), int(k), float(s), b.tolist()) for i, k, s, b in zip(image, label, score, box, strict=True)]
    truth = [(int(i), int(k), b.tolist()) for i, k, b in zip(truth_image, truth_label, truth_box, strict=True)]
    expected = [_kit_ap(found, truth, k, {(0, 0), (2, 1)}) for k in range(num_classes)]
    np.testing.assert_allclose([r.ap for r in result.classes], expected, atol=1e-12)


def _pixel_boxes(random: np.random.Generator, count: int) -> np.ndarray:
    """Inclusive integers from 0, small enough that every threshold is another one and overlaps are frequent."""
    corner = random.integers(0, 10, (count, 2))
    return np.concatenate([corner, corner + random.integers(0, 14, (count, 2))], axis=1)


def _kit_ap(found: list, truth: list, label: int, excluded: set) -> float:
    """The rules of eval_detection.m for one class, one object after the other, on inclusive pixels."""
    objects = [(i, b) for i, k, b in truth if k == label and (i, k) not in excluded]
    if not objects:
        return math.nan
    detected: set[int] = set()
    hits: list[bool] = []
    for image, k, _, box in sorted(found, key=lambda row: -row[2]):
        if k != label or (image, k) in excluded:
            continue
        best, chosen = -math.inf, None
        for j, (where, other) in enumerate(objects):
            if where != image or j in detected:
                continue
            overlap, (width, height) = _pixel_iou(box, other), _pixel_sides(other)
            enough = min(0.5, width * height / ((width + 10) * (height + 10)))
            if overlap >= enough and overlap > best:
                best, chosen = overlap, j
        hits.append(chosen is not None)
        if chosen is not None:
            detected.add(chosen)
    precision = [sum(hits[: n + 1]) / (n + 1) for n in range(len(hits))]
    return sum(max(precision[n:]) for n, hit in enumerate(hits) if hit) / len(objects)


def _pixel_sides(box: list[int]) -> tuple[int, int]:
    return box[2] - box[0] + 1, box[3] - box[1] + 1


def _pixel_iou(a: list[int], b: list[int]) -> float:
    width, height = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) + 1 for i in (0, 1))
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / (math.prod(_pixel_sides(a)) + math.prod(_pixel_sides(b)) - width * height)


def test_the_command_divides_val_and_names_both_lists(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    split_det.main([str(root), "--seed", "1"])
    printed = capsys.readouterr().out
    assert "val1.txt: 2 images" in printed
    assert "imbalance of the classes:" in printed
    halves = [ImageNetDETDataset(root, [name]).table.ids.tolist() for name in ("val1", "val2")]
    assert sorted(halves[0] + halves[1]) == sorted(ImageNetDETDataset(root, ["val"]).table.ids.tolist())


def test_a_detector_is_scored_by_the_task_s_rule(root: Path) -> None:
    dataset = ImageNetDETDataset(root, ["val"])
    table = dataset.table
    perfect = FlatDetections(table.image_of_object(), table.labels, np.ones(len(table.labels)), table.boxes)
    evaluation = score(perfect, dataset, "ilsvrc")
    assert evaluation.figures["mAP50"] == 1
    (root / "blacklist.txt").write_text(f"{dataset.image_numbers[0]} {dataset.wnids[table.labels[0]]}\n")
    without = ImageNetDETDataset(root, ["val"], blacklist=root / "blacklist.txt")
    counts = [sum(c.num_truth for c in score(perfect, d, "ilsvrc").classes) for d in (dataset, without)]
    assert counts[1] < counts[0]
