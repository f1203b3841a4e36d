"""Image classifier: uint8 images in, a loss or class probabilities out.

classifier = Classifier(ResNet(depth=18, num_classes=50))
losses = classifier(batch)                      # LabelledImages -> {"loss_class": ..., "top1_error": ...}
probabilities = classifier.predict(images)      # uint8 [N, 3, S, S] -> float32 [N, K]
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resdet.nets.backbone import Net
from resdet.structures import LabelledImages


class Classifier(nn.Module):
    """A net with fc, trained by softmax cross entropy (Sect. 3.4).

    Args:
        net: its `preprocess` normalizes the uint8 images.
        augment: called with (x, seeds, std) on normalized images in training mode, see classification/augment.py; None
            for no augmentation on the device.
    """

    def __init__(self, net: Net, augment: nn.Module | None = None) -> None:
        super().__init__()
        self.net, self.augment = net, augment

    def forward(self, batch: LabelledImages) -> dict[str, Tensor]:
        """The mean cross entropy "loss_class", and "top1_error" in percent, which is only logged."""
        x = self.net.preprocess(batch.images)
        if self.augment is not None and self.training:
            x = self.augment(x, batch.seeds, self.net.preprocess.std)
        logits = self.net(x).float()
        wrong = (logits.detach().argmax(1) != batch.labels).float().mean()
        return {"loss_class": F.cross_entropy(logits, batch.labels), "top1_error": 100 * wrong}

    @torch.inference_mode()
    def predict(self, images: Tensor) -> Tensor:
        """Class probabilities, float32 [N, K], of crops uint8 [N, 3, S, S]. Call ``eval()`` before."""
        logits: Tensor = self.net(self.net.preprocess(images))
        return logits.float().softmax(1)
