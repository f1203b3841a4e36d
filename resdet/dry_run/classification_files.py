"""Classification and localization data sets of a dry run: ImageNet CLS-LOC, folders of classes, CIFAR-10.

Each writer takes the folder `root` to write, the data set's section of the config, the number of classes and the image
numbers of all sets.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from resdet.data.classification.cifar import BATCH, BINARY, PIXELS, Cifar10, ImageSet
from resdet.dry_run.pictures import IMAGES, LANDSCAPE, Numbers, class_names, draw_boxes, draw_noise
from resdet.dry_run.writing import below, save_image, with_folder, write_lines

Node = dict[str, Any]  # a data set's section of the config: its type and arguments


class FewOfCifar10(Cifar10):
    """The first `images` images of a CIFAR-10 set; a file has 10,000.

    Args:
        root, image_set, download: see Cifar10.
        images: images to keep.
    """

    def __init__(self, root: str | Path, image_set: ImageSet, images: int, download: bool = False) -> None:
        super().__init__(root, image_set, download)
        self.images, self.labels = self.images[:images].clone(), self.labels[:images].clone()


def write_imagenet(root: Path, node: Node, num_classes: int, numbers: Numbers) -> None:
    """Write the CLS-LOC layout: names of all classes, pictures of some with one box each; train's first has none."""
    image_set, wnids = node["image_set"], [f"n{k:08}" for k in range(1, num_classes + 1)]
    write_lines(root / "LOC_synset_mapping.txt", (f"{w} class {k}, noise" for k, w in enumerate(wnids, 1)))
    first, lines, answers = numbers.first(f"CLS-LOC {image_set}"), [], []
    for index in range(IMAGES):
        wnid, number = wnids[index * 7 % num_classes], first + index
        stem = f"{wnid}/{wnid}_{number}" if image_set == "train" else f"ILSVRC2012_{image_set}_{number:08}"
        lines.append(f"{stem} {number}")
        random = np.random.default_rng(number)
        height, width = LANDSCAPE
        boxes = draw_boxes(random, 1, height, width)
        save_image(
            below(root, "ILSVRC", "Data", "CLS-LOC", image_set, f"{stem}.JPEG"), draw_noise(random, *LANDSCAPE, boxes)
        )
        x1, y1, x2, y2 = boxes[0].tolist()
        if image_set != "train" or index:
            answers.append(f"{stem.rpartition('/')[2]},{wnid} {x1} {y1} {x2 - 1} {y2 - 1} ")
    lists = root / "ILSVRC" / "ImageSets" / "CLS-LOC"
    write_lines(below(lists, "train_cls.txt" if image_set == "train" else f"{image_set}.txt"), lines)
    if image_set != "test":
        write_lines(root / f"LOC_{image_set}_solution.csv", ["ImageId,PredictionString", *answers])


def write_classes(root: Path, node: Node, num_classes: int, numbers: Numbers) -> None:
    """Write folders of classes, one image each."""
    first = numbers.first(f"classes {node['image_set']}")
    for number, name in enumerate(class_names(num_classes), first):
        save_image(below(root, node["image_set"], name, f"{number}.jpg"), _photo(number))


def write_cifar10(root: Path, node: Node, num_classes: int, numbers: Numbers) -> None:
    """Write the binary files in full length; 100 records at the start and in the middle are noise, the rest zeros."""
    names = ["test_batch"] if node["image_set"] == "test" else [f"data_batch_{i}" for i in range(1, 6)]
    for number, name in enumerate(names):
        random = np.random.default_rng(number)
        pixels = random.integers(0, 256, (100, PIXELS)).astype(np.uint8)
        records = np.concatenate([random.integers(0, 10, (100, 1)).astype(np.uint8), pixels], 1).tobytes()
        with with_folder(root / BINARY / f"{name}.bin").open("wb") as file:
            for start in (0, BATCH // 2):  # val5k begins in the middle of the last file
                file.seek(start * (PIXELS + 1))
                file.write(records)
            file.truncate(BATCH * (PIXELS + 1))  # a sparse file: the zeros take no space on most file systems


def _photo(number: int) -> np.ndarray:
    return draw_noise(np.random.default_rng(number), *LANDSCAPE, [])
