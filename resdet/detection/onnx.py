"""A detector as an ONNX file: the trunk, the RPN, both rounds of NMS and the head; images are resized outside.

    export_onnx(model, "detector.onnx", DetectorFacts(["apple", "banana"], short=600, long=1000))

The file runs in ONNX Runtime without resdet and torch:

    image   uint8 [H, W, 3]      RGB, resized as the metadata "short" and "long" say; any H and W
    boxes   float32 [D, 4]       x1, y1, x2, y2 in pixels of that image, by descending score
    scores  float32 [D]
    labels  int64 [D]            indices into the metadata "classes", a JSON list

The exporter cannot trace operations whose output size depends on the data. There are two, NMS of the proposals and NMS
of the detections; each is a custom operator here and NonMaxSuppression in the file. RoIAlign and RoIPool become ONNX's
RoiAlign and MaxRoiPool. Appendix B's improvements are not exported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align, roi_pool

from resdet.boxes.anchors import grid_anchors
from resdet.boxes.coding import decode
from resdet.boxes.geometry import clip_boxes
from resdet.boxes.nms import multiclass_nms, nms
from resdet.detection.faster_rcnn import STRIDE, FasterRCNN
from resdet.nets.blocks import fold_for_inference
from resdet.nets.onnx_file import export_module, require_onnx
from resdet.structures import Features

EXAMPLE_SIZE = (256, 320)  # height and width that the export traces; the file takes any


class DetectorFacts(NamedTuple):
    """The metadata of an exported detector, for whoever runs it."""

    classes: Sequence[str]  # names, by label
    short: int  # of the training's resizer: the short side that an image is resized to, in pixels
    long: int | None  # the most pixels of its long side; None: no limit


class ExportedDetector(nn.Module):
    """The detector as one function of one image, in fp32.

    Args:
        model: the detector; it is copied, and BN is folded in the copy.
    """

    def __init__(self, model: FasterRCNN) -> None:
        super().__init__()
        self.model = deepcopy(model).cpu().float().eval()
        fold_for_inference(self.model.net, torch.float32)
        self.model.pooling = _pooling(model)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """uint8 [H, W, 3] -> boxes [D, 4] in its pixels, scores [D], labels [D]."""
        model, head = self.model, self.model.head.settings
        height, width, _ = image.shape
        sizes = torch.stack([torch.full((), height), torch.full((), width)])[None]
        x = model.net.trunk(model.net.preprocess(image.permute(2, 0, 1)[None]))
        features = Features(x, model.net.trunk_cells(sizes), torch.ones(1, 4), sizes)
        regions = self._propose(x, sizes)[None]
        scores, boxes = model.predict(model.embed(features, regions), regions, sizes)
        present = (regions[0, :, 2] > regions[0, :, 0])[:, None]  # padding has no area
        found: tuple[Tensor, Tensor, Tensor] = torch.ops.resdet.detections(
            boxes[0], scores[0, :, :-1] * present, head.score_floor, head.nms_iou, head.max_detections
        )
        return found

    def _propose(self, x: Tensor, sizes: Tensor) -> Tensor:
        """test_post_nms regions [R, 4], padded with zeros (boxes/proposals.py)."""
        rpn, s = self.model.rpn, self.model.rpn.settings
        logits, deltas = rpn.maps(x)
        anchors = grid_anchors(rpn.anchors.shapes, x.shape[2], x.shape[3], STRIDE)
        boxes = clip_boxes(decode(deltas.permute(0, 2, 3, 1).reshape(-1, 4), anchors), sizes[0])
        scores = logits.permute(0, 2, 3, 1).reshape(-1)
        valid = (boxes[:, 2:] - boxes[:, :2] > s.min_size).all(1)
        boxes, scores = torch.where(valid[:, None], boxes, 0.0), torch.where(valid, scores, -torch.inf)
        regions: Tensor = torch.ops.resdet.proposals(boxes, scores, s.test_pre_nms, s.nms_iou, s.test_post_nms)
        return regions


def export_onnx(
    model: FasterRCNN, path: str | Path, facts: DetectorFacts, kept: Mapping[str, str] | None = None
) -> None:
    """Write a trained detector as an ONNX file.

    Args:
        model: the detector.
        path: of the file.
        facts: its metadata.
        kept: further metadata, such as the config (`resdet_metadata`), so that resdet uses the file like a checkpoint.

    Raises:
        UserError: onnx or onnxscript is not installed.
    """
    require_onnx()  # before the operators' translations
    size = {0: torch.export.Dim("height", min=STRIDE), 1: torch.export.Dim("width", min=STRIDE)}
    export_module(
        ExportedDetector(model).eval(), (torch.zeros(*EXAMPLE_SIZE, 3, dtype=torch.uint8),), path,
        ["image"], ["boxes", "scores", "labels"], {**(kept or {}), **facts._asdict()}, (size,), _translations(),
    )  # fmt: skip


def _pooling(model: FasterRCNN) -> Any:
    """RoIAlign or RoIPool by torchvision's operators, which ONNX has too, with the arguments of `roi_align`."""
    s = model.head.settings

    def pool(x: Tensor, regions: Tensor, bins: int, stride: int, even: bool, cells: Tensor) -> Tensor:
        rois = torch.cat([torch.zeros_like(regions[0, :, :1]), regions[0]], 1)
        pooled: Tensor
        if s.pooling == "align":
            pooled = roi_align(x, rois, bins, 1 / stride, s.samples, s.aligned)
        else:
            pooled = roi_pool(x, rois, bins, 1 / stride)
        return pooled[:, :, ::2, ::2] if even else pooled

    return pool


