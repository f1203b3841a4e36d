"""Convolutions with their BN."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from resdet.nets.blocks import ConvBN

TRAIN = """
import sys, torch
from resdet.nets.blocks import ConvBN
torch.set_num_threads(1)
layer = ConvBN(int(sys.argv[1]), 16, 1, 2).to(memory_format=torch.channels_last)
for _ in range(6):
    x = torch.randn(1, int(sys.argv[1]), 100, 100).to(memory_format=torch.channels_last).requires_grad_()
    layer(x).sum().backward()
    others = [torch.randn(1000 * i + 3) for i in range(50)]
"""


@pytest.mark.parametrize("channels", [3, 8])
def test_a_narrow_strided_1x1_leaves_other_memory_alone(channels: int) -> None:
    """oneDNN's issue 6035: with such a convolution itself the process ends by a signal."""
    ended = subprocess.run([sys.executable, "-c", TRAIN, str(channels)], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("channels", [8, 24])
def test_a_strided_1x1_is_torchs(channels: int) -> None:
    torch.manual_seed(0)
    layer, x = ConvBN(channels, 16, 1, 2), torch.randn(2, channels, 7, 10)
    layer.bn = nn.Identity()
    layer.conv.bias = nn.Parameter(torch.randn(16))
    torch.testing.assert_close(layer(x), layer.conv(x), rtol=1e-5, atol=1e-6)
