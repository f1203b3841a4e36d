"""COCO: annotations of one or several sets, and results for its evaluation and its server.

    train = COCODataset("data/coco", ["train2017"])               # train2017/, annotations/instances_train2017.json
    both = COCODataset("data/coco", ["train2014", "val2014"])
    mine = COCODataset("data/mine", [("photos", "labels.json")])   # one's own: folder and file below the root
    write_results("results.json", mine, detections)

Labels are 0..K-1, whatever the file's category ids, which have holes (COCO's 80 go up to 90). Boxes are COCO's own
x, y, width, height, continuous: (x, y, x + width, y + height).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resdet.data.annotations import Annotation, AnnotationTable, DetectionDataset, clean_boxes
from resdet.errors import UserError
from resdet.metrics.voc_ap import FlatDetections


class COCODataset(DetectionDataset):
    """Image sets with instances in COCO's JSON, united in their order.

    Args:
        root: the folder that holds annotations/ and the folders of images.
        splits: names of sets, for ROOT/<set> and ROOT/annotations/instances_<set>.json; or (folder of images, file)
            pairs below the root.
        classes: category names in the order of their labels, all others are left out; None takes the file's, by id.
        empty_images: False leaves out images without objects (in training they teach the background).

    `category_ids`, int64 [K], are the file's ids of the labels, `image_numbers`, int64 [N], those of the images. Boxes
    are clipped to their image and those without area dropped, counted in one warning. Crowds are kept and marked.

    Raises:
        UserError: a missing or malformed file, sets with different categories, an image twice, an unknown class.
    """

    def __init__(
        self,
        root: str | Path,
        splits: Sequence[str | tuple[str, str]],
        classes: Sequence[str] | None = None,
        empty_images: bool = True,
    ) -> None:
        root = Path(root)
        pairs = [(s, f"annotations/instances_{s}.json") if isinstance(s, str) else s for s in splits]
        files = [_Instances(root / folder, root / file) for folder, file in pairs]
        categories = files[0].categories
        for other in files[1:]:
            if other.categories != categories:
                raise UserError(f"{other.path} and {files[0].path} have different categories: train on one of them")
        names = tuple(categories.values()) if classes is None else tuple(classes)
        by_name = {name: number for number, name in categories.items()}
        unknown = [name for name in names if name not in by_name]
        if unknown:
            raise UserError(f"{files[0].path} has no category '{unknown[0]}'; it has {', '.join(by_name)}")
        self.category_ids = np.array([by_name[name] for name in names], np.int64)
        annotations = [a for file in files for a in file.annotations(self.category_ids.tolist())]
        if not empty_images:
            annotations = [a for a in annotations if len(a)]
        _refuse_repeated_images(annotations)
        super().__init__(names, AnnotationTable(clean_boxes(annotations)))
        self.image_numbers = self.table.ids.astype(np.int64)
        self.files = tuple(file.path for file in files)


def write_results(path: str | Path, dataset: COCODataset, detections: FlatDetections) -> None:
    """Write detections as COCO's evaluation server takes them; coordinates to a hundredth of a pixel.

    The file is written as it is made: 5,000 images x 100 detections take no more memory than a few.
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


class _Instances:
    """One JSON file and the folder of its images."""

    def __init__(self, folder: Path, path: Path) -> None:
        self.folder, self.path = folder, path
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; put the images there")
        content = _read_json(path)
        missing = [key for key in ("images", "annotations", "categories") if not isinstance(content.get(key), list)]
        if missing:
            raise UserError(f"{path}: has no list '{missing[0]}'; this is not a file of COCO instances")
        self.images: list[dict] = content["images"]
        self.objects: list[dict] = content["annotations"]
        if not self.images:
            raise UserError(f"{path}: has no images; choose another set")
        pairs = sorted(
            (self._value(c, "id", "category"), self._value(c, "name", "category")) for c in content["categories"]
        )
        self.categories: dict[int, str] = dict(pairs)
        if len(set(self.categories.values())) < len(pairs):
            raise UserError(f"{path}: two categories have one id or one name; correct the categories")

    def annotations(self, category_ids: Sequence[int]) -> list[Annotation]:
        """The images with their objects of these categories, in the file's order."""
        label = {number: k for k, number in enumerate(category_ids)}
        objects: dict[int, list[dict]] = {self._value(image, "id", "image"): [] for image in self.images}
        for item in self.objects:
            image, category = (self._value(item, key, "annotation") for key in ("image_id", "category_id"))
            if image not in objects:
                raise UserError(f"{self.path}: annotation {item.get('id')} is of image {image}, which is not listed")
            if category not in self.categories:
                raise UserError(
                    f"{self.path}: annotation {item.get('id')} is of category {category}, which is not listed"
                )
            if category in label:
                objects[image].append(item)
        return [self._annotation(image, objects[image["id"]], label) for image in self.images]

    def _annotation(self, image: dict, objects: list[dict], label: dict[int, int]) -> Annotation:
        name, height, width = (self._value(image, key, "image") for key in ("file_name", "height", "width"))
        boxes = np.array([self._box(item) for item in objects], np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        return Annotation(
            path=str(self.folder / name),
            id=str(image["id"]),
            size=(int(height), int(width)),
            boxes=boxes,
            labels=np.array([label[item["category_id"]] for item in objects], np.int64),
            crowd=np.array([bool(item.get("iscrowd")) for item in objects], bool),
        )

    def _box(self, item: dict) -> list[float]:
        box: Any = item.get("bbox")
        try:
            values = [float(v) for v in box]
        except (TypeError, ValueError):
            values = []
        if len(values) != 4 or not np.isfinite(values).all():
            raise UserError(
                f"{self.path}: annotation {item.get('id')}: bbox {box} is not x, y, width, height; correct it"
            )
        return values

    def _value(self, item: dict, key: str, what: str) -> Any:
        if key not in item:
            raise UserError(
                f"{self.path}: {what} {item.get('id', '')} has no '{key}'; correct the file".replace("  ", " ")
            )
        return item[key]


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; check the root and the name of the set") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid JSON ({error}); download or write it again") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds a list; annotations are an object with images, annotations and categories")
    return content


def _refuse_repeated_images(annotations: Sequence[Annotation]) -> None:
    seen: set[str] = set()
    for annotation in annotations:
        if annotation.id in seen:
            raise UserError(f"{annotation.path}: image {annotation.id} is in the chosen sets twice; keep one")
        seen.add(annotation.id)
