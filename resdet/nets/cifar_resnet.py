"""The nets of 6n + 2 layers for CIFAR-10's 32x32 pixels (Sect. 4.2), plain and residual.

net = CifarResNet(depth=20)                     # n = 3
logits = net(net.preprocess(images))            # uint8 [N, 3, 32, 32] -> [N, 10]

One 3x3 convolution, then 2n layers each on maps of 32, 16 and 8 cells with 16, 32 and 64 filters: conv1, the stages
conv2, conv3 and conv4 of n blocks, the mean over positions, fc. Shortcuts are of option A: a residual net has exactly
the parameters of its plain one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resdet.errors import UserError
from resdet.nets.blocks import BasicBlock, ConvBN, Shortcut, initialise, make_stage
from resdet.nets.preprocess import Preprocess

SIDE = 32  # pixels of an image


class CifarResNet(nn.Module):
    """CIFAR's nets of 20, 32, 44, 56, 110, 1202 ... layers.

    Args:
        depth: 6n + 2 layers with weights.
        num_classes: outputs of fc.
        shortcut: "A" is the paper's; None makes the plain net; "B" and "C" as in nets/resnet.py.

    Raises:
        UserError: a depth that is not 6n + 2.
    """

    parts = ("forward",)  # what torch.compile gets
    stride_on = None  # there are no bottlenecks

    def __init__(self, depth: int = 20, num_classes: int = 10, shortcut: Shortcut = "A") -> None:
        super().__init__()
        blocks, rest = divmod(depth - 2, 6)
        if rest or blocks < 1:
            raise UserError(f"depth is {depth}: CIFAR's nets have 6n + 2 layers: 20, 32, 44, 56, 110, 1202 ...")
        self.depth = depth
        self.preprocess = Preprocess(torch.zeros(3, SIDE, SIDE), torch.ones(3))  # the mean image comes from the data
        self.conv1 = ConvBN(3, 16, 3)
        self.conv2 = make_stage(BasicBlock, 16, 16, blocks, 1, option=shortcut)
        self.conv3 = make_stage(BasicBlock, 16, 32, blocks, 2, option=shortcut)
        self.conv4 = make_stage(BasicBlock, 32, 64, blocks, 2, option=shortcut)
        self.fc = nn.Linear(64, num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, num_classes] of preprocessed images x [N, 3, 32, 32]."""
        x = self.conv1(x).relu_()
        x = self.conv4(self.conv3(self.conv2(x)))
        return self.fc(x.mean((2, 3), dtype=torch.float32))
