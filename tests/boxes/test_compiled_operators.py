"""torchvision's operators without its import: a process that only detects starts without torch's compiler."""

from __future__ import annotations

import subprocess
import sys

DETECT = """
import sys

import resdet.cli.commands.predict
import torch
from resdet.boxes.nms import nms

boxes, scores = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10]]), torch.tensor([0.5, 0.9, 0.7])
kept = nms(boxes, scores, 0.5).tolist()
slow = {"torchvision", "torch._dynamo"} & sys.modules.keys()
assert not slow, slow

import torchvision

assert kept == [1, 2] == torchvision.ops.nms(boxes, scores, 0.5).tolist()
assert torch.compile(nms, backend="eager")(boxes, scores, 0.5).tolist() == kept
"""


def test_a_process_that_detects_does_not_import_torchs_compiler_and_torchvision_works_after_it() -> None:
    ended = subprocess.run([sys.executable, "-c", DETECT], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
