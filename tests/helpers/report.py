"""Inputs of the report: grey images, detections, precision-recall curves and training records."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

GREY = 120


@dataclass(frozen=True)
class Result:
    """Precision-recall curve of one class."""

    recall: np.ndarray
    precision: np.ndarray
    ap: float


def grey(height: int, width: int) -> np.ndarray:
    """A grey image."""
    return np.full((height, width, 3), GREY, np.uint8)


def detections(*boxes: tuple[float, float, float, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(boxes, labels, scores) of class 0 with score 0.9."""
    return np.array(boxes, np.float32).reshape(-1, 4), np.zeros(len(boxes), int), np.full(len(boxes), 0.9)


def results(count: int) -> list[Result]:
    """Curves of `count` classes."""
    recall = np.linspace(0.02, 0.9, 50)
    return [Result(recall, 1 - recall * (i + 1) / (count + 1), 0.9 - 0.8 * i / count) for i in range(count)]


def records(count: int = 40) -> list[dict[str, float]]:
    """Scalars of a training with `count` log lines and two validations."""
    steps = [{"iteration": 20 * i, "lr": 0.01, "loss": 3 / i, "loss_box": 1 / i} for i in range(1, count + 1)]
    return [*steps, {"iteration": 400, "val/mAP50": 0.5}, {"iteration": 800, "val/mAP50": 0.6}]


@dataclass(frozen=True)
class ScoredResult(Result):
    """The same with the score of each detection."""

    score: np.ndarray
    num_truth: int


def scored_results(count: int) -> list[ScoredResult]:
    """The curves of `results` with scores from 1 to 0; the last class has no objects."""
    scores = np.linspace(1, 0, 50)
    curves = [ScoredResult(r.recall, r.precision, r.ap, scores, 30) for r in results(count - 1)]
    return [*curves, ScoredResult(np.full(50, np.nan), np.zeros(50), float("nan"), scores, 0)]
