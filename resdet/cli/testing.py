"""Flags for Appendix B's improvements at test time, and for ensembles; they override the config's section `testing`."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from resdet.boxes.soft_nms import Decay, SoftNMS
from resdet.detection.inference import Testing
from resdet.detection.refinement import Refinement
from resdet.engine.config import Config, build_call
from resdet.errors import UserError

NONE = "none"


def add_checkpoints(parser: argparse.ArgumentParser) -> None:
    """--checkpoint."""
    note = "ours, or detectron2 C4 models; several are an ensemble, of nets of any depth"
    parser.add_argument("--checkpoint", type=Path, nargs="+", default=[], metavar="F", help=note)


def refuse_configs(checkpoints: list[Path]) -> None:
    """A config behind --checkpoint would be taken for one more file of weights."""
    config = next((path for path in checkpoints if path.suffix == ".py"), None)
    if config is not None:
        raise UserError(f"--checkpoint {config}: that is a config; put it before --checkpoint")


def add_testing(parser: argparse.ArgumentParser) -> None:
    """--refine, --scales, --proposal-scales, --flip, --soft-nms."""
    group = parser.add_argument_group("improvements (App. B), in place of the config's section testing")
    group.add_argument(
        "--refine", type=int, nargs="?", const=1, metavar="ROUNDS", help="box refinement and voting; 0: none"
    )
    group.add_argument(
        "--scales", type=int, nargs="*", metavar="PX", help="short sides of an image pyramid; bare: none"
    )
    group.add_argument("--proposal-scales", type=int, nargs="+", metavar="PX", help="those of them that propose")
    group.add_argument("--flip", action="store_true", help="average over the mirror image (not in the paper)")
    group.add_argument(
        "--soft-nms", choices=[*get_args(Decay), NONE], nargs="?", const="gaussian", help="for NMS (not in the paper)"
    )


def testing_of(cfg: Config, args: argparse.Namespace) -> Testing:
    """The config's `testing` with what the flags say instead."""
    base = build_call(Testing, cfg.get("testing", {}))
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
        given["soft_nms"] = None if args.soft_nms == NONE else replace(soft, decay=args.soft_nms)
    return replace(base, **given)


def refuse_testing(args: argparse.Namespace, where: str) -> None:
    """Flags that would change nothing are a mistake. where: what does not test a detector."""
    given = [f"--{name.replace('_', '-')}" for name in ("refine", "proposal_scales", "soft_nms") if getattr(args, name)]
    given += ["--scales"] * (args.scales is not None) + ["--flip"] * args.flip
    if given:
        raise UserError(f"{given[0]} has no effect on {where}; leave it out")
