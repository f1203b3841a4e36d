"""Pictures of the images that cost a detector most, with its errors in a colour for each kind.

for image_id, cost, picture in worst_pictures(report, dataset, detections, count=12):
    save_image(f"{image_id}.jpg", picture)
"""

from __future__ import annotations

import numpy as np

from resdet.data.detection.annotations import DetectionDataset
from resdet.metrics.error_kinds import HIT, KINDS, MISSED, ErrorRules
from resdet.metrics.flat import Array, FlatDetections, pair_greedily, paired_iou
from resdet.recipes.detection.error_analysis import ErrorReport
from resdet.report.canvas import Colour, Image
from resdet.report.drawing import draw_captions
from resdet.report.sheets import side_by_side
from resdet.structures import Sample

RIGHT, LEFT_OUT = "right", "ignored"
KIND_COLOURS: dict[str, Colour] = {
    "classification": (240, 140, 20), "localization": (60, 130, 250), "both": (160, 90, 230),
    "duplicate": (0, 170, 180), "background": (230, 70, 160), MISSED: (220, 45, 45), RIGHT: (40, 160, 70),
    LEFT_OUT: (140, 140, 140),
}  # fmt: skip


def worst_pictures(
    report: ErrorReport, dataset: DetectionDataset, detections: FlatDetections, count: int
) -> list[tuple[str, float, Image]]:
    """Draw the images that cost most.

    Args:
        report: of these detections.
        dataset: the images and the truth.
        detections: in the whole data set.
        count: of pictures, at most.

    Returns:
        Image id, mAP lost (0..1), and picture: ground truth on the left, and on the right the detections with at least
        the report's score, labelled by kind of error and in KIND_COLOURS. An object that none of these finds is
        labelled as missed. The worst image is first.

    Raises:
        UserError: an image cannot be read.
    """
    if not count:
        return []
    costs, ids = report.image_costs, dataset.table.ids
    order = [int(i) for i in np.argsort(-costs, kind="stable")[:count] if costs[i] > 0]
    return [(str(ids[i]), float(costs[i]), _picture(report, dataset[i], detections, i)) for i in order]


def _picture(report: ErrorReport, sample: Sample, detections: FlatDetections, index: int) -> Image:
    rows = np.flatnonzero((detections.image == index) & (detections.score >= report.score))
    rows = rows[np.argsort(-detections.score[rows], kind="stable")]
    label, score, box = detections.label[rows], detections.score[rows], detections.box[rows]
    errors = report.errors
    kinds = [_name(kind) if counts else LEFT_OUT  # TIDE names a kind for detections on difficult objects too
             for kind, counts in zip(errors.kind[rows].tolist(), errors.counts_in_ap[rows], strict=True)]  # fmt: skip
    states = _states(sample, label, box, errors.kind[rows] == HIT)
    names = [report.classes[k] for k in sample.labels.tolist()]
    objects = [(name, "" if state == RIGHT else f": {state}") for name, state in zip(names, states, strict=True)]
    image = sample.image.numpy()
    left = draw_captions(image, sample.boxes.numpy(), objects, [KIND_COLOURS[s] for s in states], dashed=True)
    captions = [(report.classes[k], f": {kind} {s:.2f}") for k, kind, s in zip(label, kinds, score, strict=True)]
    right = draw_captions(image, box, captions, [KIND_COLOURS[kind] for kind in kinds])
    return side_by_side(left, right, ("ground truth", f"detections from a score of {report.score:g}"))


def _states(sample: Sample, label: Array, box: Array, hit: Array) -> list[str]:
    """Whether each object is RIGHT (a hit of its own lies on it), MISSED or LEFT_OUT of the evaluation."""
    objects = sample.boxes.numpy()[None].astype(np.float64)
    iou = paired_iou(*np.broadcast_arrays(box[hit][:, None], objects))
    partner = pair_greedily(iou * (label[hit][:, None] == sample.labels.numpy()), ErrorRules().hit_iou)
    found = np.isin(np.arange(len(sample.boxes)), partner)
    ignored = (sample.difficult | sample.crowd).numpy()
    states: list[str] = np.where(ignored, LEFT_OUT, np.where(found, RIGHT, MISSED)).tolist()
    return states


def _name(kind: int) -> str:
    return RIGHT if kind == HIT else KINDS[kind]
