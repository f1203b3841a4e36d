"""The parts in which torchvision's Faster R-CNN and resdet's differ; each can be exchanged.

    contender = Contender.parse("resdet:siblings,align")      # resdet's with these two parts of torchvision's
    cfg = contender.config(cfg)                               # the config of this contender
    model = contender.detector(build(cfg.model))              # resdet's, or torchvision's with the same weights

All else is shared (data, flips, SGD, clipping, schedule, frozen stages, scoring) or gives the same losses and gradients
(matching, box encoding, losses and their denominators, proposals, frozen BN), which tests/benchmarks/test_accuracy.py
verifies. One exception: for an image with too few anchors to sample, torchvision divides the RPN's loss by their
number, resdet and detectron2 by `anchors_per_image`.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator

from resdet.benchmarks.part_names import PARTS
from resdet.benchmarks.torchvision_peer import peer_inputs, torchvision_peer
from resdet.data.transforms import Resizer
from resdet.detection.faster_rcnn import STRIDE, FasterRCNN
from resdet.detection.inference import InferenceSettings
from resdet.engine.config import Config
from resdet.errors import UserError
from resdet.structures import Batch, Detections, Features

Side = Literal["resdet", "torchvision"]
PADDING = 32  # torchvision pads a batch to a multiple of this many pixels


@dataclass(frozen=True)
class Contender:
    """One of the two detectors, with some parts of the other one.

    Args:
        side: whose detector.
        swapped: names of the other's parts (keys of PARTS).
    """

    side: Side
    swapped: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, text: str) -> Contender:
        """Read "resdet", "torchvision", or one of them with parts of the other: "resdet:align,siblings".

        Raises:
            UserError: an unknown side or part.
        """
        side, _, names = text.partition(":")
        swapped = frozenset(filter(None, names.split(",")))
        if side not in get_args(Side):
            raise UserError(f"'{text}': a contender is resdet or torchvision, not '{side}'")
        unknown = sorted(swapped - PARTS.keys())
        if unknown:
            raise UserError(f"'{text}': there is no part '{unknown[0]}'; there are {', '.join(PARTS)}")
        return cls(cast(Side, side), swapped)

    @property
    def name(self) -> str:
        """The text that `parse` reads, with the parts in the order of PARTS."""
        parts = ",".join(part for part in PARTS if part in self.swapped)
        return f"{self.side}:{parts}" if parts else self.side

    def has(self, part: str) -> Side:
        """Whose version of this part the contender has."""
        other: Side = "torchvision" if self.side == "resdet" else "resdet"
        return other if part in self.swapped else self.side

    def config(self, cfg: Config) -> Config:
        """A copy of `cfg` with those of this contender's parts that a config decides."""
        cfg = copy.deepcopy(cfg)
        if self.has("siblings") == "torchvision":
            cfg.model.head.siblings_std = None
        if self.has("align") == "torchvision":
            cfg.model.head.update(aligned=False, samples=2)
        if self.has("resize") == "torchvision":
            cfg.data.resizer.type = BilinearResizer
        if self.has("order") == "torchvision":
            cfg.data.group_aspects = False
        return cfg

    def detector(self, model: FasterRCNN) -> FasterRCNN | TorchvisionDetector:
        """This contender with the weights of `model`, which was built from `config` and may be changed or returned."""
        if self.has("anchors") == "torchvision":
            settings = model.rpn.settings
            model.rpn.anchors = cast(Any, RoundedAnchors(settings.scales, settings.ratios))
        pads = self.has("padding") == "torchvision"
        if self.side == "torchvision":
            return TorchvisionDetector(model, pads)
        if pads:
            model.__class__ = PaddedFasterRCNN
        return model


class TorchvisionDetector(nn.Module):
    """torchvision's detector with the interfaces of resdet's in training and at test.

    Args:
        model: its weights and settings are copied.
        pads: True: batches are padded as torchvision does; False: images are passed one by one, without padding.

    Raises:
        UserError: torchvision does not have a setting of `model`.
    """

    settings = InferenceSettings()

    def __init__(self, model: FasterRCNN, pads: bool) -> None:
        super().__init__()
        _refuse_other_settings(model)
        self.pads = pads
        self.peer = torchvision_peer(model, PADDING if pads else 1)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """torchvision's four losses, scalars by name."""
        images, targets = peer_inputs(batch)
        if self.pads:
            return cast(dict[str, Tensor], self.peer(images, targets))
        losses = [self.peer([image], [target]) for image, target in zip(images, targets, strict=True)]
        return {name: torch.stack([each[name] for each in losses]).mean() for name in losses[0]}

    @torch.inference_mode()
    def detect(self, batch: Batch) -> list[Detections]:
        """The detections of each image in its original pixels."""
        images, _ = peer_inputs(batch)
        answers = self.peer(images) if self.pads else [self.peer([image])[0] for image in images]
        rows = zip(answers, batch.scale, strict=True)
        return [Detections(a["boxes"].float() / scale, a["scores"].float(), a["labels"] - 1) for a, scale in rows]


class PaddedFasterRCNN(FasterRCNN):
    """resdet's detector that treats padding as part of the image, as torchvision's: with features and anchors."""

    def trunk(self, batch: Batch) -> Features:
        """conv1 to conv4, on images padded to multiples of 32."""
        x = self.net.preprocess(batch.images, batch.sizes).to(self.net.dtype)
        height, width = x.shape[-2:]
        x = self.net.trunk(F.pad(x, (0, -width % PADDING, 0, -height % PADDING)))
        cells = torch.tensor([x.shape[-2:]], device=x.device).expand(len(batch), 2)
        return Features(x, cells, batch.scale, batch.image_sizes)


class RoundedAnchors(AnchorGenerator):
    """torchvision's anchors, with the interface of boxes/anchors.AnchorGenerator."""

    def __init__(self, scales: Any, ratios: Any) -> None:
        super().__init__((tuple(scales),), (tuple(ratios),))
        self.num_anchors = len(scales) * len(ratios)

    def __call__(self, height: int, width: int, device: torch.device | str = "cpu") -> Tensor:
        """Anchors of a height x width map, [height * width * num_anchors, 4]."""
        self.set_cell_anchors(torch.float32, torch.device(device))
        stride = torch.tensor(STRIDE, device=device)
        return cast(Tensor, self.grid_anchors([[height, width]], [[stride, stride]])[0])


class BilinearResizer(Resizer):
    """torchvision's resizing: bilinear without averaging, sizes rounded down; to uint8 as resdet's."""

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) after resizing."""
        factor = self.factor(height, width)
        return max(1, int(height * factor)), max(1, int(width * factor))

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """uint8 [H, W, 3] -> the resized image."""
        height, width = self.size(*image.shape[:2])
        return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR))


def _refuse_other_settings(model: FasterRCNN) -> None:
    """Raise UserError if a setting that is fixed in torchvision has another value here."""
    rpn, head = model.rpn.settings, model.head.settings
    fixed = {
        "rpn.beta": (rpn.beta, 1 / 9),
        "rpn.keep_border": (rpn.keep_border, True),
        "rpn.hidden": (rpn.hidden, model.net.trunk_channels),
        "head.beta": (head.beta, 1 / 9),
        "head.background_iou": (head.background_iou, 0.0),
        "head.context": (head.context, False),
    }
    for name, (ours, theirs) in fixed.items():
        if abs(ours - theirs) > 1e-6:
            raise UserError(f"model.{name} is {ours}: torchvision always has {theirs:.4g}; set that to compare")
