"""Per-class box regression from a whole crop (VGG's "PCR"): the baseline, first row of Table 13.

    model = CropRegression(VGG(16, num_classes=None), num_classes=1000)
    losses = model(batch)                          # LocalizationBatch -> {"loss_box": ...}
    boxes = model.predict(images, labels)          # uint8 [N, 3, S, S], int64 [N, L] -> [N, L, 4], in crop pixels

The regression targets are the deltas of boxes/coding.py with the whole crop as the anchor. VGG's paper regresses centre
and size directly, with a Euclidean loss.

Shapes: N crops of S x S pixels, G ground-truth boxes per crop, padded, L classes asked for per crop.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resdet.boxes.coding import decode, encode
from resdet.boxes.geometry import area, clip_boxes, gather_boxes
from resdet.boxes.losses import smooth_l1
from resdet.localization.model import PerClassModel, refuse_fc
from resdet.localization.per_class import PerClassLinear
from resdet.nets.backbone import Backbone
from resdet.structures import LocalizationBatch


class CropRegression(PerClassModel):
    """One box per class from the feature vector of a crop.

    Args:
        net: the backbone, without fc.
        num_classes: K.
        beta: transition point of the smooth L1 loss (choice: 1/9; deltas are of the order of 0.3 here, so that with 1
            the loss would be quadratic almost everywhere).
        frozen_bn: replace BN by constants, in place; False trains it.
        augment: changes colours of the normalized crops in training, see `PerClassModel`.

    Raises:
        UserError: the net has an fc layer.
    """

    def __init__(
        self,
        net: Backbone,
        num_classes: int,
        beta: float = 1 / 9,
        frozen_bn: bool = False,
        augment: nn.Module | None = None,
    ) -> None:
        refuse_fc(net, "crop regression")
        super().__init__(net, num_classes, augment, frozen_bn)
        self.beta = beta
        self.deltas = PerClassLinear(net.channels, num_classes, 4)
        self.to(memory_format=torch.channels_last)

    def forward(self, batch: LocalizationBatch) -> dict[str, Tensor]:
        """Smooth L1 loss of the true class's deltas, divided by N; crops without a box contribute 0."""
        x = self.prepare(batch.images, batch.seeds)
        deltas = self.deltas(self.net(x.to(self.net.dtype)), batch.labels)  # [N, 4]
        boxes, present = largest_boxes(batch.boxes, batch.mask)
        targets = encode(boxes, _whole(batch.images))
        distance = smooth_l1(torch.where(present[:, None], deltas, 0.0), targets * present[:, None], self.beta)
        return {"loss_box": distance.sum() / len(batch.images)}

    @torch.no_grad()
    def predict(self, images: Tensor, labels: Tensor) -> Tensor:
        """A box for each class of `labels` int64 [N, L], clipped to the crop: float32 [N, L, 4], in crop pixels."""
        vectors = self.net(self.net.preprocess(images).to(self.net.dtype))
        deltas = self.deltas.across(vectors[:, None], labels)[:, 0]  # [N, L, 4]
        return clip_boxes(decode(deltas, _whole(images)), torch.tensor(images.shape[-2:], device=images.device))

    def candidates(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The interface of inference.CandidateModel: one box per class, [N, L, 1, 4], with logit 0, [N, L, 1]."""
        boxes = self.predict(images, labels)[:, :, None]
        return boxes.new_zeros(boxes.shape[:-1]), boxes


def largest_boxes(boxes: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The largest ground-truth box of each crop, which is the regression target (choice).

    Args:
        boxes: [N, G, 4].
        mask: bool [N, G], False in padding.

    Returns:
        boxes [N, 4], and bool [N], False where a crop has no box with an area.
    """
    if not boxes.shape[1]:
        return boxes.new_zeros(len(boxes), 4), mask.new_zeros(len(boxes))
    best, index = (area(boxes) * mask).max(1)
    return gather_boxes(boxes, index[:, None]).squeeze(1), best > 0


def _whole(images: Tensor) -> Tensor:
    """The box of the whole crop, float32 [4], created on the device: a copy from the host would be a sync."""
    height, width = images.shape[-2:]
    return torch.stack([torch.full((), float(side), device=images.device) for side in (0, 0, width, height)])
