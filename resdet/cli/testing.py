"""Flags for Appendix B's improvements at test time, and for ensembles; they override the config's section `testing`."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from resdet.boxes.soft_nms import Decay, SoftNMS
from resdet.detection.refinement import Refinement
from resdet.detection.testing import Testing
from resdet.engine.config import Config, build_call


def add_checkpoints(parser: argparse.ArgumentParser) -> None:
    """--checkpoint."""
    note = "ours, or detectron2 C4 models; several are an ensemble, of nets of any depth"
    parser.add_argument("--checkpoint", type=Path, nargs="+", metavar="F", help=note)


def add_testing(parser: argparse.ArgumentParser) -> None:
    """--refine, --scales, --proposal-scales, --flip, --soft-nms."""
    group = parser.add_argument_group("improvements (App. B)")
    group.add_argument("--refine", type=int, nargs="?", const=1, metavar="ROUNDS", help="box refinement and voting")
    group.add_argument("--scales", type=int, nargs="+", metavar="PX", help="short sides of an image pyramid")
    group.add_argument("--proposal-scales", type=int, nargs="+", metavar="PX", help="those of them that propose")
    group.add_argument("--flip", action="store_true", help="average over the mirror image (not in the paper)")
    group.add_argument(
        "--soft-nms", choices=get_args(Decay), nargs="?", const="gaussian", help="instead of NMS (not in the paper)"
    )


def testing_of(cfg: Config, args: argparse.Namespace) -> Testing:
    """The config's `testing` with what the flags say instead."""
    given: dict[str, Any] = {}
    if args.refine:
        given["refinement"] = Refinement(rounds=args.refine)
    if args.scales:
        given |= {"scales": tuple(args.scales), "proposal_scales": ()}
    if args.proposal_scales:
        given["proposal_scales"] = tuple(args.proposal_scales)
    if args.flip:
        given["flip"] = True
    if args.soft_nms:
        given["soft_nms"] = SoftNMS(args.soft_nms)
    return replace(build_call(Testing, cfg.get("testing", {})), **given)
