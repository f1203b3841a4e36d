"""Detection data sets of a dry run, in the layouts of VOC, COCO, ImageNet DET and YOLO.

Each writer takes the folder `root` to write, the data set's section of the config, the number of classes (for sets that
do not name them) and the image numbers of all sets.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from resdet.data.detection.coco import COCO_CLASSES
from resdet.data.detection.voc import VOC_CLASSES
from resdet.data.detection.voc_xml import write_annotation
from resdet.dry_run.pictures import Numbers, Picture, class_names, draw_pictures
from resdet.dry_run.writing import below, save_image, with_folder, write_lines

COCO_HOLES = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)  # ids below 91 that no category has

Node = dict[str, Any]  # a data set's section of the config: its type and arguments; also objects of JSON


def write_voc(root: Path, node: Node, num_classes: int, numbers: Numbers) -> None:
    """Write a VOCDataset's files: ROOT/VOC<year>/{Annotations,JPEGImages,ImageSets}."""
    names = node.get("classes", VOC_CLASSES) or class_names(num_classes)
    for year, image_set in node["splits"]:
        folder, ids = below(root, f"VOC{year}"), []
        for picture in draw_pictures(numbers.first(f"VOC{year} {image_set}"), len(names)):
            ids.append(f"{picture.number:06}" if year in ("2007", "") else f"{year}_{picture.number:06}")
            image = folder / "JPEGImages" / f"{ids[-1]}.jpg"
            save_image(image, picture.pixels)
            if node.get("annotated", True):
                xml = with_folder(folder / "Annotations" / f"{ids[-1]}.xml")
                write_annotation(xml, picture.annotation(image), names)
        write_lines(below(folder, "ImageSets", "Main", f"{image_set}.txt"), ids)


def write_coco(root: Path, node: Node, num_classes: int, numbers: Numbers) -> None:
    """Write a COCODataset's files: folders of images and JSON files of instances."""
    categories = _categories(node.get("classes"), num_classes)
    for split in node["splits"]:
        folder, file = (split, f"annotations/instances_{split}.json") if isinstance(split, str) else split
        prefix = f"COCO_{folder}_" if folder.endswith(("2014", "2015")) else ""
        images: list[Node] = []
        objects: list[Node] = []
        for picture in draw_pictures(numbers.first(f"COCO {folder} {file}"), len(categories)):
            name, (height, width) = f"{prefix}{picture.number:012}.jpg", picture.size
            save_image(below(root, folder, name), picture.pixels)
            images.append({"id": picture.number, "file_name": name, "height": height, "width": width})
            objects += _coco_objects(picture, [c["id"] for c in categories])
        content: Node = {"info": {"description": "noise, for a dry run"}, "images": images, "categories": categories}
        if node.get("annotated", True):
            content["annotations"] = [{"id": number, **item} for number, item in enumerate(objects, 1)]
        with_folder(below(root, file)).write_text(json.dumps(content))


def _coco_objects(picture: Picture, category_ids: Sequence[int]) -> Iterator[Node]:
    rows = zip(picture.boxes.tolist(), picture.labels.tolist(), picture.flagged.tolist(), strict=True)
    for (x1, y1, x2, y2), label, crowd in rows:
        yield {
            "image_id": picture.number,
            "category_id": category_ids[label],
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": (x2 - x1) * (y2 - y1),
            "iscrowd": int(crowd),
            "segmentation": [[x1, y1, x2, y1, x2, y2, x1, y2]],
        }


def _categories(classes: Sequence[str] | None, num_classes: int) -> list[Node]:
    """COCO's own categories and ids if the config has its classes or some of them, else ids from 1."""
    if (classes is None and num_classes == len(COCO_CLASSES)) or (classes and set(classes) <= set(COCO_CLASSES)):
        ids = [number for number in range(1, 91) if number not in COCO_HOLES]
        return [{"id": number, "name": name} for number, name in zip(ids, COCO_CLASSES, strict=True)]
    return [{"id": number, "name": name} for number, name in enumerate(classes or class_names(num_classes), 1)]


def write_det(root: Path, node: Node, num_classes: int, numbers: Numbers) -> None:
    """Write an ImageNetDETDataset's files: ROOT/map_det.txt and ROOT/ILSVRC."""
    wnids = list(node.get("classes") or [f"n{k:08}" for k in range(1, num_classes + 1)])
    write_lines(root / "map_det.txt", (f"{wnid} {k} class {k}" for k, wnid in enumerate(wnids, 1)))
    for image_set in node["image_sets"]:
        part, lines = next((part for part in ("train", "val", "test") if image_set.startswith(part)), None), []
        if part is None:
            continue  # the reader's error names it
        for picture in draw_pictures(numbers.first(f"DET {image_set}"), len(wnids)):
            image_id = f"ILSVRC2012_{part}_{picture.number:08}"
            if part == "train":
                image_id = f"ILSVRC2014_train_{picture.number // 10_000:04}/ILSVRC2014_train_{picture.number:08}"
            lines.append(f"{image_id} {1 if image_set[len(part) :].startswith('_') else picture.number}")
            image = root / "ILSVRC" / "Data" / "DET" / part / f"{image_id}.JPEG"
            save_image(image, picture.pixels)
            if node.get("annotated", True):
                xml = with_folder(root / "ILSVRC" / "Annotations" / "DET" / part / f"{image_id}.xml")
                write_annotation(xml, picture.annotation(image, offset=-1), wnids)  # DET counts from 0
        write_lines(below(root, "ILSVRC", "ImageSets", "DET", f"{image_set}.txt"), lines)


def det_changes(node: Node) -> Node:
    """Changes of the config: image lists are replaced by generated ones, and there is no blacklist."""
    sets = [Path(name).stem if name.endswith(".txt") else name for name in node["image_sets"]]
    return {"image_sets": sets, "blacklist": None}


def write_yolo(root: Path, node: Node, num_classes: int, numbers: Numbers) -> None:
    """Write a YOLODataset's files: data.yaml, images/, labels/ and lists of images."""
    names = node.get("classes") or class_names(num_classes)
    write_lines(root / "data.yaml", ["names:", *(f"  {k}: {name}" for k, name in enumerate(names))])
    image_sets = [node["image_sets"]] if isinstance(node["image_sets"], str) else node["image_sets"]
    for image_set in image_sets:
        listed = image_set.endswith(".txt")
        folder = Path(image_set).stem if listed else image_set
        paths = []
        for picture in draw_pictures(numbers.first(f"YOLO {image_set}"), len(names)):
            paths.append(Path("images", folder, f"{picture.number:06}.jpg"))
            save_image(below(root, paths[-1]), picture.pixels)
            write_lines(below(root, "labels", folder, f"{picture.number:06}.txt"), _yolo_lines(picture))
        if listed:
            write_lines(below(root, image_set), (path.as_posix() for path in paths))


def _yolo_lines(picture: Picture) -> Iterator[str]:
    height, width = picture.size
    for label, (x1, y1, x2, y2) in zip(picture.labels.tolist(), picture.boxes.tolist(), strict=True):
        center = f"{(x1 + x2) / 2 / width:.6f} {(y1 + y2) / 2 / height:.6f}"
        yield f"{label} {center} {(x2 - x1) / width:.6f} {(y2 - y1) / height:.6f}"
