"""Build the R-CNN stage from a config's section `rcnn`, or load a trained one.

section = rcnn_section(cfg)                             # section.images, section.proposals.count ...
model = build_rcnn(cfg, data.test.classes)
model = load_rcnn(cfg, data.test.classes, Path("runs/loc_r101_rcnn/3_rcnn/last.pth"))
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from resdet.engine.checkpoint import read_checkpoint
from resdet.engine.config import Config, build, build_call, require
from resdet.engine.run import same_classes
from resdet.errors import UserError
from resdet.localization.class_rpn import ClassRPN
from resdet.localization.rcnn import LocalizationRCNN, RCNNSettings
from resdet.nets.ghost_bn import use_ghost_batches
from resdet.recipes.localization.build import fill, kind_of, named, require_localizer
from resdet.recipes.section_types import ProposalSettings, RCNNSection

MODEL_KEYS = ("net", "augment", "settings")  # of the section: they make the model


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
    own["proposals"] = {"type": ProposalSettings, **(own.get("proposals") or {})}
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
