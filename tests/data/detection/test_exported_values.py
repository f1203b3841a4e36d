"""Values as exporters write them: pandas, .NET, labelImg, Roboflow, LabelMe, COCO Annotator."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.coco import instances, write
from helpers.voc import SIZE_XML, object_xml, read_one, write_image, write_voc_xml
from resdet.data.classification.imagenet import ImageNetDataset
from resdet.data.detection.coco import COCODataset
from resdet.data.detection.imagenet_det import ImageNetDETDataset
from resdet.data.detection.voc import VOCDataset
from resdet.data.detection.yolo import YOLODataset
from resdet.data.image_files import resolve_image
from resdet.errors import UserError
from resdet.inspection.coco import check_coco
from resdet.inspection.fix_voc import fix_voc
from resdet.inspection.fixes import Fixes
from resdet.inspection.voc import check_voc

POLYGON = [[1.0, 2, 11, 2, 11, 14]]


def coco_of(root: Path, change: Callable[[dict[str, Any]], object], **options: Any) -> COCODataset:
    """The data set of a file whose first annotation, image and category can be changed."""
    content = instances()
    change({"object": content["annotations"][0], "image": content["images"][1], "category": content["categories"][0]})
    return COCODataset(write(root, content), ["val"], **options)


@pytest.mark.parametrize(
    "value", [0, 0.0, False, "0", "0.0", "false", "False", "no", "", "None", "nan", None, math.nan]
)
def test_a_crowd_flag_that_says_no(tmp_path: Path, value: object) -> None:
    dataset = coco_of(tmp_path, lambda records: records["object"].update(iscrowd=value))
    assert dataset.truth.crowd.tolist().count(True) == 1  # annotation 2 alone
    assert not dataset[1].crowd.any()


@pytest.mark.parametrize("value", [1, 1.0, True, "1", "1.0", "true", "Yes"])
def test_a_crowd_flag_that_says_yes(tmp_path: Path, value: object) -> None:
    assert coco_of(tmp_path, lambda records: records["object"].update(iscrowd=value))[1].crowd.all()


@pytest.mark.parametrize("value", [2, -1, "maybe", [0], {}, 0.5])
def test_a_crowd_flag_that_says_nothing_is_refused(tmp_path: Path, value: object) -> None:
    with pytest.raises(UserError, match=r"annotation 1 has iscrowd .* which is neither 0 nor 1"):
        coco_of(tmp_path, lambda records: records["object"].update(iscrowd=value))


@pytest.mark.parametrize("value", [None, "", math.nan, "NaN", "None", "null"])
def test_an_area_that_is_not_known_is_the_boxes(tmp_path: Path, value: object) -> None:
    truth = coco_of(tmp_path, lambda records: records["object"].update(area=value)).truth
    assert 10 * 20.25 in truth.area.tolist()


@pytest.mark.parametrize("bbox", [None, [], "", [None] * 4, [math.nan] * 4, ["", "", "", ""]])
@pytest.mark.parametrize("outline", [POLYGON, POLYGON[0], [[[1, 2], [11, 2], [11, 14]]], [["1", "2", "11", "14"]]])
def test_a_box_without_values_is_that_around_the_outline(tmp_path: Path, bbox: object, outline: object) -> None:
    dataset = coco_of(tmp_path, lambda records: records["object"].update(bbox=bbox, segmentation=outline))
    assert dataset[1].boxes.tolist() == [[1, 2, 11, 14]]


@pytest.mark.parametrize("value", [None, "", "None", math.nan, -1, 0, "-1"])
def test_a_size_that_is_not_known_is_read_from_the_image(tmp_path: Path, value: object) -> None:
    dataset = coco_of(tmp_path, lambda records: records["image"].update(width=value))
    assert dataset.table.sizes[1].tolist() == [30, 40]


@pytest.mark.parametrize("value", ["40", 40.0, 39.6, "40.2"])
def test_a_size_is_rounded_in_coco_and_voc(tmp_path: Path, value: object) -> None:
    assert coco_of(tmp_path, lambda records: records["image"].update(width=value))[1].image.shape[1] == 40
    size = SIZE_XML.replace("60", str(float(str(value)) + 20))
    assert read_one(tmp_path, size + object_xml("cat", (1, 1, 9, 9)), classes=None)[0].image.shape[1] == 60


def test_names_of_categories_and_files_may_end_in_a_line_break(tmp_path: Path) -> None:
    def change(records: dict[str, Any]) -> None:
        records["category"]["name"] = " bus\n"
        records["image"]["file_name"] += "\n"

    assert coco_of(tmp_path, change).classes == ("car", "bus")


@pytest.mark.parametrize("absent", [None, "", math.nan])
def test_annotations_need_no_id(tmp_path: Path, absent: object) -> None:
    content = instances()
    for item in content["annotations"]:
        item["id"] = absent
    assert len(COCODataset(write(tmp_path, content), ["val"]).truth.label) == 4


def test_a_set_whose_objects_are_all_dropped_is_empty_after_filtering(tmp_path: Path) -> None:
    content = instances()
    for item in content["annotations"]:
        item["bbox"] = [1, 1, 0, 0]
    with pytest.raises(UserError, match="no image is left by empty_images=False"):
        COCODataset(write(tmp_path, content), ["val"], empty_images=False)


def test_boxes_that_are_fractions_are_refused_where_pixels_are_meant(tmp_path: Path) -> None:
    content = instances()
    for item in content["annotations"]:
        item["bbox"] = [0.25, 0.25, 0.5, 0.5]
    with pytest.raises(UserError, match="all 4 boxes lie in the first pixels: they are fractions of the images"):
        COCODataset(write(tmp_path / "coco", content), ["val"])
    with pytest.raises(UserError, match="they are fractions"):
        read_one(tmp_path, SIZE_XML + object_xml("cat", (0.1, 0.1, 0.5, 0.5)), classes=None)
    content["annotations"][0]["bbox"] = [0.25, 0.25, 20, 20]  # a box in pixels, and small ones beside it
    assert len(COCODataset(write(tmp_path / "pixels", content), ["val"])) == 3


def body(name: str) -> str:
    return f"<annotation>{SIZE_XML}{object_xml(name, (1, 1, 9, 9))}</annotation>"


@pytest.mark.parametrize(
    "content",
    [
        f'<?xml version="1.0" encoding="utf-16"?>{body("cat")}'.encode(),  # .NET's StringWriter, saved as UTF-8
        f'\n\n<?xml version="1.0"?>{body("cat")}'.encode(),
        f"{body('cat')}\0\0\n".encode(),
        f'<?xml version="1.0" encoding="gbk"?>{body("cat")}'.encode("gbk"),
        f'<?xml version="1.0" encoding="ISO-8859-1"?>{body("cat")}'.encode("latin-1"),
    ],
)
def test_xml_with_a_wrong_or_late_declaration_is_read(tmp_path: Path, content: bytes) -> None:
    folder = write_voc_xml(tmp_path, {"a": ""})
    (folder / "Annotations/a.xml").write_bytes(content)
    assert VOCDataset(tmp_path, [("2007", "trainval")], None).classes == ("cat",)


def test_a_multi_byte_encoding_is_read_as_declared(tmp_path: Path) -> None:
    folder = write_voc_xml(tmp_path, {"a": ""})
    (folder / "Annotations/a.xml").write_bytes(f'<?xml version="1.0" encoding="gbk"?>{body("猫")}'.encode("gbk"))
    assert VOCDataset(tmp_path, [("2007", "trainval")], None).classes == ("猫",)


@pytest.mark.parametrize("codec", ["utf-7", "utf-16", "gbk"])
def test_no_encoding_hides_an_entity(tmp_path: Path, codec: str) -> None:
    folder = write_voc_xml(tmp_path, {"a": ""})
    text = f'<?xml version="1.0" encoding="{codec}"?><!DOCTYPE a [<!ENTITY e "x">]>{body("&e;")}'
    (folder / "Annotations/a.xml").write_bytes(text.encode("ascii").replace(b"<!", b"+ADw-!") if codec == "utf-7" else
                                               text.encode(codec))  # fmt: skip
    with pytest.raises(UserError, match=r"DOCTYPE|not valid XML"):
        VOCDataset(tmp_path, [("2007", "trainval")], None)


def test_objects_that_are_not_directly_in_the_annotation_are_told(tmp_path: Path) -> None:
    nested = f"{SIZE_XML}<objects>{object_xml('cat', (1, 1, 9, 9))}</objects>"
    with pytest.raises(UserError, match=r"a\.xml: has objects in <objects>; VOC has them directly in <annotation>"):
        read_one(tmp_path, nested, classes=("cat",))


@pytest.mark.parametrize(
    "polygon",
    [
        "<x1>3</x1><y1>4</y1><x2>20</x2><y2>4</y2><x3>20</x3><y3>30</y3>",  # Roboflow
        "<username>x</username><pt><x>3</x><y>4</y></pt><pt><x>20</x><y>30</y></pt>",  # LabelMe
    ],
)
def test_an_object_of_voc_with_a_polygon_alone_has_its_enclosing_box(tmp_path: Path, polygon: str) -> None:
    item = f"<object><name>cat</name><polygon>{polygon}</polygon></object>"
    assert read_one(tmp_path, SIZE_XML + item, classes=None)[0].boxes.tolist() == [[2, 3, 20, 30]]


@pytest.mark.parametrize("part", ["name", "bndbox"])
def test_an_object_with_two_names_or_boxes_is_refused_and_left_to_the_user(tmp_path: Path, part: str) -> None:
    """The first alone was read, and --fix would remove both."""
    more = {"name": "<name>dog</name>", "bndbox": object_xml("cat", (11, 11, 39, 39), "").partition("</name>")[2][:-9]}
    body = SIZE_XML + object_xml("cat", (1, 1, 9, 9), more[part])
    with pytest.raises(UserError, match=rf"a\.xml, object 1: has 2 <{part}>, of which one is meant; write an <object>"):
        read_one(tmp_path, body, classes=None)
    fix_voc(Fixes(tmp_path, tmp_path / "fixed"), [("2007", "trainval")])
    assert (tmp_path / "fixed/VOC2007/Annotations/a.xml").read_text().count(f"<{part}>") == 2


@pytest.mark.parametrize("flag", ["N/A", "nan", "Unspecified", "no", "0.0", " "])
def test_difficult_flags_have_the_words_of_crowd_flags(tmp_path: Path, flag: str) -> None:
    item = object_xml("cat", (1, 1, 9, 9), f"<difficult>{flag}</difficult>")
    assert not read_one(tmp_path, SIZE_XML + item, classes=None)[0].difficult.any()


def test_suffixes_of_annotations_may_be_upper_case(tmp_path: Path) -> None:
    write_image(tmp_path / "voc/images/a.JPG")
    (tmp_path / "voc/annotations").mkdir()
    (tmp_path / "voc/annotations/a.XML").write_text(body("cat"))
    assert VOCDataset(tmp_path / "voc", [("", "*")], None).classes == ("cat",)
    write_image(tmp_path / "yolo/images/a.JPG")
    (tmp_path / "yolo/labels").mkdir()
    (tmp_path / "yolo/labels/a.TXT").write_text("0 .5 .5 .5 .5")
    assert len(YOLODataset(tmp_path / "yolo", ".", ["cat"])[0].boxes) == 1


def write_yolo(root: Path, line: str, settings: str = "names: [cat, dog]\n") -> Path:
    write_image(root / "images/a.jpg")
    (root / "labels").mkdir(parents=True)
    (root / "labels/a.txt").write_text(line)
    (root / "data.yaml").write_text(settings)
    return root


def test_keypoints_of_poses_are_not_taken_for_a_polygon(tmp_path: Path) -> None:
    line = "0 .5 .5 .5 .5 .1 .1 .2 .2"
    boxes = YOLODataset(write_yolo(tmp_path / "a", line), ".")[0].boxes.tolist()
    np.testing.assert_allclose(boxes, [[6, 4, 30, 20]], atol=1e-5)
    boxes = YOLODataset(write_yolo(tmp_path / "b", line, "names: [cat]\nkpt_shape: [2, 2]\n"), ".")[0].boxes.tolist()
    assert boxes == [[15, 10, 45, 30]]
    line = "0 .5 .5 .5 .5 .1 .1 2 .2 .2 2"
    boxes = YOLODataset(write_yolo(tmp_path / "c", line, "names: [cat]\nkpt_shape: [2, 3]\n"), ".")[0].boxes.tolist()
    assert boxes == [[15, 10, 45, 30]]


def test_a_class_beyond_the_names_is_told_with_the_file_that_names_them(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"labels/a\.txt:1: class 5 is not one of 0\.\.1; .* classes of .*data\.yaml"):
        YOLODataset(write_yolo(tmp_path, "5 .5 .5 .5 .5"), ".")


def test_labelimg_writes_its_classes_beside_the_labels(tmp_path: Path) -> None:
    root = write_yolo(tmp_path, "1 .5 .5 .5 .5")
    (root / "data.yaml").unlink()
    (root / "labels/classes.txt").write_text("cat\ndog\n")
    assert YOLODataset(root, ".").classes == ("cat", "dog")


def test_two_files_that_name_different_classes_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_yolo(tmp_path, "1 .5 .5 .5 .5", "names: [bird, fox]")
    (root / "classes.txt").write_text("cat\ndog\n")
    assert YOLODataset(root, ".").classes == ("cat", "dog")
    assert "name different classes: the first is used" in caplog.text


@pytest.mark.parametrize(
    "name", ["/content/drive/My Drive/set/val/5.png", "D:\\set\\val\\5.png", "\\\\server\\share\\5.png", "5.png "]
)
def test_paths_of_another_computer_are_found_below_the_folder(tmp_path: Path, name: str) -> None:
    assert len(coco_of(tmp_path, lambda records: records["image"].update(file_name=name))[1].boxes) == 1


def test_a_missing_image_is_told_with_the_file_of_nearly_its_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"5\.PNG: no such image \(only '5\.png' is there\)"):
        coco_of(tmp_path, lambda records: records["image"].update(file_name="5.PNG"))


def test_a_pointer_of_git_lfs_is_told(tmp_path: Path) -> None:
    root = write(tmp_path, instances())
    path = root / "annotations/instances_val.json"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")
    with pytest.raises(UserError, match="a pointer of Git LFS"):
        COCODataset(root, ["val"])


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ((), r"`classes` is \(\), which names no class; name the classes in the order of their labels, or give None"),
        ([], r"`classes` is \[\], which names no class"),
        ("cat", r"`classes` is the text 'cat'; give a list of names: \['cat'\]"),
        (["cat", "cat"], "'cat' is there twice"),
    ],
)
@pytest.mark.parametrize(
    "open_it",
    [
        lambda root, classes: VOCDataset(root, [("2007", "trainval")], classes),
        lambda root, classes: COCODataset(root, ["val"], classes),
        lambda root, classes: YOLODataset(root, "train", classes),
        lambda root, classes: ImageNetDETDataset(root, ["val"], classes),
        lambda root, classes: ImageNetDataset(root, "train", classes=classes),
    ],
    ids=["VOC", "COCO", "YOLO", "DET", "folders"],
)
def test_classes_that_name_none_are_refused_before_anything_is_read(
    tmp_path: Path, open_it: Callable[[Path, object], object], classes: object, message: str
) -> None:
    (tmp_path / "val").mkdir()
    with pytest.raises(UserError, match=message):
        open_it(tmp_path, classes)


@pytest.mark.parametrize(
    "name",
    [
        "my%20cat.jpg",
        "https://example.org/upload/my%20cat.jpg",
        "/data/local-files/?d=photos/my%20cat.jpg",
        "..\\..\\label-studio\\data\\local-files\\?d=my cat.jpg",
        "..\\..\\label-studio\\media\\upload\\4\\my cat.jpg",
        "1/my cat.jpg",
    ],
)
def test_names_that_are_web_addresses_are_found_below_the_folder(tmp_path: Path, name: str) -> None:
    write_image(tmp_path / "my cat.jpg")
    assert resolve_image(tmp_path, name, "a.json") == tmp_path / "my cat.jpg"


def test_an_image_that_is_missing_in_its_folder_is_not_looked_for_elsewhere(tmp_path: Path) -> None:
    for name in ("a.jpg", "sub/b.jpg"):
        write_image(tmp_path / name)
    assert resolve_image(tmp_path, "sub/a.jpg", "a.json") == tmp_path / "sub/a.jpg"


def test_a_name_with_a_percent_sign_is_the_file_of_this_name(tmp_path: Path) -> None:
    for name in ("a%20b.jpg", "a b.jpg"):
        write_image(tmp_path / name)
    assert resolve_image(tmp_path, "a%20b.jpg", "a.json") == tmp_path / "a%20b.jpg"


@pytest.mark.parametrize("name", ["%2e%2e/secret.jpg", "?d=../secret.jpg", "https://x.org/../secret.jpg"])
def test_no_web_address_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    write_image(tmp_path / "secret.jpg")
    (tmp_path / "photos").mkdir()
    found = resolve_image(tmp_path / "photos", name, "a.json")
    assert found.resolve().is_relative_to((tmp_path / "photos").resolve())


def test_corners_in_the_place_of_width_and_height_are_refused(tmp_path: Path) -> None:
    def objects(*boxes: list[float]) -> dict[str, Any]:
        items = [instances()["annotations"][0] | {"id": i, "bbox": list(box)} for i, box in enumerate(boxes)]
        return instances() | {"annotations": items}

    corners = [[20, 15, 38 - i, 29 - i] for i in range(5)]  # images are 40x30
    with pytest.raises(UserError, match="5 of 5 boxes extend beyond their image, and all lie in it if they are x1, y1"):
        COCODataset(write(tmp_path, objects(*corners)), ["val"])
    assert len(COCODataset(write(tmp_path, objects(*corners[:4])), ["val"]).table.boxes) == 4  # too few to tell
    sides = [[20, 15, 30 + i, 5] for i in range(5)]  # beyond the image either way
    assert len(COCODataset(write(tmp_path, objects(*sides)), ["val"]).table.boxes) == 5
    large = [[2, 1 + i / 5, 40, 30] for i in range(5)]  # drawn carelessly around objects that fill the image
    assert len(COCODataset(write(tmp_path, objects(*large)), ["val"]).table.boxes) == 5


def test_yolos_corners_in_the_place_of_center_and_size_are_refused(tmp_path: Path) -> None:
    def lines(*rows: str) -> YOLODataset:
        for i, row in enumerate(rows):
            write_image(tmp_path / f"images/t/{i}.jpg")
            (tmp_path / "labels/t").mkdir(parents=True, exist_ok=True)
            (tmp_path / f"labels/t/{i}.txt").write_text(f"0 {row}\n")
        return YOLODataset(tmp_path, "t", ["cat"])

    message = "5 of 5 boxes extend beyond their image, and all lie in it if they are x1, y1, x2, y2; write cx, cy, w, h"
    with pytest.raises(UserError, match=message):
        lines(*(f".7 .65 .9{i} .95" for i in range(5)))
    assert len(lines(*["0.9 0.9 0.1 0.3"] * 5).table.boxes) == 5  # beyond the image, and no corners either
    assert len(lines(*["0.46 0.49 0.99 0.98"] * 5).table.boxes) == 5  # drawn carelessly around large objects
    assert len(lines(*["0.3 0.3 0.5 0.5"] * 5).table.boxes) == 5  # could be corners, and is in the image as it is


def rotated_coco(root: Path, **attributes: object) -> Path:
    content = instances()
    content["annotations"][0]["attributes"] = {"occluded": False, **attributes}
    return write(root, content)


def rotated_voc(root: Path, **attributes: object) -> Path:
    own = "".join(f"<attribute><name>{name}</name><value>{v}</value></attribute>" for name, v in attributes.items())
    write_voc_xml(root, {"a": SIZE_XML + object_xml("cat", (1, 1, 9, 9), f"<attributes>{own}</attributes>")})
    return root


def read_and_check(root: Path, form: str) -> list[str]:
    """Open a data set, and return what its check finds."""
    if form == "coco":
        COCODataset(root, ["val"])
        return [problem.text for problem in check_coco(root, ["val"])]
    VOCDataset(root, [("2007", "trainval")], None)
    return [problem.text for problem in check_voc(root, [("2007", "trainval")], None)]


@pytest.mark.parametrize(("form", "write_one"), [("coco", rotated_coco), ("voc", rotated_voc)])
@pytest.mark.parametrize("angle", ["30.5", 45, 270.0, "-15"])
def test_boxes_that_cvat_rotates_are_told(
    tmp_path: Path, form: str, write_one: Callable[..., Path], angle: object, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("WARNING", "resdet"):
        problems = read_and_check(write_one(tmp_path, rotation=angle), form)
    assert "1 objects are rotated in CVAT, and their boxes are those before the rotation" in caplog.text
    assert sum("are rotated in CVAT" in problem for problem in problems) == 1


@pytest.mark.parametrize(("form", "write_one"), [("coco", rotated_coco), ("voc", rotated_voc)])
@pytest.mark.parametrize("attributes", [{}, {"rotation": "0.0"}, {"rotation": 180}, {"rotation": "left"}, {"angle": 5}])
def test_boxes_that_are_not_rotated_are_not_told(
    tmp_path: Path,
    form: str,
    write_one: Callable[..., Path],
    attributes: dict[str, object],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("WARNING", "resdet"):
        problems = read_and_check(write_one(tmp_path, **attributes), form)
    assert not any("rotated" in text for text in [caplog.text, *problems])


def test_xml_that_is_not_utf_8_and_does_not_say_so_is_told(tmp_path: Path) -> None:
    root = write_voc_xml(tmp_path, {"a": "x"})
    path = next(root.rglob("a.xml"))
    path.write_bytes(f"<annotation><owner>caf\u00e9</owner>{SIZE_XML}</annotation>".encode("latin-1"))
    with pytest.raises(UserError, match="not a UTF-8 file, and declares no other encoding; save it as UTF-8"):
        VOCDataset(tmp_path, [("2007", "trainval")], None)


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("written", ["NFC", "NFD"])
def test_accents_in_names_may_be_composed_or_not(tmp_path: Path, on_disk: str, written: str) -> None:
    """macOS decomposes them, and its zips keep that; annotation tools mostly do not."""
    path = tmp_path / unicodedata.normalize(on_disk, "café.jpg")
    write_image(path)
    found = resolve_image(tmp_path, unicodedata.normalize(written, "café.jpg"), "a.json")
    assert found.is_file()


def test_json_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, instances()) / "annotations/instances_val.json"
    path.write_bytes(path.read_bytes().replace(b"bus", b"caf\xe9"))
    with pytest.raises(UserError, match="not a UTF-8 text file; save it as UTF-8"):
        COCODataset(tmp_path, ["val"])
