"""Data sets as tools lay them out: a folder of each, with images of a cat."""

from __future__ import annotations

import json
from pathlib import Path

from helpers.voc import SIZE_XML, object_xml, write_image, write_voc_xml

CAT = SIZE_XML + object_xml("cat", (1, 1, 9, 9))
LINE = "0 .5 .5 .5 .5\n"


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def xml(path: Path) -> None:
    text(path, f"<annotation>{CAT}</annotation>")


def labelled(root: Path, image: str, label: str) -> None:
    """An image and its label, VOC's xml or YOLO's txt: a cat."""
    write_image(root / image)
    if label.endswith(".xml"):
        xml(root / label)
    else:
        text(root / label, LINE)


def coco(path: Path, file_name: str) -> None:
    image = {"id": 1, "file_name": file_name, "width": 60, "height": 40}
    item = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 0}
    content = {"images": [image], "annotations": [item], "categories": [{"id": 1, "name": "cat"}]}
    text(path, json.dumps(content))


def voc_devkit(root: Path) -> None:
    write_voc_xml(root, {"a": CAT}, image_set="train")
    write_voc_xml(root, {"b": CAT}, image_set="val")
    text(root / "VOC2007/ImageSets/Main/cat_train.txt", "a 1\n")


def voc_cvat(root: Path) -> None:
    labelled(root, "JPEGImages/sub/a.jpg", "Annotations/sub/a.xml")
    text(root / "ImageSets/Main/default.txt", "sub/a\n")
    text(root / "labelmap.txt", "# label:color_rgb:parts:actions\ncat:1,2,3::\n")


def voc_label_studio(root: Path) -> None:
    labelled(root, "images/a.jpg", "Annotations/a.xml")


def voc_roboflow(root: Path) -> None:
    for name in ("train", "valid", "test"):
        labelled(root / name, "a.jpg", "a.xml")
    text(root / "README.roboflow.txt", "x")


def voc_labelimg(root: Path) -> None:
    labelled(root, "images/a.jpg", "annots/a.xml")


def yolo_ultralytics(root: Path) -> None:
    for name in ("train", "val"):
        labelled(root, f"images/{name}/a.jpg", f"labels/{name}/a.txt")
    text(root / "data.yaml", "path: ../x\ntrain: images/train\nval: images/val\nnames:\n  '0': cat\n")


def yolo_roboflow(root: Path) -> None:
    for name in ("train", "valid"):
        labelled(root / name, "images/a_jpg.rf.0123.jpg", "labels/a_jpg.rf.0123.txt")
    text(root / "data.yaml", "train: ../train/images\nval: ../valid/images\nnc: 1\nnames: ['cat']\n")


def yolo_cvat(root: Path) -> None:
    labelled(root, "obj_train_data/a b.jpg", "obj_train_data/a b.txt")
    text(root / "obj.names", "cat\n")
    text(root / "obj.data", "classes = 1\ntrain = data/train.txt\nnames = data/obj.names\n")
    text(root / "train.txt", "data/obj_train_data/a b.jpg\n")


def yolo_label_studio(root: Path) -> None:
    labelled(root, "images/a.jpg", "labels/a.txt")
    text(root / "classes.txt", "cat\n")
    text(root / "notes.json", "{}")


def yolo_labelimg(root: Path) -> None:
    labelled(root, "a.jpg", "a.txt")
    text(root / "classes.txt", "cat\n")


def coco_itself(root: Path) -> None:
    for name in ("train2017", "val2017"):
        write_image(root / name / "a.jpg")
        coco(root / f"annotations/instances_{name}.json", "a.jpg")


def coco_roboflow(root: Path) -> None:
    for name in ("train", "valid"):
        write_image(root / name / "a.jpg")
        coco(root / name / "_annotations.coco.json", "a.jpg")


def coco_cvat(root: Path) -> None:
    write_image(root / "images/default/a.jpg")
    coco(root / "annotations/instances_default.json", "a.jpg")


def coco_label_studio(root: Path) -> None:
    write_image(root / "images/a.jpg")
    coco(root / "result.json", "images\\a.jpg")


def voc_vott(root: Path) -> None:
    for name in "ab":
        labelled(root, f"x-PascalVOC-export/JPEGImages/{name}.jpg", f"x-PascalVOC-export/Annotations/{name}.xml")
    text(root / "x-PascalVOC-export/ImageSets/Main/cat_train.txt", "a.jpg 1\n")
    text(root / "x-PascalVOC-export/ImageSets/Main/cat_val.txt", "b.jpg 1\n")


def voc_in_folders_of_sets(root: Path) -> None:
    for name in ("train", "val"):
        labelled(root / name, "images/a.jpg", "annotations/a.xml")


def voc_with_sets_below(root: Path) -> None:
    for name in ("train", "test"):
        labelled(root, f"images/{name}/{name}.jpg", f"annotations/{name}/{name}.xml")


def coco_2017(root: Path) -> None:
    coco_itself(root)
    for name in ("train2017", "val2017"):
        coco(root / f"annotations/person_keypoints_{name}.json", "a.jpg")


