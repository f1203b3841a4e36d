"""Appendix B's improvements at test time: the config's section `testing`, overridden by the command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from resdet.boxes.soft_nms import SoftNMS
from resdet.cli.arguments.testing import NO_SOFT_NMS
from resdet.detection.inference import InferenceSettings
from resdet.detection.refinement import Refinement
from resdet.engine.config import Config, build_call
from resdet.errors import UserError


def inference_settings(cfg: Config, args: argparse.Namespace) -> InferenceSettings:
    """The config's `testing` section, with the values that options give in its place.

    Args:
        cfg: a detector's config.
        args: the parsed arguments, with those of `add_improvements`.
    """
    base = build_call(InferenceSettings, cfg.get("testing", {}))
    given: dict[str, Any] = {}
    if args.refine is not None:
        given["refinement"] = replace(base.refinement or Refinement(), rounds=args.refine) if args.refine else None
    if args.scales is not None:
        given |= {"scales": tuple(args.scales), "proposal_scales": ()}
    if args.proposal_scales:
        given["proposal_scales"] = tuple(args.proposal_scales)
    if args.flip:
        given["flip"] = True
    if args.soft_nms:
        soft = base.soft_nms or SoftNMS()
        given["soft_nms"] = None if args.soft_nms == NO_SOFT_NMS else replace(soft, decay=args.soft_nms)
    return replace(base, **given)


def refuse_improvements(args: argparse.Namespace, where: str) -> None:
    """Options that would change nothing are a mistake.

    Args:
        args: the parsed arguments, with those of `add_improvements`.
        where: what does not run a detector, for the message.

    Raises:
        UserError: one of the options is given.
    """
    given = [f"--{name.replace('_', '-')}" for name in ("refine", "proposal_scales", "soft_nms") if getattr(args, name)]
    given += ["--scales"] * (args.scales is not None) + ["--flip"] * args.flip
    if given:
        raise UserError(f"{given[0]} has no effect on {where}; leave it out")


def refuse_configs(checkpoints: Sequence[Path]) -> None:
    """A config written behind --checkpoint would be taken for one more file of weights.

    Raises:
        UserError: a path ends in .py.
    """
    config = next((path for path in checkpoints if path.suffix == ".py"), None)
    if config is not None:
        raise UserError(f"--checkpoint {config}: that is a config; put it before --checkpoint")
