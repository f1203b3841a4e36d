"""Detectors, batches and image pyramids for the tests of Appendix B, and slow, literal versions of its methods."""

from __future__ import annotations

import torch

from helpers.detectors import make_detector, make_sample
from resdet.data.detection.loading import collate_detection, collate_pyramid, resize_sample
from resdet.data.transforms import Resizer
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.detection.refinement import Refinement
from resdet.structures import Batch, Pyramid

SCALES = (48, 72, 96, 144)


def one_image(height: int = 96, width: int = 128, seed: int = 0) -> Batch:
    """A batch of one image."""
    return collate_detection([make_sample(height, width, seed=seed)])


def two_images() -> Batch:
    """A batch of two images of different sizes."""
    return collate_detection([make_sample(96, 128), make_sample(80, 90, seed=1)])


def pyramid(*sizes: tuple[int, int], scales=SCALES) -> Pyramid:
    """Images of these (height, width), each resized to all `scales`."""
    samples = [make_sample(*size, seed=i)[0] for i, size in enumerate(sizes)]
    return collate_pyramid([[resize_sample(s, Resizer(96, 160).at(short)) for short in scales] for s in samples])


def detector(depth: int = 18, **head) -> FasterRCNN:
    """A detector with random weights whose class scores differ between regions."""
    return make_detector(depth, **head).eval()


def random_boxes(count: int, classes: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Clustered boxes [R, K, 4] and scores [R, K], in float64."""
    random = torch.Generator().manual_seed(seed)
    centre = torch.randint(1, 4, (count, classes, 2), generator=random) * 40.0
    corner = centre + torch.rand(count, classes, 2, generator=random, dtype=torch.float64) * 12
    side = 30 + torch.rand(count, classes, 2, generator=random, dtype=torch.float64) * 12
    scores = torch.rand(count, classes, generator=random, dtype=torch.float64)
    return torch.cat([corner, corner + side], -1), scores


def slow_iou(a: list[float], b: list[float]) -> float:
    """IoU of two boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union


def slow_detections(boxes, scores, floor: float, nms: float, voting: float | None, most: int) -> list[tuple]:
    """Detections as (score, class, box) by descending score, from boxes [R][K][4] and scores [R][K]."""
    found = []
    for k in range(len(scores[0])):
        mine = sorted(((scores[r][k], boxes[r][k]) for r in range(len(boxes))), key=lambda pair: -pair[0])
        kept: list[tuple] = []
        for score, box in mine:
            if score > floor and all(slow_iou(box, other) <= nms for _, other in kept):
                kept.append((score, box))
        for score, box in kept:
            if voting is not None:
                voters = [(s, b) for s, b in mine if slow_iou(box, b) >= voting]
                total = sum(s for s, _ in voters)
                box = [sum(s * b[i] for s, b in voters) / total for i in range(4)]
            found.append((score, k, box))
    return sorted(found, key=lambda row: -row[0])[:most]


def slow_refined(model: FasterRCNN, batch: Batch, settings: Refinement) -> list[tuple]:
    """Refinement with one head pass per region, then the best box of each region."""
    with torch.inference_mode():
        features = model.trunk(batch)
        proposals = model.propose(features)
        boxes, scores = [], []
        for region in proposals.boxes[0][proposals.valid[0]]:
            rows = region[None, None]
            for _ in range(1 + settings.rounds):
                s, b = model.predict(model.embed(features, rows), rows, features.image_sizes)
                boxes.append(b[0, 0].double().tolist())
                scores.append(s[0, 0, :-1].double().tolist())
                rows = b[0, 0, int(s[0, 0, :-1].argmax())][None, None]
    s = model.head.settings
    return slow_detections(boxes, scores, s.score_floor, settings.nms_iou, settings.voting_iou, s.max_detections)


def assert_same(found, expected: list[tuple]) -> None:
    """Check that the detections of one image are the expected ones, in the same order."""
    torch.testing.assert_close(
        found.scores.double(), torch.tensor([row[0] for row in expected]).double(), atol=1e-5, rtol=0
    )
    assert found.labels.tolist() == [row[1] for row in expected]
    torch.testing.assert_close(
        found.boxes.double(), torch.tensor([row[2] for row in expected]).double(), atol=2e-3, rtol=0
    )
