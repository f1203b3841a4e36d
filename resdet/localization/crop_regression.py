"""Per-class regression from the whole crop (VGG's "PCR"): the baseline, first row of Table 13.

    model = CropRegression(VGG(16, num_classes=None), num_classes=1000)
    losses = model(batch)                          # LocalizationBatch -> {"loss_box": ...}
    boxes = model.predict(images, labels)          # uint8 [N, 3, S, S], int64 [N, L] -> [N, L, 4], pixels of the crop

The net's vector gives four numbers for each class. They are the deltas of the object's box with respect to the whole
crop, taken as the anchor, as everywhere else in the house (VGG's paper regresses centre and sides directly, with a
Euclidean loss).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resdet.boxes.coding import decode, encode
from resdet.boxes.geometry import area, clip_boxes
from resdet.boxes.losses import smooth_l1
from resdet.errors import UserError
from resdet.localization.per_class import PerClassLinear
from resdet.nets.frozen_bn import freeze_batch_norm
from resdet.nets.resnet import ResNet
from resdet.nets.vgg import VGG
from resdet.structures import LocalizationBatch


class CropRegression(nn.Module):
    """One box a class from one vector a crop.

    Args:
        net: without fc.
        num_classes: K.
        beta: of the smooth L1 loss; deltas are of the order of .3 here, so that 1 would make it a squared one.
        frozen_bn: as ClassRPNSettings.frozen_bn.
        augment: as ClassRPN's.
    """

    def __init__(
        self,
        net: ResNet | VGG,
        num_classes: int,
        beta: float = 1 / 9,
        frozen_bn: bool = False,
        augment: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if net.fc is not None:
            raise UserError("crop regression reads the vector before fc: make the net with num_classes=None")
        if frozen_bn:
            freeze_batch_norm(net)
        self.net, self.num_classes, self.beta, self.augment = net, num_classes, beta, augment
        self.deltas = PerClassLinear(net.channels, num_classes, 4)
        self.to(memory_format=torch.channels_last)

    @property
    def stride_on(self) -> str | None:
        """Which convolution of a bottleneck has the stride: weights of another origin do not fit."""
        return self.net.stride_on

    def forward(self, batch: LocalizationBatch) -> dict[str, Tensor]:
        """Smooth L1 of the true class's deltas, over the number of crops; those without boxes add nothing."""
        x = self.net.preprocess(batch.images)
        if self.augment is not None and self.training:
            x = self.augment(x, batch.seeds, self.net.preprocess.std)
        deltas = self.deltas(self.net(x.to(self.net.dtype)), batch.labels)  # [N, 4]
        boxes, present = largest_boxes(batch.boxes, batch.mask)
        targets = encode(boxes, _whole(batch.images))
        distance = smooth_l1(torch.where(present[:, None], deltas, 0.0), targets * present[:, None], self.beta)
        return {"loss_box": distance.sum() / len(batch.images)}

    @torch.no_grad()
    def predict(self, images: Tensor, labels: Tensor) -> Tensor:
        """A box for each class of `labels` int64 [N, L], clipped to the crop: fp32 [N, L, 4]."""
        vectors = self.net(self.net.preprocess(images).to(self.net.dtype))
        deltas = self.deltas.across(vectors[:, None], labels)[:, 0]  # [N, L, 4]
        return clip_boxes(decode(deltas, _whole(images)), torch.tensor(images.shape[-2:], device=images.device))

    def candidates(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """As ClassRPN.candidates with one box a class, of logit 0: logits [N, L, 1], boxes [N, L, 1, 4]."""
        boxes = self.predict(images, labels)[:, :, None]
        return boxes.new_zeros(boxes.shape[:-1]), boxes


def largest_boxes(boxes: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The box that stands for a crop of several objects, the largest (choice): [N, 4], and bool [N] where there is one.

    boxes [N, G, 4], mask bool [N, G].
    """
    if not boxes.shape[1]:
        return boxes.new_zeros(len(boxes), 4), mask.new_zeros(len(boxes))
    best, index = (area(boxes) * mask).max(1)
    return boxes.gather(1, index[:, None, None].expand(-1, -1, 4)).squeeze(1), best > 0


def _whole(images: Tensor) -> Tensor:
    """The crop itself as a box, float32 [4]; filled on the device, so that nothing waits for a copy."""
    height, width = images.shape[-2:]
    return torch.stack([torch.full((), float(side), device=images.device) for side in (0, 0, width, height)])
