"""From files to batches: which images make a step, what happens to pixels and boxes, what is said of missing files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from albumentations import Crop, HorizontalFlip

from resdet.data.classification.imagenet import ImageNetDataset
from resdet.data.detection.annotations import Annotation, AnnotationTable, DetectionDataset
from resdet.data.images import read_image
from resdet.data.loading import collate_detection, detection_eval_loader, detection_loader, image_loader
from resdet.data.sampling import TrainSampler, aspect_groups
from resdet.data.settings import DetectionData
from resdet.data.transforms import CenterCrop, DetectionAugmentation, Resizer, TrainCrop, build_augmentation
from resdet.errors import UserError
from resdet.structures import Batch, Sample


def indices(sampler: TrainSampler, steps: int) -> list[list[int]]:
    return [[draw.index for draw in batch] for batch in islice(sampler, steps)]


def sample_of(height: int, width: int, boxes: list[list[float]], **flags: list[bool]) -> Sample:
    pixels = np.random.default_rng(height * width).integers(0, 256, (height, width, 3)).astype(np.uint8)
    none = [False] * len(boxes)
    return Sample(
        image=torch.from_numpy(pixels),
        boxes=torch.tensor(boxes).reshape(-1, 4),
        labels=torch.arange(len(boxes)),
        difficult=torch.tensor(flags.get("difficult", none), dtype=torch.bool),
        crowd=torch.tensor(flags.get("crowd", none), dtype=torch.bool),
        image_id=f"{width}x{height}",
    )


# Which images make a step --------------------------------------------------------------------------------------------


def test_an_epoch_has_every_image_once_up_to_the_remainder() -> None:
    sampler = TrainSampler(23, images=4, seed=0)
    first, second = indices(sampler, 10)[:5], indices(sampler, 10)[5:]
    for epoch in (first, second):
        flat = [index for step in epoch for index in step]
        assert len(flat) == len(set(flat)) == 20
        assert set(flat) <= set(range(23))
    assert first != second


@pytest.mark.parametrize("world", [2, 3, 6])
def test_processes_together_make_the_step_of_one_process(world: int) -> None:
    alone = list(islice(TrainSampler(50, images=6, seed=3), 20))
    shares = [list(islice(TrainSampler(50, images=6, seed=3, rank=r, world=world), 20)) for r in range(world)]
    for step, whole in enumerate(alone):
        parts = [shares[r][step] for r in range(world)]
        assert {len(part) for part in parts} == {6 // world}
        assert sorted((d for p in parts for d in p), key=str) == sorted(whole, key=str)  # seeds and epochs too


@pytest.mark.parametrize("start", [1, 5, 7, 16])
def test_a_resumed_plan_goes_on_where_it_stopped(start: int) -> None:
    groups = np.arange(23) % 2
    whole = list(islice(TrainSampler(23, images=4, seed=0, groups=groups), 24))
    resumed = islice(TrainSampler(23, images=4, seed=0, groups=groups, start=start), 24 - start)
    assert list(resumed) == whole[start:]


def test_a_step_takes_its_images_from_one_group_and_only_leftovers_are_mixed() -> None:
    ratios = np.array([1.5] * 13 + [0.7] * 10)
    groups = aspect_groups(ratios)
    assert groups.tolist() == [0] * 13 + [1] * 10
    epoch = TrainSampler(23, images=4, seed=1, groups=groups).epoch_steps(0)
    assert epoch.shape == (5, 4)
    assert len(np.unique(epoch)) == 20
    mixed = [len(set(groups[step])) == 2 for step in epoch]
    assert sum(mixed) <= 1  # 13 = 3 x 4 + 1 and 10 = 2 x 4 + 2: the three left over do not fill a step
    assert sum(groups[step].sum() == 4 for step in epoch) == 2


def test_square_images_count_as_landscape() -> None:
    assert aspect_groups(np.array([1.0, 0.999, 1.001])).tolist() == [0, 1, 0]


def test_the_seed_changes_order_and_draws() -> None:
    a, b = (list(islice(TrainSampler(50, images=5, seed=s), 10)) for s in (0, 1))
    assert [[d.index for d in batch] for batch in a] != [[d.index for d in batch] for batch in b]
    seed_of = [{d.index: d.seed for batch in plan for d in batch} for plan in (a, b)]
    assert all(seed_of[0][i] != seed_of[1][i] for i in range(50))


def test_an_image_draws_anew_in_every_epoch() -> None:
    draws = [d for batch in islice(TrainSampler(6, images=3, seed=0), 8) for d in batch]
    assert len({d.seed for d in draws}) == 24
    assert [d.epoch for d in draws] == [0] * 6 + [1] * 6 + [2] * 6 + [3] * 6


def test_a_set_smaller_than_a_step_fills_it_by_repeating() -> None:
    (step,) = indices(TrainSampler(3, images=7, seed=0), 1)
    assert len(step) == 7
    assert set(step) == {0, 1, 2}


def test_images_that_processes_cannot_share_evenly_are_refused() -> None:
    with pytest.raises(ValueError, match=r"5 images .* 2 processes"):
        TrainSampler(50, images=5, seed=0, world=2)


# Resizing: short side 600, long side at most 1000 --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "resized"),
    [
        ((375, 500), (600, 800)),  # VOC's usual landscape: the short side decides
        ((500, 375), (800, 600)),
        ((500, 334), (898, 600)),
        ((500, 250), (1000, 500)),  # 2:1, the long side decides
        ((300, 500), (600, 1000)),  # both at once
        ((1200, 2000), (600, 1000)),
        ((600, 600), (600, 600)),
        ((10, 5000), (2, 1000)),
    ],
)
def test_short_side_600_long_side_at_most_1000(size: tuple[int, int], resized: tuple[int, int]) -> None:
    assert Resizer(600, 1000).size(*size) == resized


def test_resizing_keeps_the_rule_type_and_a_constant() -> None:
    for height, width in ((40, 50), (300, 200), (24, 120)):
        image = np.full((height, width, 3), (10, 200, 77), np.uint8)
        resizer = Resizer(60, 100)
        out = resizer(image)
        assert out.shape[:2] == resizer.size(height, width)
        assert out.dtype == np.uint8
        assert (out == (10, 200, 77)).all()


def test_an_image_of_the_right_size_is_left_as_it_is() -> None:
    image = sample_of(60, 80, []).image.numpy()
    assert Resizer(60, 100)(image) is image
    assert Resizer(120, None).size(60, 300) == (120, 600)


# Augmentation --------------------------------------------------------------------------------------------------------


def test_a_flip_mirrors_pixels_and_boxes() -> None:
    sample = sample_of(40, 60, [[0, 0, 60, 40], [5.5, 3.25, 20, 11], [59, 0, 60, 1]])
    flipped = DetectionAugmentation([HorizontalFlip(p=1.0)])(sample, seed=7)
    assert torch.equal(flipped.image, sample.image.flip(1))
    expected = torch.tensor([[0, 0, 60, 40], [40, 3.25, 54.5, 11], [0, 0, 1, 1]])
    torch.testing.assert_close(flipped.boxes, expected, rtol=0, atol=1e-4)
    assert flipped.labels.tolist() == [0, 1, 2]
    assert (flipped.boxes.dtype, flipped.image_id) == (torch.float32, sample.image_id)


def test_the_seed_alone_decides_about_the_flip() -> None:
    sample = sample_of(20, 30, [[2, 2, 10, 10]])
    one, other = (DetectionAugmentation([HorizontalFlip(p=0.5)]) for _ in range(2))
    first = [one(sample, seed) for seed in range(40)]
    np.random.seed(1)
    again = [other(sample, seed) for seed in reversed(range(40))][::-1]  # another object, order and global state
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a.image, b.image)
        assert torch.equal(a.boxes, b.boxes)
    flipped = sum(not torch.equal(s.image, sample.image) for s in first)
    assert 8 <= flipped <= 32


def test_labels_and_flags_follow_their_boxes_when_some_are_dropped() -> None:
    boxes = [[0, 0, 10, 10], [30, 0, 40, 10], [5, 20, 25, 30], [19, 30, 40, 40]]
    sample = sample_of(40, 40, boxes, difficult=[False, False, True, True], crowd=[True, False, True, False])
    left = DetectionAugmentation([Crop(0, 0, 20, 40)], min_visibility=0.1)(sample, seed=0)
    assert left.image.shape == (40, 20, 3)
    assert left.labels.tolist() == [0, 2]  # 1 is outside, of 3 a twentieth is left
    assert left.difficult.tolist() == [False, True]
    assert left.crowd.tolist() == [True, True]
    torch.testing.assert_close(left.boxes, torch.tensor([[0.0, 0, 10, 10], [5, 20, 20, 30]]))


def test_boxes_slightly_outside_and_images_without_objects_pass() -> None:
    augment = DetectionAugmentation([HorizontalFlip(p=1.0)])
    out = augment(sample_of(40, 60, [[-0.5, 0, 30, 40.01]]), seed=0)
    torch.testing.assert_close(out.boxes, torch.tensor([[30.0, 0, 60, 40]]))
    empty = augment(sample_of(40, 60, []), seed=0)
    assert (empty.boxes.shape, empty.labels.shape, empty.crowd.shape) == ((0, 4), (0,), (0,))


def test_no_transforms_are_no_augmentation() -> None:
    assert build_augmentation([]) is None


# Classification views ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(40, 60), (300, 200), (64, 64), (500, 37)])
def test_crops_have_their_size_and_a_constant_image_stays_constant(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), (9, 90, 250), np.uint8)
    views: list[Callable[..., np.ndarray]] = [TrainCrop(size=48), CenterCrop(size=48), CenterCrop(size=48, short=224)]
    for view in views:
        for seed in range(5):
            out = view(image, seed, 0)
            assert out.shape == (48, 48, 3)
            assert (out == (9, 90, 250)).all()


def test_a_training_crop_is_a_function_of_its_seed() -> None:
    image = sample_of(70, 90, []).image.numpy()
    crop = TrainCrop(size=32)
    assert all(np.array_equal(crop(image, s, 0), TrainCrop(size=32)(image, s, 0)) for s in range(5))
    assert len({crop(image, s, 0).tobytes() for s in range(20)}) == 20


def test_the_crop_size_follows_the_epoch() -> None:
    crop = TrainCrop(size={0: 32, 3: 48, 10: 64})
    image = sample_of(70, 90, []).image.numpy()
    assert [len(crop(image, 0, epoch)) for epoch in (0, 2, 3, 9, 10, 99)] == [32, 32, 48, 48, 64, 64]


def test_the_centre_crop_of_the_short_side_is_the_middle_of_the_image() -> None:
    image = sample_of(224, 320, []).image.numpy()
    assert np.array_equal(CenterCrop(size=224, short=224)(image), image[:, 48:272])
    image = sample_of(256, 256, []).image.numpy()
    assert np.array_equal(CenterCrop(size=224, short=256)(image), image[16:240, 16:240])


def test_training_crops_flip_half_of_the_time_and_mirror_exactly() -> None:
    ramp = np.repeat(np.arange(0, 240, dtype=np.uint8)[None, :, None], 240, 0).repeat(3, 2)
    crops = [TrainCrop(size=24, short_side=(256, 256))(ramp, seed, 0)[0, :, 0].astype(int) for seed in range(60)]
    falling = [c for c in crops if c[0] > c[-1]]
    assert 15 <= len(falling) <= 45
    assert all((np.diff(c) < 0).all() if c[0] > c[-1] else (np.diff(c) > 0).all() for c in crops)


def test_training_crops_lie_inside_the_image_and_have_the_paper_s_scales() -> None:
    ramp = np.repeat(np.arange(0, 240, dtype=np.float32)[None, :, None], 240, 0).repeat(3, 2).astype(np.uint8)
    widths = []
    for seed in range(200):
        row = TrainCrop(size=24)(ramp, seed, 0)[0, :, 0].astype(int)
        widths.append((abs(row[-1] - row[0])) * 24 / 23)
    # short side 256..480 for a 224 crop: the crop covers 224/480 .. 224/256 of the short side
    assert min(widths) == pytest.approx(240 * 224 / 480, abs=4)
    assert max(widths) == pytest.approx(240 * 224 / 256, abs=4)


# Batches -------------------------------------------------------------------------------------------------------------


def test_collate_pads_with_zeros_and_masks_empty_slots() -> None:
    a = sample_of(20, 30, [[1, 2, 3, 4], [5, 6, 7, 8]], crowd=[False, True])
    b = sample_of(26, 24, [])
    batch = collate_detection([(a, (40, 60), 11), (b, (13, 12), 12)])
    assert batch.images.shape == (2, 3, 26, 30)
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(batch.images[0, :, :20], a.image.permute(2, 0, 1))
    assert torch.equal(batch.images[1, :, :, :24], b.image.permute(2, 0, 1))
    assert not batch.images[0, :, 20:].any()
    assert not batch.images[1, :, :, 24:].any()
    assert batch.padded
    assert batch.sizes.tolist() == [[20, 30], [26, 24]]
    assert batch.image_sizes.tolist() == [[40, 60], [13, 12]]
    assert batch.scale.tolist() == [[0.5] * 4, [2.0] * 4]
    assert batch.mask.tolist() == [[True, True], [False, False]]
    assert batch.crowd.tolist() == [[False, True], [False, False]]
    assert batch.boxes[0].tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert batch.seeds.tolist() == [11, 12]
    assert batch.image_ids == ["30x20", "24x26"]


def test_collate_of_images_without_objects_keeps_one_empty_slot() -> None:
    batch = collate_detection([(sample_of(20, 30, []), (20, 30), 0)])
    assert (batch.boxes.shape, batch.mask.tolist(), batch.padded) == ((1, 1, 4), [[False]], False)


@pytest.fixture(scope="module")
def detection_set(tmp_path_factory: pytest.TempPathFactory) -> DetectionDataset:
    folder = tmp_path_factory.mktemp("images")
    annotations = []
    for i in range(7):
        height, width = (40, 60) if i % 2 else (50, 30)
        path = folder / f"{i}.png"
        cv2.imwrite(str(path), sample_of(height, width, []).image.numpy())
        boxes = [[1 + i, 2, 20, 30]] * (i % 3)
        annotations.append(Annotation(str(path), str(i), (height, width), np.array(boxes), np.arange(i % 3)))
    return DetectionDataset(("a", "b"), AnnotationTable(annotations))


def test_workers_do_not_change_the_batches(detection_set: DetectionDataset) -> None:
    def batches(workers: int) -> list[Batch]:
        groups = aspect_groups(detection_set.table.aspect_ratios())
        sampler = TrainSampler(7, images=2, seed=5, groups=groups)
        augment = DetectionAugmentation([HorizontalFlip(p=0.5)])
        return list(islice(detection_loader(detection_set, [Resizer(48, 80)], sampler, augment, workers), 7))

    for alone, shared in zip(batches(0), batches(2), strict=True):
        assert alone.image_ids == shared.image_ids
        for name in ("images", "sizes", "image_sizes", "boxes", "labels", "crowd", "mask", "seeds"):
            assert torch.equal(getattr(alone, name), getattr(shared, name)), name


def test_multi_scale_training_draws_a_size_for_each_image_and_epoch(detection_set: DetectionDataset) -> None:
    data = DetectionData(detection_set, Resizer(48, 80), images=1, train_scales=(32, 48, 64))
    assert data.train_resizers == [Resizer(32, 53), Resizer(48, 80), Resizer(64, 107)]

    def shorts(workers: int) -> list[int]:
        sampler = TrainSampler(7, images=1, seed=5)
        loader = detection_loader(detection_set, data.train_resizers, sampler, None, workers)
        return [int(batch.sizes.min()) for batch in islice(loader, 70)]

    drawn = shorts(0)
    assert all(drawn.count(short) > 10 for short in (32, 48, 64))
    assert drawn[:7] != drawn[7:14]
    assert drawn == shorts(2)


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="memory is read from Linux's /proc")
def test_workers_share_the_annotations_and_their_memory_stays_flat(tmp_path: Path) -> None:
    path = tmp_path / ("long" * 50 + ".png")
    cv2.imwrite(str(path), np.zeros((4, 4, 3), np.uint8))
    boxes, labels = np.tile([1.0, 1.0, 3.0, 3.0], (100, 1)), np.zeros(100, np.int64)
    table = AnnotationTable([Annotation(str(path), str(i), (4, 4), boxes, labels) for i in range(4000)])
    size = sum(array.nbytes for array in vars(table).values())
    assert size > 20e6
    dataset = DetectionDataset(("a",), table)
    sampler = TrainSampler(len(dataset), images=20, seed=0)
    loader = iter(detection_loader(dataset, [Resizer(4, 4)], sampler, None, workers=2))

    def private() -> float:
        """Bytes that the workers do not share with this process."""
        return sum(
            1024 * int(line.split()[1])
            for worker in loader._workers  # type: ignore[attr-defined]
            for line in Path(f"/proc/{worker.pid}/smaps_rollup").read_text().splitlines()
            if line.startswith("Private_Dirty")
        )

    used = []
    for epoch in range(3):
        for _ in islice(loader, 100 if epoch else 20):
            pass
        used.append(private())
    assert max(used) - used[0] < size / 5  # a list of objects would be copied page by page, as it is read


@pytest.mark.parametrize("world", [1, 2, 3])
def test_evaluation_sees_every_image_once(detection_set: DetectionDataset, world: int) -> None:
    shares = [detection_eval_loader(detection_set, Resizer(48, 80), 2, 0, False, r, world) for r in range(world)]
    ids = [i for loader in shares for batch in loader for i in batch.image_ids]
    assert sorted(ids) == [str(i) for i in range(7)]
    assert world > 1 or ids == sorted(ids)


# Classification sets -------------------------------------------------------------------------------------------------


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


def test_cls_loc_takes_the_order_of_the_mapping_and_the_solution_s_labels(tmp_path: Path) -> None:
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


def test_plain_folders_take_the_alphabet_s_order(class_folders: Path) -> None:
    val = ImageNetDataset(class_folders, "val")
    assert val.classes == val.names == ("dark", "light")
    assert val.labels.tolist() == [0] * 4 + [1] * 4
    assert val.image_id(4) == "val/light/0.png"
    assert val[0][0].mean() < 110 < val[7][0].mean()


def test_image_loader_gives_crops_labels_and_names(class_folders: Path) -> None:
    train = ImageNetDataset(class_folders, "train")
    batch = next(iter(image_loader(train, TrainCrop(32), TrainSampler(16, 8, seed=0), workers=0)))
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
        (lambda r: (r / "LOC_synset_mapping.txt").write_text("n01 a\n"), "val", "class 'n00' is not in"),
        (lambda r: (r / "ILSVRC/ImageSets/CLS-LOC/train_cls.txt").unlink(), "train", "train_cls.txt is missing"),
        (lambda r: (r / "LOC_val_solution.csv").write_text("ImageId,PredictionString\n"), "val", "no row .*'val_1'"),
    ],
)
def test_cls_loc_names_the_file_that_lacks(
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


def test_a_listed_image_that_is_missing_is_named_when_it_is_read(tmp_path: Path) -> None:
    root = cls_loc(tmp_path)
    (root / "ILSVRC/Data/CLS-LOC/val/val_1.JPEG").unlink()
    with pytest.raises(UserError, match=r"val_1\.JPEG: no such image"):
        ImageNetDataset(root, "val")[0]


def test_an_unreadable_image_stops_the_training_or_is_skipped_if_asked(
    class_folders: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "flowers"
    shutil.copytree(class_folders, root)
    broken = root / "train" / "dark" / "3.png"
    broken.write_bytes(broken.read_bytes()[:200])
    train = ImageNetDataset(root, "train")
    with pytest.raises(UserError, match=r"dark/3.png: the image is cut short"):
        next(iter(image_loader(train, TrainCrop(32), TrainSampler(16, 16, seed=0), workers=0)))
    batch = next(iter(image_loader(train, TrainCrop(32), TrainSampler(16, 16, seed=0), workers=0, skip=True)))
    assert batch.image_ids.count("train/dark/4.png") == 2
    assert batch.labels.bincount().tolist() == [8, 8]
    assert "3.png: the image is cut short" in caplog.text


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
