"""What about the classes of a data set looks like a mistake."""

from __future__ import annotations

import pytest

from resdet.data.detection.class_counts import doubts_of_classes
from resdet.data.detection.coco import COCO_CLASSES
from resdet.data.detection.voc import VOC_CLASSES


@pytest.mark.parametrize("classes", [VOC_CLASSES, COCO_CLASSES])
def test_sound_sets_are_not_doubted(classes: tuple[str, ...]) -> None:
    counts = {name: 10 if k % 2 else 1000 for k, name in enumerate(classes)}
    assert doubts_of_classes(counts, {"test": dict.fromkeys(classes, 5)}) == []
    assert doubts_of_classes({"class 1": 5, "class 2": 500}) == []


def test_classes_without_objects_of_few_and_misspelt_ones_are_named() -> None:
    train = {"Apple": 60, "Aple": 1, "pear": 0, "Big-Dog": 40, "big_dog": 30}
    assert doubts_of_classes(train, {"valid": {"Apple": 3}, "test": {"pear": 2, "plum": 7}}) == [
        "no object to learn from: pear (2 in test), plum (7 in test)",
        "fewer than 5 objects to learn from: Aple 1",
        "similar names, maybe of one class: Apple (60) and Aple (1), Big-Dog (40) and big_dog (30)",
    ]


def test_sets_without_objects_to_measure_on_are_named() -> None:
    others = {"valid": {"cat": 0}, "extra": {"cat": 2}, "test": {}}
    (line,) = doubts_of_classes({"cat": 9}, others)
    assert line == "no object to measure on in valid, test: annotate images there, or test on others"


def test_many_classes_are_counted() -> None:
    (line,) = doubts_of_classes({f"n{k}": 0 for k in range(1000)})
    assert line.endswith("n9 and 990 more")
