"""The embedded set for localization: one large shape per image, its class and its box, in ImageNet's CLS-LOC layout.

train = ShapesLocalization("data/shapes_loc", "train", with_boxes=True)      # drawn once, in seconds
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from resdet.data.embedded.outlines import SHAPE_CLASSES
from resdet.data.embedded.pictures import draw_single
from resdet.data.embedded.publishing import GENERATOR_VERSION, publish, write_jpeg
from resdet.data.localization.dataset import LocalizationDataset

_SIZES = ((72, 96), (96, 72), (80, 80))  # (height, width)
_TRAIN, _VAL = 4, 5  # part of each picture's seed, different from those of data/embedded/detection.py
_WITHOUT_BOX = 10  # one in so many training images has no box; in ImageNet only some have boxes


class ShapesLocalization(LocalizationDataset):
    """The embedded set as a `LocalizationDataset`, drawn if `root` does not have it.

    Args:
        root: folder of the set.
        image_set: "train" or "val".
        train, val: images in the two sets.
        with_boxes: leave out the images without a box.

    Raises:
        UserError: `root` exists but was not drawn here, or cannot be written.
    """

    def __init__(
        self,
        root: str | Path = "data/shapes_loc",
        image_set: str = "train",
        train: int = 2400,
        val: int = 400,
        with_boxes: bool = False,
    ) -> None:
        generate_shapes_localization(root, train, val)
        super().__init__(root, image_set, with_boxes=with_boxes)


def generate_shapes_localization(root: str | Path, train: int = 2400, val: int = 400, seed: int = 0) -> Path:
    """Draw the set; nothing is done if it was drawn with the same arguments before.

    Returns:
        `root`.

    Raises:
        UserError: `root` exists but was not drawn by this function, or cannot be written.
    """
    asked = {"drawn_by": "resdet", "set": "localization", "version": GENERATOR_VERSION}

    def draw(folder: Path) -> None:
        lists = folder / "ILSVRC/ImageSets/CLS-LOC"
        lists.mkdir(parents=True)
        (folder / "LOC_synset_mapping.txt").write_text("".join(f"{name} {name}\n" for name in SHAPE_CLASSES))
        for image_set, count, stream in (("train", train, _TRAIN), ("val", val, _VAL)):
            names, rows = _draw_set(folder / "ILSVRC/Data/CLS-LOC" / image_set, image_set, count, (seed, stream))
            lines = "".join(f"{name} {number}\n" for number, name in enumerate(names, 1))
            (lists / ("train_cls.txt" if image_set == "train" else "val.txt")).write_text(lines)
            solution = "".join(f"{row}\n" for row in ["ImageId,PredictionString", *rows])
            (folder / f"LOC_{image_set}_solution.csv").write_text(solution)

    publish(Path(root), asked | {"train": train, "val": val, "seed": seed}, draw)
    return Path(root)


def _draw_set(folder: Path, image_set: str, count: int, key: tuple[int, int]) -> tuple[list[str], list[str]]:
    """Draw the images of a set; returns their names for ImageSets and the rows of the solution file."""
    names, rows = [], []
    for index in range(count):
        rng = np.random.default_rng((*key, index))
        label = index % len(SHAPE_CLASSES)
        kind, train = SHAPE_CLASSES[label], image_set == "train"
        pixels, box = draw_single(rng, _SIZES[rng.integers(len(_SIZES))], label)
        stem = f"{kind}_{index:05d}" if train else f"shapes_{image_set}_{index:08d}"
        names.append(f"{kind}/{stem}" if train else stem)
        path = folder / f"{names[-1]}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_jpeg(path, pixels)
        if not train or index % _WITHOUT_BOX:
            x1, y1, x2, y2 = (round(v) for v in box)
            rows.append(f"{stem},{kind} {x1} {y1} {x2 - 1} {y2 - 1} ")  # CLS-LOC's xmax and ymax are inclusive
    return names, rows
