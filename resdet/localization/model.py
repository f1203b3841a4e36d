"""Base class of the localization models: a net under per-class layers, frozen in part, with preprocessing.

class CropRegression(PerClassModel): ...        # adds its PerClassLinear layers, `forward` and the outputs at test
"""

from __future__ import annotations

from torch import Tensor, nn

from resdet.errors import UserError
from resdet.nets.backbone import Backbone
from resdet.nets.frozen_bn import freeze_batch_norm
from resdet.nets.frozen_stages import freeze_stages


class PerClassModel(nn.Module):
    """A net, frozen in part, whose images are normalized and, in training, augmented.

    A subclass adds its layers after ``super().__init__(...)`` and then sets ``memory_format=torch.channels_last``.

    Args:
        net: the backbone.
        num_classes: K.
        augment: called with (x, seeds, std) on normalized images in training mode; it may change colours, but must not
            move pixels.
        frozen_bn: replace BN by constants, in place; False trains it.
        frozen_stages: conv1 to conv{frozen_stages} are not trained.

    Raises:
        UserError: `frozen_stages` is out of range.
    """

    def __init__(
        self,
        net: Backbone,
        num_classes: int,
        augment: nn.Module | None = None,
        frozen_bn: bool = False,
        frozen_stages: int = 0,
    ) -> None:
        super().__init__()
        if frozen_bn:
            freeze_batch_norm(net)
        freeze_stages(net, frozen_stages)
        self.net, self.num_classes, self.augment = net, num_classes, augment

    @property
    def stride_on(self) -> str | None:
        """The bottleneck convolution that has the stride, "1x1" or "3x3"; weights of the other kind do not fit."""
        return self.net.stride_on

    def prepare(self, images: Tensor, seeds: Tensor) -> Tensor:
        """Normalize images uint8 [N, 3, H, W]; in training mode augment them, keyed by `seeds`, int64 [N]."""
        x: Tensor = self.net.preprocess(images)
        if self.augment is not None and self.training:
            x = self.augment(x, seeds, self.net.preprocess.std)
        return x


def refuse_fc(net: Backbone, reader: str) -> None:
    """Check that a net ends with the vectors that `reader`, which is named in the message, reads.

    Raises:
        UserError: the net has an fc layer.
    """
    if net.fc is not None:
        raise UserError(f"{reader} reads the vector before fc: make the net with num_classes=None")