def coco_label_studio_elsewhere(root: Path) -> None:
    write_image(root / "images/a.jpg")
    coco(root / "result.json", "/label-studio/data/media/upload/1/a.jpg")


def coco_label_studio_from_its_server(root: Path) -> None:
    write_image(root / "images/a.jpg")
    coco(root / "result.json", "..\\..\\label-studio\\label-studio\\media\\upload\\4\\a.jpg")


def coco_label_studio_with_its_project(root: Path) -> None:
    write_image(root / "images/a.jpg")
    coco(root / "result.json", "images\\1/a.jpg")


def coco_in_folders_of_sets(root: Path) -> None:
    for name in ("train", "val"):
        write_image(root / name / "images/a.jpg")
        coco(root / name / "labels.json", "a.jpg")


def coco_in_voc_s_folder(root: Path) -> None:
    for name in ("train", "val"):
        write_image(root / name / "a.jpg")
        coco(root / f"Annotations/{name}_annotations.json", "a.jpg")


def coco_lvis(root: Path) -> None:
    """LVIS names images by their addresses alone."""
    write_image(root / "train2017/a.jpg")
    coco(root / "lvis_v1_train.json", "a.jpg")
    content = json.loads((root / "lvis_v1_train.json").read_text())
    address = "http://images.cocodataset.org/train2017/" + content["images"][0].pop("file_name")
    content["images"][0]["coco_url"] = address
    text(root / "lvis_v1_train.json", json.dumps(content))


def yolo_labelimg_in_folders(root: Path) -> None:
    labelled(root, "images/a.jpg", "labels/a.txt")
    text(root / "labels/classes.txt", "cat\n")


def yolo_with_another_settings_file(root: Path) -> None:
    labelled(root, "images/train/a.jpg", "labels/train/a.txt")
    text(root / "pets.yaml", "train: images/train\nnames: [cat]\n")


def yolo_from_windows(root: Path) -> None:
    for name in ("train", "val"):
        labelled(root, f"Images/{name}/a.jpg", f"Labels/{name}/a.txt")
    text(root / "Labels/classes.txt", "cat\n")


def yolo_with_a_set_called_images(root: Path) -> None:
    labelled(root, "images/images/a.jpg", "labels/images/a.txt")
    text(root / "classes.txt", "cat\n")


def yolo_roboflow_from_windows(root: Path) -> None:
    for name in ("train", "images"):
        labelled(root, f"{name}/Images/a.jpg", f"{name}/Labels/a.txt")
    text(root / "data.yaml", "names: [cat]\n")


def coco_from_windows(root: Path) -> None:
    write_image(root / "Images/train/a.jpg")
    coco(root / "annotations/train.json", "a.jpg")


def voc_from_windows(root: Path) -> None:
    labelled(root, "IMAGES/a.jpg", "ANNOTATIONS/a.xml")


def yolo_with_lists_of_its_settings(root: Path) -> None:
    for name in "ab":
        labelled(root, f"images/{name}.jpg", f"labels/{name}.txt")
    text(root / "first.txt", "./images/a.jpg\n")
    text(root / "second.txt", "/home/somebody/data/images/b.jpg\n")
    text(root / "data.yaml", "path: ../data\ntrain: first.txt\nval: second.txt\nnames: {0: cat}\n")


def yolo_with_lists_beside_undivided_images(root: Path) -> None:
    yolo_with_lists_of_its_settings(root)
    (root / "first.txt").rename(root / "train.txt")
    (root / "second.txt").rename(root / "val.txt")
    text(root / "data.yaml", "names: [cat]\n")


def yolo_with_lists_of_older_images(root: Path) -> None:
    yolo_label_studio(root)
    text(root / "train.txt", "images/gone.jpg\n")


def yolo_darknet(root: Path) -> None:
    labelled(root, "a.jpg", "a.txt")
    text(root / "coco.names", "cat\n")
    text(root / "coco.data", "classes=1\ntrain=train.txt\nnames=coco.names\n")
    text(root / "train.txt", "a.jpg\n")


def yolo_below_its_settings(root: Path) -> None:
    for name in ("train", "val"):
        labelled(root, f"data/images/{name}/a.jpg", f"data/labels/{name}/a.txt")
    text(root / "data.yaml", "train: data/images/train\nval: data/images/val\nnames: [cat]\n")


def yolo_fiftyone(root: Path) -> None:
    labelled(root, "data/a.jpg", "data/a.txt")
    text(root / "obj.names", "cat\n")
    text(root / "images.txt", "data/a.jpg\n")


def yolo_roboflow_darknet(root: Path) -> None:
    for name in ("train", "valid"):
        labelled(root, f"{name}/a.jpg", f"{name}/a.txt")
        text(root / name / "_darknet.labels", "cat\n")


def yolo_beside_in_folders_of_sets(root: Path) -> None:
    for name in ("train", "val"):
        labelled(root, f"{name}/a.jpg", f"{name}/a.txt")
    text(root / "classes.txt", "cat\n")


def voc_fiftyone(root: Path) -> None:
    labelled(root, "data/a.jpg", "labels/a.xml")
