"""ImageNet localization: the CLS-LOC layout with its flaws, crops that take their boxes along, and their batches."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from resdet.data.localization.crops import (
    MEAN_COLOUR,
    CenterLocalizationCrop,
    LocalizationCrop,
    WholeLocalizationImage,
    warped_crop,
)
from resdet.data.localization.dataset import LocalizationDataset, LocalizedImage
from resdet.data.localization.loading import localization_eval_loader, localization_loader, whole_localization_loader
from resdet.data.sampling import TrainSampler
from resdet.data.transforms import CenterCrop, ShortSide, TrainCrop
from resdet.errors import UserError
from resdet.metrics.localization_error import Guesses, localization_error

FISH, SHARK, OTHER = "n01440764", "n01484850", "n02007558"
VAL = "ILSVRC2012_val_0000000"
TINY = Path(__file__).resolve().parents[1] / "data" / "tiny-imagenet-50"
Objects = list[tuple[str, int, int, int, int]]


class Layout:
    """A CLS-LOC folder that is written image by image; images are 60x40 photos of noise."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.file("LOC_synset_mapping.txt", f"{FISH} tench, Tinca tinca\n{SHARK} great white shark\n")
        self.rows: dict[str, dict[str, str]] = {"train": {}, "val": {}}
        self.lists: dict[str, list[str]] = {"train_cls": [], "train_loc": [], "val": []}

    def file(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def image(self, part: str, name: str, objects: Objects, size: tuple[int, int] = (60, 40)) -> None:
        """An image with its boxes in both forms; of train one without boxes is in no file of boxes."""
        path = self.root / f"ILSVRC/Data/CLS-LOC/{part}/{name}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        seed = sum(name.encode())
        cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3)).astype(np.uint8))
        self.lists["train_cls" if part == "train" else part].append(name)
        if part == "test" or (part == "train" and not objects):
            return
        if part == "train":
            self.lists["train_loc"].append(name)
        stem = name.rsplit("/")[-1]
        self.rows[part][stem] = "".join(" ".join(map(str, row)) + " " for row in objects)  # a trailing blank, as there
        self.xml(part, name, objects, size)

    def xml(self, part: str, name: str, objects: Objects, size: tuple[int, int]) -> Path:
        body = f"<filename>{name}</filename><size><width>{size[0]}</width><height>{size[1]}</height></size>"
        for kind, *corners in objects:
            box = "".join(f"<{c}>{v}</{c}>" for c, v in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True))
            body += f"<object><name>{kind}</name><bndbox>{box}</bndbox></object>"
        return self.file(f"ILSVRC/Annotations/CLS-LOC/{part}/{name}.xml", f"<annotation>{body}</annotation>")

    def close(self) -> Path:
        """Write the lists and solutions."""
        for name, items in self.lists.items():
            lines = "".join(f"{item} {i}\n" for i, item in enumerate(items, 1))
            self.file(f"ILSVRC/ImageSets/CLS-LOC/{name}.txt", lines)
        for part, rows in self.rows.items():
            text = "ImageId,PredictionString\n" + "".join(f"{k},{v}\n" for k, v in reversed(rows.items()))
            self.file(f"LOC_{part}_solution.csv", text)
        return self.root


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Four images of train, of which two have boxes, and two of val."""
    layout = Layout(tmp_path)
    layout.image("train", f"{FISH}/{FISH}_1", [])
    layout.image("train", f"{FISH}/{FISH}_2", [(FISH, 0, 0, 59, 39), (FISH, 10, 5, 29, 24)])
    layout.image("train", f"{SHARK}/{SHARK}_1", [])
    layout.image("train", f"{SHARK}/{SHARK}_2", [(SHARK, 30, 20, 49, 29)])
    layout.image("val", f"{VAL}1", [(SHARK, 0, 10, 19, 29)])
    layout.image("val", f"{VAL}2", [(FISH, 20, 0, 59, 39), (FISH, 0, 0, 9, 9)])
    return layout


def refusal(layout: Layout, part: str = "train", **arguments: object) -> str:
    with pytest.raises(UserError) as caught:
        LocalizationDataset(layout.root, part, **arguments)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- reading ----------------------------------------------------------------------------------------------------------


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


def test_of_the_test_set_nothing_but_images_is_known(layout: Layout) -> None:
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
def test_flaws_are_mended_and_counted_in_one_warning(
    layout: Layout, boxes_from: str, caplog: pytest.LogCaptureFixture
) -> None:
    layout.image("val", f"{VAL}3", [(FISH, 9, 9, 8, 20), (FISH, -5, 30, 70, 45), (FISH, 70, 3, 80, 9)])
    layout.image("val", f"{VAL}4", [(FISH, 5, 5, 20, 20), (SHARK, 5, 5, 20, 20), (FISH, 7, 0, 7, 30)])
    layout.image("val", f"{VAL}5", [(FISH, -9, -9, -1, -1)])
    with caplog.at_level("WARNING", "resdet"):
        val = LocalizationDataset(layout.close(), "val", boxes_from=boxes_from)  # type: ignore[arg-type]
    [record] = caplog.records
    message = record.getMessage()
    assert f"of 10 boxes 1 of another class than their image's, left out (first: {VAL}4)" in message
    assert f"1 without area, left out (first: {VAL}3)" in message
    assert f"{1 if boxes_from == 'csv' else 2} outside of their image, not given" in message  # CSVs tell no sizes
    assert f"1 thinner than 2 pixels, not given (first: {VAL}4)" in message
    assert f"1 reaching over their image, clipped (first: {VAL}3)" in message
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
    assert "1 of an xml without the image's size, taken from the image" in caplog.text
    assert val[0].boxes.tolist() == [[10, 10, 60, 40]]


def test_boxes_shrink_with_an_image_that_is_decoded_smaller(layout: Layout) -> None:
    layout.image("val", f"{VAL}3", [(FISH, 100, 60, 299, 159)], size=(401, 200))
    item = LocalizationDataset(layout.close(), "val", decode_to=50)[2]
    assert item.image.shape == (50, 101, 3)
    assert item.size == (200, 401)
    np.testing.assert_allclose(item.boxes, [[100 * 101 / 401, 15, 300 * 101 / 401, 40]], rtol=1e-6)


def test_a_mistake_is_one_line_with_the_file(layout: Layout, tmp_path_factory: pytest.TempPathFactory) -> None:
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
    (root / "ILSVRC/ImageSets/CLS-LOC/train_loc.txt").unlink()
    assert "train_loc.txt: no such list of the images with boxes" in refusal(layout)
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


# --- views ------------------------------------------------------------------------------------------------------------


def photo(boxes: list[list[float]], width: int = 90, height: int = 60) -> LocalizedImage:
    """Black but for white boxes."""
    image = np.zeros((height, width, 3), np.uint8)
    for x1, y1, x2, y2 in boxes:
        image[round(y1) : round(y2), round(x1) : round(x2)] = 255
    return LocalizedImage(image, 0, np.array(boxes, np.float32).reshape(-1, 4), (height, width))


def white_part(image: np.ndarray) -> list[float]:
    rows, columns = (np.flatnonzero((image[..., 0] > 127).any(axis)) for axis in (1, 0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


@pytest.mark.parametrize("seed", range(12))
def test_boxes_go_with_the_pixels_of_traincrop(seed: int) -> None:
    item = photo([[25, 15, 65, 45]])
    short_side = (256, 300)  # every crop shows the box
    view = LocalizationCrop(56, short_side)(item, seed)
    np.testing.assert_allclose(view.boxes, [white_part(view.image)], atol=1)
    np.testing.assert_array_equal(view.image, TrainCrop(56, short_side)(item.image, seed))
    np.testing.assert_array_equal(view.image, LocalizationCrop(56, short_side)(item, seed).image)


def test_the_center_crop_maps_back_to_the_image() -> None:
    item = photo([[30, 20, 60, 40], [0, 0, 90, 60], [0, 0, 12, 60]])
    view = CenterLocalizationCrop(112)(item)
    np.testing.assert_array_equal(view.image, CenterCrop(112)(item.image))
    # The crop is 52 x 52 at (19, 4): the second box is cut, the third is not in it.
    np.testing.assert_allclose(view.boxes / view.scale + view.offset, [[30, 20, 60, 40], [19, 4, 71, 56]], atol=1e-4)
    assert len(CenterLocalizationCrop(112, min_visibility=0.6)(item).boxes) == 1


def test_the_map_leads_to_the_files_pixels_where_the_image_was_decoded_smaller() -> None:
    small = photo([[15, 10, 30, 20]], width=45, height=30)._replace(size=(60, 90))
    for view in (CenterLocalizationCrop(112)(small), WholeLocalizationImage(50)(small)):
        np.testing.assert_allclose(view.boxes / view.scale + view.offset, [[30, 20, 60, 40]], atol=1e-4)


def test_the_whole_image_has_the_pixels_of_shortside() -> None:
    item = photo([[30, 20, 60, 40]], width=91)
    view = WholeLocalizationImage(128)(item)
    np.testing.assert_array_equal(view.image, ShortSide(128)(item.image))
    np.testing.assert_allclose(view.boxes, [[30 * 194 / 91, 20 * 128 / 60, 60 * 194 / 91, 40 * 128 / 60]], rtol=1e-6)


def test_a_crop_without_a_box_is_drawn_again() -> None:
    corner, short_side = photo([[0, 0, 16, 16]]), (448, 448)  # crops of 30 x 30 pixels of 90 x 60
    views = [LocalizationCrop(56, short_side)(corner, seed) for seed in range(60)]
    alone = [LocalizationCrop(56, short_side)(corner._replace(boxes=corner.boxes[:0]), seed) for seed in range(60)]
    shown = [len(view.boxes) > 0 for view in views]
    first = [np.array_equal(v.offset, a.offset) for v, a in zip(views, alone, strict=True)]
    assert sum(first) < 15  # few first draws show the corner: some 3 in 100
    assert sum(shown) > 15
    for view in (view for view in views if len(view.boxes)):
        np.testing.assert_allclose(view.boxes, [white_part(view.image)], atol=2)
    # A box that no crop can show enough of is given up.
    hidden = LocalizationCrop(56, short_side, min_visibility=0.9)(photo([[0, 0, 90, 60]]), seed=0)
    assert hidden.boxes.shape == (0, 4)


def test_crops_can_grow_with_the_epochs() -> None:
    view = LocalizationCrop({0: 32, 2: 64})
    assert [view(photo([[30, 20, 60, 40]]), 0, epoch).image.shape[0] for epoch in (0, 1, 2)] == [32, 32, 64]


# --- warped regions ---------------------------------------------------------------------------------------------------


def test_a_region_is_stretched_to_a_square() -> None:
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (60, 90, 3)).astype(np.uint8)
    np.testing.assert_array_equal(warped_crop(image, np.array([20.0, 10, 52, 42]), 32), image[10:42, 20:52])
    wide = warped_crop(image, np.array([10.0, 20, 42, 28]), 32)
    expected = cv2.resize(image, None, fx=1, fy=4, interpolation=cv2.INTER_LINEAR)[80:112, 10:42]
    np.testing.assert_allclose(wide.astype(int), expected.astype(int), atol=8)  # warpAffine's 32nds of a pixel
    smooth = cv2.GaussianBlur(cv2.resize(image, (900, 600)), (0, 0), 9)
    half = warped_crop(smooth, np.array([100.0, 50, 800, 550]), 50)
    expected = cv2.resize(smooth[50:550, 100:800], (50, 50), interpolation=cv2.INTER_AREA)
    assert np.abs(half.astype(int) - expected).mean() < 1.5


def test_outside_of_the_image_is_the_mean_colour() -> None:
    image = np.full((40, 40, 3), 255, np.uint8)
    region = warped_crop(image, np.array([-20.0, 10, 20, 50]), 32)
    assert (region[:24, 16:] == 255).all()
    assert (region[:, :16] == MEAN_COLOUR).all()
    assert (region[24:] == MEAN_COLOUR).all()
    assert (warped_crop(image, np.array([90.0, 90, 99, 99]), 32) == MEAN_COLOUR).all()
    assert (warped_crop(image, np.array([0.0, 0, 40, 40]), 32) == 255).all()


def test_context_is_16_pixels_of_a_224_crop() -> None:
    item = photo([[30, 20, 60, 40]])
    tight, wide = (warped_crop(item.image, item.boxes[0], 224, context) for context in (0, 16))
    assert white_part(tight) == [0, 0, 224, 224]
    np.testing.assert_allclose(white_part(wide), [16, 16, 208, 208], atol=1)
    np.testing.assert_allclose(white_part(warped_crop(item.image, item.boxes[0], 112, 16)), [8, 8, 104, 104], atol=1)
    with pytest.raises(ValueError, match="nothing of a 224 crop"):
        warped_crop(item.image, item.boxes[0], 224, 112)


def test_any_box_gives_a_region() -> None:
    image = np.zeros((7, 5, 3), np.uint8)
    for box in ([2, 2, 2, 2], [4.9, 0, 5, 7], [-1e4, -1e4, 1e4, 1e4], [3, 5, 2, 1], [5, 7, 5, 7]):
        assert warped_crop(image, np.array(box, float), 16, 4).shape == (16, 16, 3)


# --- batches ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_training_batches_have_slots_for_the_most_boxes(layout: Layout, workers: int) -> None:
    train = LocalizationDataset(layout.close(), "train")
    sampler = TrainSampler(4, images=4, seed=3)
    batch = next(iter(localization_loader(train, LocalizationCrop(32), sampler, workers)))
    assert batch.images.shape == (4, 3, 32, 32)
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    order = [batch.image_ids.index(train.image_id(i)) for i in range(4)]
    assert batch.mask[order].sum(1).tolist() == [0, batch.mask.shape[1], 0, 1]
    assert batch.labels[order].tolist() == [0, 0, 1, 1]
    [draws] = islice(sampler, 1)
    for i, draw in enumerate(draws):
        view = LocalizationCrop(32)(train[draw.index], draw.seed)
        assert torch.equal(batch.images[i], torch.from_numpy(view.image).permute(2, 0, 1))
        assert torch.equal(batch.boxes[i][batch.mask[i]], torch.from_numpy(view.boxes))
        assert batch.seeds[i] == draw.seed


def test_an_image_that_cannot_be_read_can_be_skipped(layout: Layout) -> None:
    train = LocalizationDataset(layout.close(), "train")
    (layout.root / train.image_id(1)).unlink()
    batch = next(iter(localization_loader(train, LocalizationCrop(32), TrainSampler(4, 4, 0), workers=0, skip=True)))
    assert sorted(batch.image_ids) == sorted(train.image_id(i) for i in (0, 2, 2, 3))
    with pytest.raises(UserError, match="no such image"):
        next(iter(localization_loader(train, LocalizationCrop(32), TrainSampler(4, 4, 0), workers=0)))


def test_boxes_of_test_batches_map_back_to_their_images(layout: Layout) -> None:
    layout.image("val", f"{VAL}3", [(FISH, 20, 30, 49, 59)], size=(70, 90))
    val = LocalizationDataset(layout.close(), "val")
    order = np.array([2, 0, 1])
    center = list(localization_eval_loader(val, CenterLocalizationCrop(64, short=224), order, size=2, workers=0))
    whole = list(whole_localization_loader(val, 80, order, size=3, workers=0))
    assert [batch.indices.tolist() for batch in center] == [[2, 0], [1]]
    assert [(batch.indices.tolist(), list(batch.images.shape)) for batch in whole] == [
        ([2], [1, 3, 103, 80]),
        ([0, 1], [2, 3, 80, 120]),
    ]
    for batch in whole:
        batch = batch.to("cpu")
        mapped = batch.in_images(batch.boxes)
        for i, index in enumerate(batch.indices.tolist()):
            np.testing.assert_allclose(mapped[i][batch.mask[i]], val.boxes_of(index), atol=1e-4)
            assert batch.image_sizes[i].tolist() == list(val[index].size)
    mapped = center[0].in_images(center[0].boxes[:, :, None].expand(-1, -1, 5, -1))  # [N, R, K, 4]
    np.testing.assert_allclose(mapped[0, 0, 4], [20, 30, 50, 60], atol=1e-4)
    beyond = whole[0].in_images(torch.tensor([[[-50.0, -50, 500, 500]]]))
    assert beyond.tolist() == [[[0, 0, 70, 90]]]


# --- real photos ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not TINY.is_dir(), reason="tiny-imagenet-50 is not in data/")
def test_tiny_imagenet_is_read_whole_and_the_whole_image_is_right_for_half(caplog: pytest.LogCaptureFixture) -> None:
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
