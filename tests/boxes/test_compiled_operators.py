"""torchvision's operators without its import: a process that trains or tests starts without torch's compiler."""

from __future__ import annotations

import subprocess
import sys

import pytest

DETECT = """
import sys

import resdet.cli.commands.errors
import resdet.cli.commands.eval_cls
import resdet.cli.commands.eval_coco
import resdet.cli.commands.eval_loc
import resdet.cli.commands.eval_voc
import resdet.cli.commands.predict
import resdet.cli.commands.train_cls
import resdet.cli.commands.train_det
import resdet.cli.commands.train_loc
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

EXPORT = """
import warnings

warnings.simplefilter("ignore", FutureWarning)  # torch's and torchvision's own
warnings.filterwarnings("error", "Dynamo detected a call to a `functools.lru_cache`")
import torch
from resdet.boxes.nms import nms

boxes, scores = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10]]), torch.tensor([0.5, 0.9, 0.7])


class Kept(torch.nn.Module):
    def forward(self, boxes, scores):
        return nms(boxes, scores, 0.5)


if BEFORE:
    nms(boxes, scores, 0.5)
torch._dynamo.config.capture_dynamic_output_shape_ops = True
program = torch.export.export(Kept(), (boxes, scores), strict=STRICT)
assert program.module()(boxes, scores).tolist() == [1, 2]
assert torch.compile(Kept(), backend="eager", fullgraph=True)(boxes, scores).tolist() == [1, 2]
"""


def test_a_process_that_trains_or_tests_does_not_import_torchs_compiler_and_torchvision_works_after_it() -> None:
    ended = subprocess.run([sys.executable, "-c", DETECT], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(("before", "strict"), [(False, False), (True, True)])
def test_nms_is_exported_and_compiled_whole_in_a_process_that_has_not_imported_torchvision(
    before: bool, strict: bool
) -> None:
    script = EXPORT.replace("BEFORE", str(before)).replace("STRICT", str(strict))
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
