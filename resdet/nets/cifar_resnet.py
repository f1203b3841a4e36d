"""The residual and plain nets with 6n + 2 layers for the 32x32 images of CIFAR-10 (Sect. 4.2).

net = CifarResNet(depth=20)                     # n = 3
logits = net(net.preprocess(images))            # uint8 [N, 3, 32, 32] -> [N, 10]

conv1 is a 3x3 convolution; conv2, conv3 and conv4 have n blocks of two layers each, with 16, 32 and 64 channels on maps
of 32x32, 16x16 and 8x8 cells; then come the mean over positions and fc. Shortcuts are of option A, so that a residual
net has as many parameters as the plain net.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resdet.errors import UserError
from resdet.nets.backbone import Net
from resdet.nets.blocks import BasicBlock, ConvBN, Shortcut, initialize, make_stage
from resdet.nets.preprocess import Preprocess

SIDE = 32  # height and width of an image, in pixels


class CifarResNet(Net):
    """The nets for CIFAR-10 with 20, 32, 44, 56, 110, 1202 ... layers.

    Args:
        depth: layers with weights, 6n + 2.
        num_classes: outputs of fc.
        shortcut: "A" in the paper: pads with zeros; "B" projects where the shape changes, "C" everywhere; None is the
            plain net.

    Raises:
        UserError: a depth that is not 6n + 2.
    """

    parts = ("forward",)
    stride_on = None
    fc: nn.Linear

    def __init__(self, depth: int = 20, num_classes: int = 10, shortcut: Shortcut = "A") -> None:
        super().__init__()
        blocks, rest = divmod(depth - 2, 6)
        if rest or blocks < 1:
            raise UserError(f"depth is {depth}: CIFAR's nets have 6n + 2 layers: 20, 32, 44, 56, 110, 1202 ...")
        self.depth = depth
        self.preprocess = Preprocess(torch.zeros(3, SIDE, SIDE), torch.ones(3))  # the data give the mean image
        self.conv1 = ConvBN(3, 16, 3)
        self.conv2 = make_stage(BasicBlock, 16, 16, blocks, 1, shortcut=shortcut)
        self.conv3 = make_stage(BasicBlock, 16, 32, blocks, 2, shortcut=shortcut)
        self.conv4 = make_stage(BasicBlock, 32, 64, blocks, 2, shortcut=shortcut)
        self.fc = nn.Linear(64, num_classes)
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        """Preprocessed images [N, 3, 32, 32] -> logits [N, num_classes]."""
        x = self.conv1(x).relu_()
        x = self.conv4(self.conv3(self.conv2(x)))
        logits: Tensor = self.fc(x.mean((2, 3), dtype=torch.float32))
        return logits
