"""The R-CNN stage's parts from a config's section `rcnn`: how it is trained and tested, the model, a trained model.

stage = rcnn_section(cfg)                                   # stage.images, stage.proposals.count, stage.schedule ...
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
from resdet.recipes.localization.inference import Test, Views

OF_THE_MODEL = ("net", "augment", "settings")  # the rest of the section is how it is trained and tested


@dataclass(frozen=True)
class ProposalSettings:
    """What the per-class RPN proposes to the R-CNN stage; a config's `rcnn.proposals`.

    Args:
        count: the best boxes of an image's true class (at test: of each predicted class).
        views: what the RPN looks at in training images. At test the views are those of the test.
        flip: whether in their mirror images too. At test --flip says so, of the crops as well.
    """

    count: int = 200
    views: Views = "dense"
    flip: bool = False

    def __post_init__(self) -> None:
        if self.views not in get_args(Views):
            raise UserError(f"rcnn.proposals.views is {self.views!r}: give one of {', '.join(get_args(Views))}")
        if self.count < 1:
            raise UserError(f"rcnn.proposals.count is {self.count}: give a number of boxes, 1 or more")

    @property
    def test(self) -> Test:
        """The proposals' views as those of a test."""
        return Test(self.views, self.flip)


@dataclass(frozen=True)
class RCNNSection:
    """A config's section `rcnn`, beside `settings`, `net` (None: the localizer's own) and `augment` of the model.

    Args:
        schedule: of this stage.
        images: regions in one optimizer step, over all processes and accumulated passes, each of any image.
        optimizer: what differs from the config's `optimizer`.
        proposals: see ProposalSettings.
        combine: at test the R-CNN's score replaces the RPN's, is its factor ("product"), multiplies its odds by the
            root of its own ("odds"), or the RPN's is kept ("keep"), so that the R-CNN moves boxes alone.
    """

    schedule: Schedule
    images: int = 256
    optimizer: Mapping[str, Any] = field(default_factory=dict)
    proposals: ProposalSettings = field(default_factory=ProposalSettings)
    combine: Combine = "replace"

    def __post_init__(self) -> None:
        if not isinstance(self.schedule, Schedule):
            raise UserError(f"rcnn.schedule is {self.schedule!r}: give a schedule, as the config's own")
        if self.combine not in get_args(Combine):
            raise UserError(f"rcnn.combine is {self.combine!r}: give one of {', '.join(get_args(Combine))}")


def has_rcnn(cfg: Config) -> bool:
    """Whether the config has an R-CNN stage."""
    return bool(cfg.get("rcnn"))


def rcnn_section(cfg: Config) -> RCNNSection:
    """How the config's R-CNN stage is trained and tested.

    Raises:
        UserError: there is none, a value is not known, or the localizer is none that proposes.
    """
    require_localizer(cfg)
    require(cfg, "a localizer with an R-CNN stage", "rcnn")
    if not has_rcnn(cfg):
        raise UserError(
            f"{cfg.filename}: rcnn is {cfg.rcnn!r}; take a config with an R-CNN stage such as loc_r101_rcnn"
        )
    require(cfg, "a localizer with an R-CNN stage", "rcnn.schedule")
    if cfg.model.type is not ClassRPN:
        raise UserError(
            f"{cfg.filename}: the R-CNN stage needs many proposals, a crop regression has one; use ClassRPN"
        )
    own = {key: value for key, value in cfg.rcnn.items() if key not in OF_THE_MODEL}
    own["proposals"] = build_call(ProposalSettings, cfg.rcnn.get("proposals") or {})
    return build_call(RCNNSection, own)


def build_rcnn(cfg: Config, classes: Sequence[str]) -> LocalizationRCNN:
    """The config's R-CNN, for these classes."""
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
    """The config's R-CNN with the weights of one of our checkpoints, ready to test.

    Raises:
        UserError: the config has none; the file is no R-CNN stage's, of another net, or for other classes.
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
