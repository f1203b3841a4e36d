"""Compute the BN statistics of a classifier's checkpoint over its training set, as App. A freezes them.

precise_bn.py CONFIG --checkpoint runs/mine/last.pth --out precise.pth
precise_bn.py CONFIG --checkpoint runs/mine/last.pth --out precise.pth --images 2000 --by-layer
"""

from __future__ import annotations

import argparse
from pathlib import Path

from resdet.cli.common import add_test_arguments, run_command, write_json
from resdet.engine.checkpoint import read_checkpoint, save_checkpoint
from resdet.engine.config import load_config
from resdet.engine.distributed import is_main_process
from resdet.engine.run import start_run
from resdet.errors import UserError
from resdet.nets.precise_bn import PreciseBN
from resdet.recipes.classification.build import build_data, load_classifier
from resdet.recipes.classification.evaluate import test_classifier
from resdet.recipes.classification.precise_bn import compute_precise_bn
from resdet.weights.weights import read_weights


def main(arguments: list[str] | None = None) -> None:
    """Entry point of tools/precise_bn.py and resdet-precise-bn."""
    run_command(_compute, arguments)


def _compute(arguments: list[str] | None) -> None:
    args = _parser().parse_args(arguments)
    if args.images < 1:
        raise UserError(f"--images {args.images}: give a number of images, 1 or more")
    cfg = load_config(args.config, args.cfg_options)
    run = start_run(args.out.parent, args.device, args.precision, args.seed, args.launcher, log="precise_bn")
    data = build_data(cfg)
    classifier = load_classifier(cfg, data, args.checkpoint).to(run.device)
    before = test_classifier(classifier, data, run).figures()
    count = compute_precise_bn(PreciseBN(args.images, args.by_layer), classifier, data, run)
    after = test_classifier(classifier, data, run).figures()
    if not is_main_process():
        return
    for name in before:
        print(f"{name.removeprefix('test/')}: {before[name]:.2f} before, {after[name]:.2f} with {count:,} images")
    own = read_weights(args.checkpoint).origin == "resdet"
    facts = read_checkpoint(args.checkpoint) if own else {"classes": list(data.test.classes)}
    facts |= {"model": classifier.state_dict(), "stride_on": classifier.net.stride_on, "precise_bn": count}
    save_checkpoint(args.out, facts)
    write_json(args.json, {"before": before, "after": after, "images": count})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="a config file or the name of one")
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="F")
    parser.add_argument("--out", type=Path, required=True, metavar="F", help="the checkpoint to write")
    parser.add_argument("--images", type=int, default=25_000, help="of the training set, at most")
    parser.add_argument("--by-layer", action="store_true", help="one pass for each layer: exact, and slower")
    add_test_arguments(parser)
    return parser


if __name__ == "__main__":
    main()
