"""User errors in checkpoints and config of the R-CNN stage give a one-line error."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.commands import ON_CPU, error_line, eval_loc, train_loc
from helpers.localizers import Trained
from resdet.engine.checkpoint import read_checkpoint, save_checkpoint


def test_checkpoints_of_the_wrong_stage_are_refused(
    rcnn_config: Path, loc_config: Path, rcnn_run: Path, loc_classifier: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    rpn, rcnn = rcnn_run / "last.pth", rcnn_run / "3_rcnn/last.pth"

    def evaluated(checkpoint: Path, *more: object, cfg: Path = rcnn_config) -> str:
        return error_line(eval_loc, [cfg, "--checkpoint", checkpoint, *more, *ON_CPU], capsys)

    assert "is an R-CNN stage, no localizer: give it as --rcnn" in evaluated(rcnn)
    assert "is a per-class RPN: give it as --checkpoint" in evaluated(rpn, "--rcnn", rpn)
    assert "is no R-CNN stage; give 3_rcnn/last.pth of a run" in evaluated(rpn, "--rcnn", loc_classifier.checkpoint)
    assert "'rcnn' is not set, as in a config of a localizer with an R-CNN stage" in evaluated(
        rpn, "--rcnn", rcnn, cfg=loc_config
    )
    wide = ["--rcnn", rcnn, "--cfg-options", "rcnn.net.width=0.25"]
    assert "rcnn.net.width: there is no 'width'" in evaluated(rpn, *wide)
    other = rcnn.parent.with_name("other.pth")
    save_checkpoint(other, {**read_checkpoint(rcnn), "classes": ["n02", "n01"]})
    assert "other.pth and data.test have different classes" in evaluated(rpn, "--rcnn", other)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("rcnn.images=7", "rcnn.images=7 cannot be divided by 2"),
        ("rcnn.proposals.views=sparse", "rcnn.proposals.views is 'sparse'; wanted: one of '1-crop', 'dense'"),
        ("rcnn.proposals.count=0", "rcnn.proposals.count is 0"),
        ("rcnn.combine=sum", "rcnn.combine is 'sum'; wanted: one of 'replace', 'product', 'odds', 'keep'"),
        ("rcnn.schedule=None", "rcnn.schedule is None; wanted: a Schedule"),
        ("rcnn.settings.context=200", "rcnn.settings.context is 200"),
        ("rcnn.settings.size=0", "rcnn.settings.size is 0"),
        ("rcnn.settings.positive_iou=0", "rcnn.settings.positive_iou is 0"),
        ("rcnn.settings.positive_fraction=2", "rcnn.settings.positive_fraction is 2"),
        ("rcnn.settings.delta_weights=(10,10)", "rcnn.settings.delta_weights is (10, 10)"),
    ],
)
def test_a_mistake_in_the_section_is_named_before_the_first_stage(
    option: str, message: str, rcnn_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [rcnn_config, "--work-dir", tmp_path, *ON_CPU, "--cfg-options", option, "loop.accumulate=2"]
    assert message in error_line(train_loc, command, capsys)
    assert not (tmp_path / "1_rpn").exists()


def test_crop_regression_cannot_propose_regions(
    rcnn_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = rcnn_config.with_name("pcr_rcnn.py")
    path.write_text(rcnn_config.read_text() + "\nmodel = dict(type=CropRegression, net=NET, num_classes=2)\n")
    assert "a crop regression has one" in error_line(train_loc, [path, "--work-dir", tmp_path, *ON_CPU], capsys)
