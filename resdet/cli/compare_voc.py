"""Is one detector better than another? Mean and deviation over trainings, and a paired bootstrap over the images.

compare_voc.py --ours a/seed0 a/seed1 --theirs b/seed0 b/seed1 --voc-root data/VOCdevkit --year fruit --image-set test

Each folder holds comp4 files, as eval_voc.py --write-detections writes them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from resdet.cli.common import add_json, run_command, write_json
from resdet.metrics.bootstrap import paired_bootstrap
from resdet.metrics.voc_ap import Method
from resdet.recipes.detection.score import score_comp4, truth_of


def main(arguments: list[str] | None = None) -> None:
    """Entry point of tools/compare_voc.py and resdet-compare-voc."""
    run_command(_compare, arguments)


def _compare(arguments: list[str] | None) -> None:
    args = _parser().parse_args(arguments)
    method: Method = args.method
    scored = {
        name: [score_comp4(f, args.voc_root, args.year, args.image_set, args.classes, method) for f in folders]
        for name, folders in (("ours", args.ours), ("theirs", args.theirs))
    }
    means = {name: [evaluation.figures["mAP50"] for evaluation, _, _ in found] for name, found in scored.items()}
    for name, values in means.items():
        print(f"{name}: mAP@.5 {_spread(values)}")
    dataset = scored["ours"][0][1]
    ours, theirs = ([detections for _, _, detections in scored[name]] for name in ("ours", "theirs"))
    difference = paired_bootstrap(
        ours, theirs, truth_of(dataset), len(dataset), len(dataset.classes), method, args.resamples, seed=args.seed
    )
    low, high = 100 * difference.low, 100 * difference.high
    verdict = "more than chance" if low > 0 or high < 0 else "may be chance"
    print(
        f"ours - theirs {100 * difference.mean:+.1f}, 95 % of draws of the images {low:+.1f} .. {high:+.1f}: {verdict}"
    )
    write_json(args.json, {"mAP50": means, "difference": asdict(difference), "resamples": args.resamples})


def _spread(values: Sequence[float]) -> str:
    each = " ".join(f"{100 * v:.1f}" for v in values)
    deviation = f" +- {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{each}: {100 * np.mean(values):.1f}{deviation}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--ours", "--theirs"):
        parser.add_argument(
            name, type=Path, nargs="+", required=True, metavar="DIR", help="comp4 files, a training each"
        )
    parser.add_argument("--voc-root", type=Path, required=True, metavar="ROOT", help="the folder that holds VOC<year>")
    parser.add_argument("--year", required=True, help="2007, 2012, or whatever follows VOC in the folder's name")
    parser.add_argument("--image-set", required=True, help="a name in ImageSets/Main: test, val ...")
    parser.add_argument(
        "--classes", nargs="+", help="default: VOC's twenty for a four-digit year, else those annotated"
    )
    parser.add_argument("--method", choices=["area", "11-point"], default="area")
    parser.add_argument("--resamples", type=int, default=1000, help="draws of the images")
    parser.add_argument("--seed", type=int, default=0)
    add_json(parser)
    return parser


if __name__ == "__main__":
    main()
