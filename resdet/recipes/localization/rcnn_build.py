"""Build the R-CNN stage from a config's section `rcnn`, or load a trained one.

section = rcnn_section(cfg)                             # section.images, section.proposals.count ...
model = build_rcnn(cfg, data.test.classes)
model = load_rcnn(cfg, data.test.classes, Path("runs/loc_r101_rcnn/3_rcnn/last.pth"))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from resdet.engine.checkpoint import read_checkpoint
from resdet.engine.config import Config, build, build_call, require
from resdet.engine.run import same_classes
from resdet.engine.schedule import Schedule
from resdet.errors import UserError
from resdet.localization.class_rpn import ClassRPN
from resdet.localization.rcnn import Combine, LocalizationRCNN, RCNNSettings
from resdet.nets.ghost_bn import use_ghost_batches
from resdet.recipes.localization.build import fill, kind_of, named, require_localizer
from resdet.recipes.localization.inference import Views

MODEL_KEYS = ("net", "augment", "settings")  # of the section; the others are RCNNSection's


@dataclass(frozen=True)
class ProposalSettings:
    """The proposals for the R-CNN stage; a config's `rcnn.proposals`.

    Args:
        count: proposals per image in training, of its true class; at test, per predicted class.
        views: "1-crop" or "dense": the RPN's test mode on training images. In evaluation --views gives it.
        flip: use mirror images of training images too. In evaluation --flip gives it, for the R-CNN's crops too.

    Raises:
        UserError: `views` or `count` is out of its range.
    """

    count: int = 200
    views: Views = "dense"
    flip: bool = False

    def __post_init__(self) -> None:
        if self.views not in get_args(Views):
            raise UserError(f"rcnn.proposals.views is {self.views!r}: give one of {', '.join(get_args(Views))}")
        if self.count < 1:
            raise UserError(f"rcnn.proposals.count is {self.count}: give a number of boxes, 1 or more")


@dataclass(frozen=True)
class RCNNSection:
    """A config's section `rcnn`, without the keys of the model: `net` (None: the localizer's), `augment`, `settings`.

    Args:
        schedule: of this stage.
        images: regions per optimizer step, over all processes and accumulated passes.
        optimizer: keys that replace those of the config's `optimizer`.
        proposals: see ProposalSettings.
        combine: final score at test: "replace" (the R-CNN's), "product", "odds" or "keep" (the RPN's); see
            localization/rcnn.rescore.

    Raises:
        UserError: `schedule` is no schedule, or `combine` is unknown.
    """

    schedule: Schedule
    images: int = 256
    optimizer: Mapping[str, Any] = field(default_factory=dict)
    proposals: ProposalSettings = field(default_factory=ProposalSettings)
    combine: Combine = "replace"

    def __post_init__(self) -> None:
        if not isinstance(self.schedule, Schedule):
            raise UserError(f"rcnn.schedule is {self.schedule!r}: give a schedule, like the config's own")
        if self.combine not in get_args(Combine):
            raise UserError(f"rcnn.combine is {self.combine!r}: give one of {', '.join(get_args(Combine))}")


def has_rcnn(cfg: Config) -> bool:
    """Whether the config has an R-CNN stage."""
    return bool(cfg.get("rcnn"))


def rcnn_section(cfg: Config) -> RCNNSection:
    """The config's section `rcnn`.

    Raises:
        UserError: there is none, a key or value is unknown, or the localizer is no ClassRPN.
    """
    require_localizer(cfg)
    require(cfg, "a localizer with an R-CNN stage", "rcnn")
    if not has_rcnn(cfg):
        raise UserError(f"{cfg.filename}: rcnn is {cfg.rcnn!r}; use a config with an R-CNN stage such as loc_r101_rcnn")
    require(cfg, "a localizer with an R-CNN stage", "rcnn.schedule")
    if cfg.model.type is not ClassRPN:
        raise UserError(
            f"{cfg.filename}: the R-CNN stage needs many proposals, a crop regression has one; use ClassRPN"
        )
    own = {key: value for key, value in cfg.rcnn.items() if key not in MODEL_KEYS}
    own["proposals"] = build_call(ProposalSettings, cfg.rcnn.get("proposals") or {})
    return build_call(RCNNSection, own)


def build_rcnn(cfg: Config, classes: Sequence[str]) -> LocalizationRCNN:
    """The config's R-CNN for these classes, with random weights."""
    own = cfg.rcnn
    model = LocalizationRCNN(
        build(own.get("net") or {**cfg.model.net, "num_classes": None}),
        len(classes),
        build(own.get("settings")) or RCNNSettings(),
        build(own.get("augment")),
    )
    if cfg.get("ghost_batch"):
        use_ghost_batches(model.net, cfg.ghost_batch)
    return model


def load_rcnn(cfg: Config, classes: Sequence[str], path: Path) -> LocalizationRCNN:
    """The config's R-CNN in eval mode, with the weights of a resdet checkpoint.

    Raises:
        UserError: the config has no R-CNN stage; the file is no R-CNN stage, of another net, or has other classes.
    """
    rcnn_section(cfg)
    state = read_checkpoint(path)
    found = kind_of(state.get("model", {}))
    if found is not LocalizationRCNN:
        other = f"{named(found)}: give it as --checkpoint" if found else "no R-CNN stage; give 3_rcnn/last.pth of a run"
        raise UserError(f"{path} is {other}")
    same_classes(state.get("classes", ()), classes, f"{path} and data.test")
    model = build_rcnn(cfg, classes)
    fill(model, state, path, cfg)
    return model.eval()
