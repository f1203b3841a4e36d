"""COCO: data sets in its JSON format.

    train = COCODataset("data/coco", ["train2017"])               # train2017/, annotations/instances_train2017.json
    both = COCODataset("data/coco", ["train2014", "val2014"])
    mine = COCODataset("data/mine", [("photos", "labels.json")])   # (folder of images, file) of your own

Labels are 0..K-1 by ascending category id; the ids themselves have gaps (COCO's 80 go up to 90). COCO's boxes are
continuous (x, y, width, height), converted to (x, y, x + width, y + height). Results are in coco_results.py.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from resdet.data.detection.annotations import DetectionDataset, clean_table, require_any, tell_repeated
from resdet.data.detection.coco_categories import find_classes
from resdet.data.detection.coco_file import CocoFile, read_coco_file, similar_ids
from resdet.data.detection.coco_table import (
    complete_table_sizes,
    enclose_boxes,
    image_paths,
    join_truth,
    table_of,
    tell_crowds,
)
from resdet.data.detection.coco_values import IdIndex, id_array, same_id
from resdet.data.detection.shared_files import refuse_shared
from resdet.data.detection.splitting import take_images
from resdet.data.detection.usable import refuse_corners, refuse_fractions
from resdet.data.image_files import require_images
from resdet.data.text_files import is_folder, named_classes, quoted, quoted_path
from resdet.errors import UserError
from resdet.metrics.coco_ap import Instances

logger = logging.getLogger("resdet")

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
        classes: category names in the order of their labels; objects of others are left out. A class may be absent
            from the files. None takes all of the files' categories, by ascending id.
        empty_images: False leaves out images without objects; in training they teach the background.
        annotated: False for sets whose annotations are not public (image_info_test-dev2017.json).
        with_images: False where only annotations are needed, as for scoring results: images are not looked for, and
            those without a size in the file are taken to hold their boxes.

    Attributes:
        category_ids: [K], the files' ids of the labels, int64; Python objects where ids are texts or beyond 64 bits.
        image_numbers: [N], the files' ids of the images, likewise.
        absent: names of classes that the files do not have.
        files: the JSON files.
        truth: all objects as the files have them, for evaluations.

    Boxes are clipped to their image and boxes without area are dropped, sizes that the file does not give are read from
    the images' headers, each with one warning that counts them. Crowds are kept and marked.

    Raises:
        UserError: a missing or malformed file, sets with different categories, an image twice, an unknown class; an
            image that is missing, named outside of the root, or found under two names; boxes that are fractions.
    """

    def __init__(
        self,
        root: str | Path,
        splits: Sequence[str | tuple[str, str]],
        classes: Sequence[str] | None = None,
        empty_images: bool = True,
        annotated: bool = True,
        with_images: bool = True,
    ) -> None:
        root = Path(root)
        pairs = [folder_and_file(root, split) for split in splits]
        if not pairs:
            raise UserError(f"{root}: no image set is chosen; name one in `splits`")
        for folder, _ in pairs:
            if with_images and not is_folder(folder):
                raise UserError(f"{folder}: no such folder; put the images there")
        self.files = tuple(file for _, file in pairs)
        classes = named_classes(classes, root)
        contents = [read_coco_file(file, annotated) for file in self.files]
        for file, content in zip(self.files, contents, strict=True):
            _tell_similar_ids(file, content)
        found = find_classes(list(zip(self.files, contents, strict=True)), classes)
        self.category_ids, self.absent = id_array(found.ids), found.absent
        self.image_numbers = _image_numbers(pairs, contents)
        self.truth = join_truth(contents, found.labels, self.image_numbers)
        tell_crowds(self.files[0], self.truth.crowd)
        paths = [""] * len(self.image_numbers)
        if with_images:
            files = list(zip(pairs, contents, strict=True))
            paths = [path for (folder, file), content in files for path in image_paths(root, folder, file, content)]
            named = ((folder, name) for (folder, _), content in files for name in content.names.tolist())
            refuse_shared(named, paths, self.files[-1])
        table = table_of(self.truth, paths, np.concatenate([content.sizes for content in contents]))
        if not empty_images:
            chosen = np.flatnonzero(np.diff(table.offsets))
            require_any(chosen, self.files[0], "empty_images=False")
            table, self.image_numbers = take_images(table, chosen), self.image_numbers[chosen]
        if with_images:
            require_images(table.paths.tolist(), self.files[0])
            complete_table_sizes(table)
            refuse_fractions(table, self.files[0])
            refuse_corners(table, self.files[0])
            tell_repeated(table)
        else:
            enclose_boxes(table)
        table = clean_table(table)
        if not empty_images:
            require_any(table.labels, self.files[0], "empty_images=False")
        super().__init__(found.names, table)


