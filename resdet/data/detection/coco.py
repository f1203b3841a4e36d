"""COCO: data sets, and result files for its evaluation server.

    train = COCODataset("data/coco", ["train2017"])               # train2017/, annotations/instances_train2017.json
    both = COCODataset("data/coco", ["train2014", "val2014"])
    mine = COCODataset("data/mine", [("photos", "labels.json")])   # (folder of images, file) of your own
    write_results("results.json", mine, detections)
    detections = read_results("results.json", mine)

Labels are 0..K-1 by ascending category id; the ids themselves have gaps (COCO's 80 go up to 90). COCO's boxes are
continuous (x, y, width, height), converted to (x, y, x + width, y + height).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resdet.data.detection.annotations import Annotation, AnnotationTable, DetectionDataset, clean_boxes
from resdet.data.detection.coco_file import CocoFile, read_coco_file, read_content
from resdet.errors import UserError
from resdet.metrics.coco_ap import Instances
from resdet.metrics.flat import FlatDetections

# The 80 classes of the detection task by ascending id; ids go up to 90, because 11 of the planned classes are unused.
COCO_CLASSES = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light"),
    *("fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow"),
    *("elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee"),
    *("skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard"),
    *("tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple"),
    *("sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch"),
    *("potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone"),
    *("microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear"),
    *("hair drier", "toothbrush"),
)


class COCODataset(DetectionDataset):
    """One or several image sets in COCO's JSON format, concatenated.

    Args:
        root: the folder that holds annotations/ and the folders of images.
        splits: names of sets, for ROOT/<set> and ROOT/annotations/instances_<set>.json; or (folder of images, file)
            pairs below the root.
        classes: category names in the order of their labels; objects of others are left out. None takes all of the
            file's categories, by ascending id.
        empty_images: False leaves out images without objects; in training they teach the background.
        annotated: False for sets whose annotations are not public (image_info_test-dev2017.json).

    Attributes:
        category_ids: int64 [K], the file's ids of the labels.
        image_numbers: int64 [N], the file's ids of the images.
        files: the JSON files.

    Boxes are clipped to their image and boxes without area are dropped, with one warning that counts them. Crowds are
    kept and marked.

    Raises:
        UserError: a missing or malformed file, sets with different categories, an image twice, an unknown class.
    """

    def __init__(
        self,
        root: str | Path,
        splits: Sequence[str | tuple[str, str]],
        classes: Sequence[str] | None = None,
        empty_images: bool = True,
        annotated: bool = True,
    ) -> None:
        root = Path(root)
        pairs = [folder_and_file(root, split) for split in splits]
        for folder, _ in pairs:
            if not folder.is_dir():
                raise UserError(f"{folder}: no such folder; put the images there")
        self.files = tuple(file for _, file in pairs)
        self.annotated = annotated
        contents = [read_coco_file(file, annotated) for file in self.files]
        by_name = self._categories(contents)
        names = tuple(by_name) if classes is None else tuple(classes)
        unknown = [name for name in names if name not in by_name]
        if unknown:
            raise UserError(f"{self.files[0]} has no category '{unknown[0]}'; it has {', '.join(by_name)}")
        self.category_ids = np.array([by_name[name] for name in names], np.int64)
        annotations = [
            a
            for (folder, _), c in zip(pairs, contents, strict=True)
            for a in _annotations(folder, c, self.category_ids)
        ]
        if not empty_images:
            annotations = [a for a in annotations if len(a)]
        _refuse_repeated_images(annotations)
        super().__init__(names, AnnotationTable(clean_boxes(annotations)))
        self.image_numbers = self.table.ids.astype(np.int64)

    def _categories(self, contents: Sequence[CocoFile]) -> dict[str, int]:
        """Category ids by name; refuses files with different categories."""
        for path, content in zip(self.files, contents, strict=True):
            if content.categories != contents[0].categories:
                raise UserError(f"{path} and {self.files[0]} have different categories; use one of them")
        return {name: number for number, name in contents[0].categories.items()}


def folder_and_file(root: Path, split: str | tuple[str, str]) -> tuple[Path, Path]:
    """The folder of images and the JSON file of one entry of COCODataset's `splits`."""
    folder, file = (split, f"annotations/instances_{split}.json") if isinstance(split, str) else split
    return root / folder, root / file


def instances_of(dataset: DetectionDataset) -> Instances:
    """The ground truth in the form that pycocotools evaluates.

    For COCO it is the content of the files, whose areas are those of the polygons. For other formats areas are those of
    the boxes, difficult objects are crowds, and images and classes are numbered from 1.
    """
    if not hasattr(dataset, "files"):
        return _instances_of_table(dataset)
    contents = [read_content(file, dataset.annotated) for file in dataset.files]  # type: ignore[attr-defined]
    objects = [item for content in contents for item in content["annotations"]]
    content = {
        "images": [{"id": number} for c in contents for number in (int(image["id"]) for image in c["images"])],
        "categories": [{"id": int(c["id"]), "name": c["name"]} for c in contents[0]["categories"]],
        "annotations": [_instance(item, number) for number, item in enumerate(objects, 1)],
    }
    return Instances(content, dataset.image_numbers, dataset.category_ids)  # type: ignore[attr-defined]


