"""ImageNet as image-net.org publishes it, without Kaggle's files: the classes, the lists, the classes of val."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from helpers.cls_loc import FISH, OTHER, SHARK, VAL, Layout
from resdet.data.classification.cls_loc import ANSWERS, read_ilsvrc_ids
from resdet.data.classification.imagenet import ImageNetDataset
from resdet.data.localization.dataset import LocalizationDataset
from resdet.errors import UserError

NUMBERS = f"{SHARK} 1 great_white_shark\n{FISH} 2 tench\n"  # the kit's order is not that of the synsets
LISTS, XMLS = "ILSVRC/ImageSets", "ILSVRC/Annotations/CLS-LOC"


@pytest.fixture
def kaggle(tmp_path: Path) -> Path:
    """A small CLS-LOC folder with Kaggle's files; only two of the training images have boxes."""
    layout = Layout(tmp_path / "kaggle")
    layout.image("train", f"{FISH}/{FISH}_1", [])
    layout.image("train", f"{FISH}/{FISH}_2", [(FISH, 0, 0, 59, 39)])
    layout.image("train", f"{SHARK}/{SHARK}_2", [(SHARK, 30, 20, 49, 29), (SHARK, 1, 1, 9, 9)])
    layout.image("val", f"{VAL}1", [(SHARK, 0, 10, 19, 29)])
    layout.image("val", f"{VAL}2", [(FISH, 20, 0, 59, 39), (FISH, 0, 0, 9, 9)])
    layout.image("val", f"{VAL}3", [(SHARK, 5, 5, 30, 30)])
    return layout.close()


@pytest.fixture
def archives(kaggle: Path, tmp_path: Path) -> Path:
    """The same from image-net.org's archives of 2012: images, xml files, the development kit; no lists, no CSV."""
    root = tmp_path / "2012"
    for name in ("ILSVRC/Data", XMLS):
        shutil.copytree(kaggle / name, root / name)
    (root / "map_clsloc.txt").write_text(NUMBERS)
    (root / ANSWERS[0]).write_text("1\n2\n1\n")
    return root


def test_archives_without_lists_and_csv_files_are_the_same_data_set(archives: Path, kaggle: Path) -> None:
    (archives / f"ILSVRC/Data/CLS-LOC/train/{FISH}/._{FISH}_1.JPEG").write_text("of macOS")
    for image_set in ("train", "val"):
        found, expected = ImageNetDataset(archives, image_set), ImageNetDataset(kaggle, image_set)
        assert found.classes == expected.classes == (FISH, SHARK)
        assert found.names == ("tench", "great white shark")
        assert found.paths.tolist() == expected.paths.tolist()
        assert found.labels.tolist() == expected.labels.tolist()
    assert read_ilsvrc_ids(archives / "map_clsloc.txt", (FISH, SHARK)).tolist() == [2, 1]


def test_the_boxes_of_the_archives_are_those_of_the_csv_files(archives: Path, kaggle: Path) -> None:
    """2012's boxes are also of images and synsets that are not in the training set."""
    for name in (f"{FISH}/{FISH}_9", f"{OTHER}/{OTHER}_1"):
        (archives / XMLS / "train" / name).parent.mkdir(exist_ok=True)
        shutil.copy(archives / XMLS / "train" / FISH / f"{FISH}_2.xml", archives / XMLS / "train" / f"{name}.xml")
    for image_set in ("train", "val"):
        found = LocalizationDataset(archives, image_set, with_boxes=image_set == "train")
        expected = LocalizationDataset(kaggle, image_set, with_boxes=image_set == "train", boxes_from="csv")
        assert found.ids == expected.ids
        np.testing.assert_array_equal(found.truth().boxes, expected.truth().boxes)
        assert found.truth().image.tolist() == expected.truth().image.tolist()


@pytest.mark.parametrize("gone", [(ANSWERS[0],), (ANSWERS[0], "map_clsloc.txt"), ("map_clsloc.txt",)])
def test_the_xml_files_have_the_classes_of_val(archives: Path, kaggle: Path, gone: tuple[str, ...]) -> None:
    remove(archives, *gone)
    if "map_clsloc.txt" in gone:
        shutil.copy(kaggle / "LOC_synset_mapping.txt", archives)
    assert ImageNetDataset(archives, "val").labels.tolist() == [1, 0, 1]


@pytest.mark.parametrize("name", ANSWERS)
def test_the_kits_of_all_years_have_the_classes_of_val(archives: Path, name: str) -> None:
    """An image is found by its number, in a list of some of them too."""
    shutil.rmtree(archives / XMLS)
    (archives / ANSWERS[0]).rename(archives / name)
    (archives / LISTS / "CLS-LOC").mkdir(parents=True)
    (archives / LISTS / "CLS-LOC" / "val.txt").write_text(f"{VAL}3 3\n{VAL}2 2\n")
    assert ImageNetDataset(archives, "val").labels.tolist() == [1, 0]


def remove(root: Path, *names: str) -> None:
    for name in names:
        shutil.rmtree(root / name) if (root / name).is_dir() else (root / name).unlink()


@pytest.mark.parametrize(
    ("gone", "changed", "message"),
    [
        ((XMLS, ANSWERS[0]), {}, "LOC_val_solution.csv is missing: .* xml files in .*, ILSVRC2012_val"),
        ((XMLS, "map_clsloc.txt"), {}, "LOC_synset_mapping.txt is missing: .*map_clsloc.txt"),
        (("ILSVRC/Data/CLS-LOC/val",), {}, r"val.txt is missing, and .* has no \*.JPEG either"),
        ((), {ANSWERS[0]: "1\n2\n"}, f"has no line for image '{VAL}3': it has 2"),
        ((), {ANSWERS[0]: "1\n7\n1\n"}, "truth.txt:2: '7' is not a class number of .*map_clsloc"),
        ((), {"map_clsloc.txt": NUMBERS.splitlines()[0]}, "truth.txt:2: '2' is not a class number"),
        ((ANSWERS[0],), {f"{XMLS}/val/{VAL}2.xml": "<annotation/>"}, f"{VAL}2.xml: has no object, and so no class"),
    ],
)
def test_each_missing_or_damaged_file_is_one_line(
    archives: Path, gone: tuple[str, ...], changed: dict[str, str], message: str
) -> None:
    remove(archives, *gone)
    for name, text in changed.items():
        (archives / name).write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        ImageNetDataset(archives, "val")
    assert "\n" not in str(caught.value)


def test_boxes_that_are_nowhere_are_one_line(archives: Path) -> None:
    remove(archives, XMLS)
    with pytest.raises(UserError, match=r"has no boxes of 'val'; unpack the xml files to .* or add LOC_val_solution"):
        LocalizationDataset(archives, "val")


def test_a_list_may_have_backslashes_and_suffixes(kaggle: Path) -> None:
    expected = {name: ImageNetDataset(kaggle, name).paths.tolist() for name in ("train", "val")}
    for path in (kaggle / LISTS / "CLS-LOC").iterdir():
        rows = [line.split() for line in path.read_text().splitlines()]
        path.write_text("".join("{}.JPEG {}\n".format(name.replace("/", "\\"), *more) for name, *more in rows))
    for name, paths in expected.items():
        assert ImageNetDataset(kaggle, name).paths.tolist() == paths
    assert len(LocalizationDataset(kaggle, "train", with_boxes=True)) == 2
