"""A net that classifies: uint8 images in, a loss or class probabilities out.

classifier = Classifier(ResNet(depth=18, num_classes=50))
losses = classifier(batch)                      # LabelledImages -> {"loss_class": ..., "top1_error": ...}
probabilities = classifier.predict(images)      # uint8 [N, 3, S, S] -> [N, K]
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resdet.nets.cifar_resnet import CifarResNet
from resdet.nets.resnet import ResNet
from resdet.nets.vgg import VGG
from resdet.structures import LabelledImages

Net = ResNet | CifarResNet | VGG


class Classifier(nn.Module):
    """Softmax regression on a net's logits (Sect. 3.4).

    Args:
        net: its `preprocess` makes its input of uint8 images.
        augment: random views in training, see classification/augment.py; None: the images as they come.
    """

    def __init__(self, net: Net, augment: nn.Module | None = None) -> None:
        super().__init__()
        self.net, self.augment = net, augment

    def forward(self, batch: LabelledImages) -> dict[str, Tensor]:
        """The mean cross entropy of a batch, and its top-1 error in percent for the log."""
        x = self.net.preprocess(batch.images)
        if self.augment is not None and self.training:
            x = self.augment(x, batch.seeds, self.net.preprocess.std)
        logits = self.net(x).float()
        wrong = (logits.detach().argmax(1) != batch.labels).float().mean()
        return {"loss_class": F.cross_entropy(logits, batch.labels), "top1_error": 100 * wrong}

    @torch.inference_mode()
    def predict(self, images: Tensor) -> Tensor:
        """Class probabilities, fp32 [N, K], of crops uint8 [N, 3, S, S]."""
        return self.net(self.net.preprocess(images)).float().softmax(1)
