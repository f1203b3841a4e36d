"""Tiles cover an image, and an object that several of them see is one detection."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import resdet
from helpers.detectors import random_detector
from resdet.errors import UserError
from resdet.recipes.detection.detector import Detector
from resdet.recipes.detection.result import ImageDetections
from resdet.recipes.detection.tiling import Tiled, Tiling


class BrightBlobs:
    """Finds the white rectangles in a picture, as far as it shows them; the larger, the surer."""

    classes = ("blob",)

    def __call__(self, pixels: np.ndarray) -> ImageDetections:
        import cv2

        _, _, found, _ = cv2.connectedComponentsWithStats((pixels[:, :, 0] > 200).astype(np.uint8))
        x, y, width, height, area = torch.tensor(found[1:]).float().unbind(1)
        boxes = torch.stack([x, y, x + width, y + height], 1)
        return ImageDetections(boxes, area / 1e5, torch.zeros(len(area)).long(), self.classes, pixels.shape[:2])


@pytest.mark.parametrize(("height", "width"), [(100, 100), (101, 250), (1000, 333), (64, 1000)])
@pytest.mark.parametrize("overlap", [0.0, 0.2, 0.5])
def test_tiles_cover_the_image_and_overlap(height: int, width: int, overlap: float) -> None:
    seen = np.zeros((height, width), bool)
    corners = list(Tiling(100, overlap).windows(height, width))
    for y, x in corners:
        assert 0 <= y <= max(0, height - 100)
        assert 0 <= x <= max(0, width - 100)
        seen[y : y + 100, x : x + 100] = True
    assert seen.all()
    for starts in ({y for y, _ in corners}, {x for _, x in corners}):
        assert max(np.diff(sorted(starts)), default=0) <= 100 * (1 - overlap) + 1


def test_an_object_in_several_tiles_is_one_detection() -> None:
    picture, truth = np.zeros((700, 900, 3), np.uint8), [(10, 10, 40, 30), (190, 50, 240, 90), (385, 380, 430, 440)]
    truth.append((500, 100, 880, 650))  # larger than a tile: found whole in the whole image alone
    for x1, y1, x2, y2 in truth:
        picture[y1:y2, x1:x2] = 255
    found = Tiled(BrightBlobs(), Tiling(200, 0.3))(picture)
    assert sorted(map(tuple, found.boxes.int().tolist())) == sorted(truth)
    assert (found.scores.diff() <= 0).all()
    assert found.image_size == (700, 900)


def test_an_image_as_small_as_a_tile_is_detected_in_once(det_config: Path, tmp_path: Path) -> None:
    checkpoint = random_detector(det_config, tmp_path / "random.pth")
    detector: Detector = resdet.load_detector(det_config, checkpoint, device="cpu", precision="fp32")
    pixels = np.random.default_rng(0).integers(0, 255, (90, 120, 3)).astype(np.uint8)
    plain = detector(pixels)
    assert torch.equal(Tiled(detector, Tiling(120))(pixels).boxes, plain.boxes)
    assert len(Tiled(detector, Tiling(64, 0.5))(pixels)) > len(plain) > 0


def test_tiles_that_would_hardly_ever_end_are_refused() -> None:
    with pytest.raises(UserError, match=r"at most 0\.9"):
        Tiling(800, 1.0)
    with pytest.raises(UserError, match="give at least 64"):
        Tiling(63)
