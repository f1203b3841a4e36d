"""The embedded localization set."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from resdet.data.embedded.localization import ShapesLocalization


def test_the_embedded_set_has_a_box_for_nine_of_ten_training_images(tmp_path: Path) -> None:
    options = {"root": tmp_path / "shapes", "train": 40, "val": 16}
    train = ShapesLocalization(image_set="train", with_boxes=True, **options)
    val = ShapesLocalization(image_set="val", **options)
    assert (len(train), len(val), len(val.truth().boxes)) == (36, 16, 16)
    assert np.bincount(val.labels).tolist() == [2] * 8
    for index in range(len(val)):
        image, _, (box,), _ = val[index]
        height, width = image.shape[:2]
        assert (box[:2] >= 0).all()
        assert (box[2:] <= [width, height]).all()
        assert 0.2 < np.sqrt((box[2:] - box[:2]).prod() / min(height, width) ** 2) < 1.1
