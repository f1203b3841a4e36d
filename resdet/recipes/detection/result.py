"""The detections of one image, with class names, and their conversion to the formats of other tools.

detections = detector("photo.jpg")
for detection in detections.above(0.5):
    print(detection.name, detection.score, detection.box)
detections[:10].to_pandas()
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from torch import Tensor

from resdet.data.detection.writing import voc_xml, yolo_lines
from resdet.errors import UserError
from resdet.structures import Detections


@dataclass(frozen=True)
class Detection:
    """One object.

    Args:
        box: (x1, y1, x2, y2) in pixels of the image; x2 - x1 is the width.
        score: 0..1.
        label: of its class.
        name: of its class.
    """

    box: tuple[float, float, float, float]
    score: float
    label: int
    name: str


@dataclass
class ImageDetections(Detections):
    """The detections of one image, by descending score.

    `detections[3]` and the elements of a loop are `Detection`s; a slice, an index tensor, a mask and `above` give
    ImageDetections.

    Args:
        boxes: float32 [D, 4], in the image's own pixels.
        scores: float32 [D].
        labels: int64 [D].
        classes: names, by label.
        image_size: (height, width) of the image.
    """

    classes: Sequence[str]
    image_size: tuple[int, int]

    def __getitem__(self, index: int | slice | Tensor | Sequence[int]) -> Any:
        """A `Detection` for an integer, else the selected detections as ImageDetections."""
        if not isinstance(index, int | np.integer):
            return self.chosen(index)
        x1, y1, x2, y2 = self.boxes[index].tolist()
        label = int(self.labels[index])
        return Detection((x1, y1, x2, y2), float(self.scores[index]), label, self.classes[label])

    def __iter__(self) -> Iterator[Detection]:
        return (self[i] for i in range(len(self)))

    @property
    def names(self) -> list[str]:
        """The name of each detection's class."""
        return [self.classes[label] for label in self.labels.tolist()]

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, for JSON: boxes, scores, labels, names, and the image's size as (height, width)."""
        return {
            "boxes": self.boxes.tolist(),
            "scores": self.scores.tolist(),
            "labels": self.labels.tolist(),
            "names": self.names,
            "size": list(self.image_size),
        }

    def to_coco(self, image_id: int = 0, category_ids: Sequence[int] | None = None) -> list[dict[str, Any]]:
        """COCO's results: image_id, category_id, bbox as (x, y, width, height), score.

        Args:
            image_id: of the image in the file of annotations.
            category_ids: by label; None: label + 1.
        """
        rows = zip(self.boxes.tolist(), self.scores.tolist(), self.labels.tolist(), strict=True)
        return [
            {
                "image_id": image_id,
                "category_id": label + 1 if category_ids is None else category_ids[label],
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "score": score,
            }
            for (x1, y1, x2, y2), score, label in rows
        ]

    def to_voc(self, filename: str = "") -> str:
        """PASCAL VOC's xml: whole pixels, 1-based and inclusive. `filename` is that of the image."""
        return voc_xml(filename, self.image_size, self.boxes.tolist(), self.names)

    def to_yolo(self) -> str:
        """YOLO's txt: a line `label cx cy width height` per object, in fractions of the image."""
        return yolo_lines(self.image_size, self.boxes.tolist(), self.labels.tolist())

    def to_supervision(self) -> Any:
        """`supervision.Detections`.

        Raises:
            UserError: supervision is not installed.
        """
        return _package("supervision").Detections(
            xyxy=self.boxes.numpy(),
            confidence=self.scores.numpy(),
            class_id=self.labels.numpy(),
            data={"class_name": np.array(self.names, dtype=str)},
        )

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame` with the columns x1, y1, x2, y2, score, label, name.

        Raises:
            UserError: pandas is not installed.
        """
        columns = dict(zip(("x1", "y1", "x2", "y2"), self.boxes.numpy().T, strict=True))
        scores, labels = self.scores.numpy(), self.labels.numpy()
        return _package("pandas").DataFrame({**columns, "score": scores, "label": labels, "name": self.names})


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise UserError(f"to_{name} needs {name} ({error}); install it with: pip install {name}") from None