@torch.library.custom_op("resdet::proposals", mutates_args=())
def proposals(boxes: Tensor, scores: Tensor, candidates: int, iou: float, count: int) -> Tensor:
    """NMS of the `candidates` best of boxes [A, 4]: the best `count`, padded with zeros, [count, 4]."""
    order = scores.argsort(descending=True, stable=True)[:candidates]
    keep = order[nms(boxes[order], scores[order], iou, count)]
    kept = boxes.new_zeros(count, 4)
    kept[: len(keep)] = boxes[keep]
    return kept


@proposals.register_fake
def _(boxes: Tensor, scores: Tensor, candidates: int, iou: float, count: int) -> Tensor:
    return boxes.new_empty(count, 4)


@torch.library.custom_op("resdet::detections", mutates_args=())
def detections(boxes: Tensor, scores: Tensor, floor: float, iou: float, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """NMS within each class of boxes [R, K, 4] with scores [R, K]: `multiclass_nms`."""
    found = multiclass_nms(boxes, scores, floor, iou, count)
    return found[0].clone(), found[1].clone(), found[2].clone()


@detections.register_fake
def _(boxes: Tensor, scores: Tensor, floor: float, iou: float, count: int) -> tuple[Tensor, Tensor, Tensor]:
    found = torch.library.get_ctx().new_dynamic_size()
    return boxes.new_empty(found, 4), boxes.new_empty(found), boxes.new_empty(found, dtype=torch.int64)


def _translations() -> dict[Any, Any]:
    """The custom operators and RoIPool, written as ONNX operators."""
    from onnxscript import opset18 as op

    def onnx_proposals(boxes: Any, scores: Any, candidates: int, iou: float, count: int) -> Any:
        most = op.Min(op.Shape(scores), op.Constant(value_ints=[candidates]))
        scores, order = op.TopK(scores, most)
        boxes, shape = op.Gather(boxes, order), op.Constant(value_ints=[1, 1, -1])
        kept = op.NonMaxSuppression(
            op.Unsqueeze(boxes, op.Constant(value_ints=[0])), op.Reshape(scores, shape),
            op.Constant(value_ints=[count]), op.Constant(value_float=iou),
        )  # fmt: skip
        rows = op.Gather(boxes, op.Gather(kept, op.Constant(value_int=2), axis=1))
        padding = op.ConstantOfShape(op.Constant(value_ints=[count, 4]))
        return op.Slice(op.Concat(rows, padding, axis=0), op.Constant(value_ints=[0]), op.Constant(value_ints=[count]))

    def onnx_detections(boxes: Any, scores: Any, floor: float, iou: float, count: int) -> Any:
        by_class, scores = op.Transpose(boxes, perm=[1, 0, 2]), op.Transpose(scores, perm=[1, 0])
        everything = op.Shape(scores, start=1, end=2)
        kept = op.NonMaxSuppression(
            by_class, op.Unsqueeze(scores, op.Constant(value_ints=[1])), everything,
            op.Constant(value_float=iou), op.Constant(value_float=floor),
        )  # fmt: skip
        at = op.Gather(kept, op.Constant(value_ints=[0, 2]), axis=1)  # class, region
        values = op.GatherND(scores, at)
        found = op.Shape(values)
        best, order = op.TopK(values, op.Min(found, op.Constant(value_ints=[count])))
        at = op.Gather(at, order)
        labels = op.Gather(at, op.Constant(value_int=0), axis=1)
        return op.GatherND(by_class, at), best, labels

    def onnx_roi_pool(x: Any, rois: Any, scale: float, height: int, width: int) -> Any:
        pooled = op.MaxRoiPool(x, rois, pooled_shape=[height, width], spatial_scale=scale)
        return pooled, pooled  # in the place of the maxima's indices, which nothing reads

    return {
        torch.ops.resdet.proposals.default: onnx_proposals,
        torch.ops.resdet.detections.default: onnx_detections,
        torch.ops.torchvision.roi_pool.default: onnx_roi_pool,
    }