def write_results(path: str | Path, dataset: COCODataset, detections: FlatDetections) -> None:
    """Write detections in the form of COCO's evaluation server, coordinates rounded to 0.01 pixels.

    Detections are written one by one, so that memory does not grow with their number.

    Args:
        path: the file.
        dataset: gives the ids of images and categories.
        detections: `image` indexes the data set.
    """
    images, categories = dataset.image_numbers[detections.image], dataset.category_ids[detections.label]
    boxes = detections.box.astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    rows = zip(images.tolist(), categories.tolist(), boxes.tolist(), detections.score.tolist(), strict=True)
    separator = "["
    with Path(path).open("w", encoding="utf-8") as file:
        for image, category, box, score in rows:
            row = {"image_id": image, "category_id": category, "bbox": [round(v, 2) for v in box], "score": score}
            file.write(separator + json.dumps(row))
            separator = ",\n"
        file.write("]\n" if separator != "[" else "[]\n")


def read_results(path: str | Path, dataset: COCODataset) -> FlatDetections:
    """Read a result file.

    Args:
        path: the file.
        dataset: the images and categories that results can refer to.

    Returns:
        Detections with float64 scores and boxes; `image` indexes the data set.

    Raises:
        UserError: no such file, not JSON, a malformed entry, or one of an unknown image or category.
    """
    path = Path(path)
    images = {number: i for i, number in enumerate(dataset.image_numbers.tolist())}
    labels = {number: k for k, number in enumerate(dataset.category_ids.tolist())}
    items = _read_list(path)
    image, label = np.zeros(len(items), np.int64), np.zeros(len(items), np.int64)
    numbers = np.zeros((len(items), 5))
    for row, item in enumerate(items):
        where = f"{path}: result {row + 1}"
        numbers[row] = _score_and_box(item, where)
        if not isinstance(item["image_id"], int) or item["image_id"] not in images:
            raise UserError(f"{where} is of image {item['image_id']}, which {dataset.files[0]} does not have")
        if not isinstance(item["category_id"], int) or item["category_id"] not in labels:
            raise UserError(f"{where} is of category {item['category_id']}, which {dataset.files[0]} does not have")
        image[row], label[row] = images[item["image_id"]], labels[item["category_id"]]
    numbers[:, 3:] += numbers[:, 1:3]
    return FlatDetections(image, label, numbers[:, 0], numbers[:, 1:])


def _annotations(folder: Path, file: CocoFile, category_ids: np.ndarray) -> list[Annotation]:
    """The images with their objects of the given categories, in the file's order."""
    labels = {number: k for k, number in enumerate(category_ids.tolist())}
    label = np.array([labels.get(number, -1) for number in file.categories_of_objects.tolist()], np.int64)
    found = []
    for i, (number, name, (height, width)) in enumerate(
        zip(file.image_ids.tolist(), file.names.tolist(), file.sizes.tolist(), strict=True)
    ):
        rows = file.objects(i)
        annotation = Annotation(
            path=f"{folder}/{name}",
            id=str(number),
            size=(height, width),
            boxes=file.boxes[rows],
            labels=label[rows],
            crowd=file.crowd[rows],
        )
        chosen = annotation.labels >= 0
        found.append(annotation if chosen.all() else annotation.keep(chosen))
    return found


def _instance(item: dict[str, Any], number: int) -> dict[str, Any]:
    """An object in the form that pycocotools takes.

    It is numbered anew, because two files may use the same ids. Many exporters leave out iscrowd and the area, for
    which the box's area is used.
    """
    box = [float(v) for v in item["bbox"]]
    return {
        "id": number,
        "image_id": int(item["image_id"]),
        "category_id": int(item["category_id"]),
        "bbox": box,
        "area": float(item.get("area", box[2] * box[3])),
        "iscrowd": int(bool(item.get("iscrowd"))),
    }


def _instances_of_table(dataset: DetectionDataset) -> Instances:
    table = dataset.table
    images, labels = np.arange(1, len(table) + 1), np.arange(1, len(dataset.classes) + 1)
    boxes = table.boxes.copy()
    boxes[:, 2:] -= boxes[:, :2]
    rows = zip(
        (table.image_of_object() + 1).tolist(), (table.labels + 1).tolist(), boxes.tolist(),
        (table.crowd | table.difficult).tolist(), strict=True,
    )  # fmt: skip
    content = {
        "images": [{"id": number} for number in images.tolist()],
        "categories": [
            {"id": number, "name": name} for number, name in zip(labels.tolist(), dataset.classes, strict=True)
        ],
        "annotations": [
            {"id": i, "image_id": image, "category_id": label, "bbox": box, "area": box[2] * box[3], "iscrowd": crowd}
            for i, (image, label, box, crowd) in enumerate(rows, 1)
        ],
    }
    return Instances(content, images, labels)


def _read_list(path: Path) -> list[Any]:
    if not path.is_file():
        raise UserError(f"{path}: no such file; give a file of COCO results")
    try:
        items = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid JSON ({error}); write the results again") from None
    if not isinstance(items, list):
        raise UserError(f"{path}: not a list; results are a list of image_id, category_id, bbox and score")
    return items


def _score_and_box(item: Any, where: str) -> list[float]:
    try:
        values = [float(item["score"]), *(float(v) for v in item["bbox"])]
        _ = item["image_id"], item["category_id"]
    except (TypeError, ValueError, KeyError):
        values = []
    if len(values) != 5 or not np.isfinite(values).all():
        raise UserError(f"{where} is not image_id, category_id, bbox of four numbers and score; write it again")
    return values


def _refuse_repeated_images(annotations: Sequence[Annotation]) -> None:
    seen: set[str] = set()
    for annotation in annotations:
        if annotation.id in seen:
            raise UserError(f"{annotation.path}: image {annotation.id} is in the chosen sets twice; keep one")
        seen.add(annotation.id)