def folder_and_file(root: Path, split: str | tuple[str, str]) -> tuple[Path, Path]:
    """The folder of images and the JSON file of one entry of COCODataset's `splits`."""
    folder, file = (split, f"annotations/instances_{split}.json") if isinstance(split, str) else split
    return root / folder, root / file


def instances_of(dataset: DetectionDataset) -> Instances:
    """The ground truth of a data set for COCO's evaluation.

    A COCODataset's has the boxes and areas of its files, whose areas are those of the outlines. For other formats areas
    are those of the boxes, and difficult objects are crowds.
    """
    if not hasattr(dataset, "truth"):
        table = dataset.table
        box = np.concatenate([table.boxes[:, :2], table.boxes[:, 2:] - table.boxes[:, :2]], 1)
        ignored = table.crowd | table.difficult
        columns = (table.image_of_object(), table.labels, box, box[:, 2:].prod(1), ignored)
        return Instances(np.arange(len(table)), len(dataset.classes), *columns)
    truth, numbers = dataset.truth, dataset.image_numbers.tolist()  # type: ignore[attr-defined]
    listed = IdIndex(numbers).rows(truth.image_numbers.tolist(), exactly=True)
    image = listed[truth.image]  # of this part of the set; -1 for others
    own = image >= 0
    columns = (image[own], truth.label[own], truth.box[own], truth.area[own], truth.crowd[own])
    by_id = sorted(range(len(numbers)), key=lambda row: (isinstance(numbers[row], str), numbers[row]))
    return Instances(np.argsort(by_id), len(dataset.classes), *columns)


def _tell_similar_ids(file: Path, content: CocoFile) -> None:
    """Warn of ids with one number in several spellings, which pycocotools takes for different ones, too."""
    for what, ids in (("images", content.image_ids), ("categories", content.category_ids)):
        similar = IdIndex(ids.tolist()).similar if ids.dtype == object else []
        if similar:
            logger.warning("%s: %s", file, similar_ids(what, *similar[0]))


def _image_numbers(pairs: Sequence[tuple[Path, Path]], contents: Sequence[CocoFile]) -> np.ndarray:
    """The ids of all images; refuses an id that two files have, for one image or for two."""
    numbers = [number for content in contents for number in content.image_ids.tolist()]
    repeated = IdIndex(numbers).repeated if len(contents) > 1 else []
    if not repeated:
        return id_array(numbers)
    key = same_id(repeated[0])
    named = [
        (file, folder / name)
        for (folder, file), content in zip(pairs, contents, strict=True)
        for number, name in zip(content.image_ids.tolist(), content.names.tolist(), strict=True)
        if same_id(number) == key
    ]
    (first, path), (second, other) = named[:2]
    if path == other:
        raise UserError(f"{second}: image {quoted(repeated[0])} is in the chosen sets twice; keep one")
    raise UserError(
        f"{second}: image {quoted(repeated[0])} is {quoted_path(other)}, but {quoted_path(path)} in {first}, and "
        "results tell images by their ids; renumber the images of one file"
    )
