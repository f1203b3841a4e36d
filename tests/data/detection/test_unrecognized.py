"""What no data set is recognized in, or is not whole, is refused with what lies there and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers import layouts
from helpers.layouts import LINE, coco, labelled, text, xml
from helpers.voc import write_image
from resdet.data.detection import open_dataset
from resdet.data.detection.recognition import recognize
from resdet.errors import UserError


def test_what_is_not_recognized_is_refused_with_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected VOC .* COCO .* YOLO"):
        open_dataset(tmp_path)
    (tmp_path / "a.zip").write_bytes(b"PK")
    with pytest.raises(UserError, match="is an archive; unpack it"):
        open_dataset(tmp_path / "a.zip")
    layouts.yolo_roboflow(tmp_path)
    with pytest.raises(UserError, match=r"has no set 'vali' \(did you mean valid\?\)"):
        open_dataset(tmp_path, "vali")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("labels.json", '{"images": [{"id": 1', r"labels\.json is not valid JSON \(.*line 1"),
        ("labels.json", '{"images": [], "annotations": [], "categories": [', r"labels\.json: not valid JSON"),
        ("labels.json", '{"images": [], "annotations": []}', "has images and annotations but no categories"),
        ("a.json", '{"shapes": [], "imagePath": "a.jpg"}', r"a\.json is of LabelMe, which is not read; convert it"),
        ("a.json", '{"a.jpg7": {"filename": "a.jpg", "regions": []}}', r"a\.json is of VIA, which is not read"),
        (
            "a.json",
            '{"_via_img_metadata": {"x": {"filename": "a.jpg", "regions": []}}}',
            r"is of VIA, which is not read",
        ),
        ("a.json", '[{"image": "a.jpg", "annotations": []}]', r"a\.json is of CreateML, which is not read"),
        ("a.json", '[{"data": {"image": "a.jpg"}, "annotations": []}]', r"is of Label Studio, which is not read"),
        ("a.json", '[{"file_name": "a.jpg", "annotations": []}]', r"a\.json is of detectron2, which is not read"),
        ("meta.json", '{"classes": [{"title": "cat"}], "tags": []}', r"is of Supervisely, which is not read"),
        ("a.json", '[{"image": "/upload/a.jpg", "id": 1, "label": []}]', r"is of Label Studio, which is not read"),
        ("a.json", '[{"name": "a.jpg", "labels": []}]', r"is of BDD100K, which is not read"),
        ("annotation_train.odgt", "{}", r"annotation_train\.odgt is of a format that is not read"),
        (
            "labels/a.txt",
            "684,8,273,116,0,0,0,0\n",
            r"labels/a\.txt has commas between its numbers, as in MOT and VisDrone",
        ),
        (
            "gt/gt.txt",
            "1,1,912,484,97,109,0,7,1\n",
            r"gt/gt\.txt has commas between its numbers, as in MOT and VisDrone",
        ),
        ("samples.json", '{"samples": [{"filepath": "data/a.jpg"}]}', r"is of FiftyOne, which is not read"),
        ("annotations/a.json", '{"categories": {}, "items": []}', r"a\.json is of Datumaro, which is not read"),
        (
            "labels.json",
            '{"images": [{"id": 1}], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}',
            r"labels\.json: its images have no 'file_name'; write it",
        ),
        ("data/train.parquet", "PAR1", r"train\.parquet is of a format that is not read"),
        ("train/metadata.jsonl", "{}", r"metadata\.jsonl is of a format that is not read"),
        ("train_labels.csv", "filename,width\n", r"train_labels\.csv is of a format that is not read"),
        ("train/_annotations.csv", "filename,width\n", r"_annotations\.csv is of a format that is not read"),
        ("train/_a.createml.json", '[{"image": "a.jpg", "annotations": []}]', r"is of CreateML, which is not read"),
        ("labels/a.txt", LINE, r"no class is named; write a name per line into .*classes\.txt"),
        ("train/labels/a.txt", LINE, r"train/labels has txt files of YOLO, but no class is named"),
        ("images/a.txt", LINE, r"images has txt files of YOLO, but no class is named"),
        ("all.zip", "x", r"unpack all\.zip"),
        ("a.csv", "x", r"a\.csv is of a format that is not read"),
        ("notes.txt", "x", "no data set is recognized: expected VOC"),
    ],
)
def test_what_lies_there_instead_is_told(tmp_path: Path, name: str, content: str, message: str) -> None:
    write_image(tmp_path / "images/a.jpg")
    text(tmp_path / name, content)
    with pytest.raises(UserError, match=message) as caught:
        recognize(tmp_path)
    assert "\n" not in str(caught.value)


KITTI = "Car 0.00 0 1.85 387.63 181.54 423.81 203.12 1.67 1.87 3.69 -16.53 2.39 58.49 1.57\n"
DOTA = "2753 2408 2861 2385 2888 2468 2805 2502 plane 0\n"
TO_YOLO = "'class cx cy w h', the class as its number from 0, the box in fractions of the image"


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("training/label_2/000000.txt", f"{KITTI}DontCare -1 -1 -10 1 1 9 9 -1 -1 -1 -1000 -1000 -1000 -10\n", "KITTI"),
        ("training/label_2/000000.txt", KITTI.replace("\n", " 0.9\n"), "KITTI"),  # with a score
        ("labels/000000.txt", KITTI, "KITTI"),
        ("train/000000.txt", KITTI, "KITTI"),
        ("labelTxt/P0000.txt", f"imagesource:GoogleEarth\ngsd:0.146343\n{DOTA}", "DOTA"),
        ("labels/a.txt", "cat .5 .5 .5 .5\n", "names the class 'cat' in the place of its number"),
    ],
)
def test_txt_of_other_forms_is_named_and_how_to_convert_it(tmp_path: Path, name: str, content: str, what: str) -> None:
    write_image(tmp_path / "training/image_2/000000.png")
    text(tmp_path / name, content)
    with pytest.raises(UserError, match=rf"{name} (is of )?{what}.* {TO_YOLO}"):
        recognize(tmp_path)
    text(tmp_path / "yolo/labels/000000.txt", content.splitlines()[-1])
    text(tmp_path / "yolo/classes.txt", "Car\n")
    write_image(tmp_path / "yolo/images/000000.png")
    if "DontCare" not in content:
        with pytest.raises(UserError, match=rf"labels/000000\.txt:1: (is of )?{what}.* {TO_YOLO}"):
            open_dataset(tmp_path / "yolo")


def test_wider_face_is_named_and_how_to_convert_it(tmp_path: Path) -> None:
    write_image(tmp_path / "WIDER_train/images/0--Parade/0_Parade_marchingband_1_849.jpg")
    lines = "0--Parade/0_Parade_marchingband_1_849.jpg\n1\n449 330 122 149 0 0 0 0 0 0 \n"
    text(tmp_path / "wider_face_split/wider_face_train_bbx_gt.txt", lines)
    text(tmp_path / "wider_face_split/wider_face_train.mat", "x")
    with pytest.raises(
        UserError, match=r"wider_face_train_bbx_gt\.txt is of WIDER FACE, which is not read; convert it"
    ):
        recognize(tmp_path)


def test_classes_of_yolo_without_labels_where_they_are_looked_for_are_told(tmp_path: Path) -> None:
    labelled(tmp_path, "photos/a.jpg", "boxes/a.txt")
    text(tmp_path / "data.yaml", "names: [cat]")
    message = (
        r"data\.yaml names classes of YOLO, but no images with txt files are found; expected images/\*\.jpg and labels"
    )
    with pytest.raises(UserError, match=message):
        recognize(tmp_path)


def test_files_that_macos_leaves_hide_nothing(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg")
    for name in ("._a.json", "a.json"):
        text(tmp_path / name, "\0\5" if name[0] == "." else '{"shapes": [], "imagePath": "a.jpg"}')
    with pytest.raises(UserError, match=r"recognized: a\.json is of LabelMe, which is not read"):
        recognize(tmp_path)
    coco(tmp_path / "labels.JSON", "a.jpg")
    text(tmp_path / "._labels.JSON", "\0\5")
    assert list(recognize(tmp_path).sets) == ["labels"]


def test_annotations_without_their_images_are_told(tmp_path: Path) -> None:
    coco(tmp_path / "annotations/instances_default.json", "a.jpg")
    with pytest.raises(UserError, match=r"its images \(first: 'a\.jpg'\) are not found nearby; put them into .*images"):
        recognize(tmp_path)
    with pytest.raises(UserError, match="are not found nearby"):
        recognize(tmp_path / "annotations/instances_default.json")


def test_an_xml_without_its_image_is_named_where_there_is_no_list(tmp_path: Path) -> None:
    layouts.voc_labelimg(tmp_path)
    xml(tmp_path / "annots/b.xml")
    with pytest.raises(
        UserError, match=r"b\.jpg: no such image, but .*b\.xml is there; restore the image, or remove the xml"
    ):
        open_dataset(tmp_path)


def test_cvats_own_xml_is_told(tmp_path: Path) -> None:
    write_image(tmp_path / "images/a.jpg")
    text(tmp_path / "annotations.xml", '<annotations><version>1.1</version><image name="a.jpg"/></annotations>')
    for path in (tmp_path, tmp_path / "annotations.xml"):
        with pytest.raises(UserError, match=r"annotations\.xml: is of CVAT's own format, .* export it as COCO, PASCAL"):
            open_dataset(path)
    text(tmp_path / "annotations.xml", "<annotations><folder/></annotations>")
    with pytest.raises(UserError, match=r"begins with <annotations>, not with VOC's <annotation>; export it as PASCAL"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("name", ["a.JPG", "a", "a.png", "D:\\photos\\A.jpg"])
@pytest.mark.parametrize("folder", ["images", ".", "photos"])
def test_images_of_nearly_the_listed_names_are_told(tmp_path: Path, name: str, folder: str) -> None:
    write_image(tmp_path / folder / "a.jpg")
    text(tmp_path / "images/a.txt", "x")
    coco(tmp_path / "labels.json", name)
    message = r"are not found nearby \(only 'a\.jpg' is there\); write 'file_name' as the files are called"
    with pytest.raises(UserError, match=message):
        recognize(tmp_path)


@pytest.mark.parametrize(
    ("image", "annotation"), [("images/train/a.jpg", "annotations/a.xml"), ("images/a.jpg", "annotations/x1/a.xml")]
)
def test_images_and_xml_in_other_subfolders_are_told(tmp_path: Path, image: str, annotation: str) -> None:
    labelled(tmp_path, image, annotation)
    with pytest.raises(
        UserError, match=rf"no such image, but .*{annotation} is there; .*{image} has its name: move one"
    ):
        open_dataset(tmp_path)
