"""Divide ImageNet DET's val into val1 and val2, balanced by class as R-CNN did it; writes two lists beside val.txt.

split_det.py data/imagenet --seed 0
"""

from __future__ import annotations

import argparse
from pathlib import Path

from resdet.cli.common import run_command
from resdet.data.detection.imagenet_det import ImageNetDETDataset, balanced_split, class_counts, write_split


def main(arguments: list[str] | None = None) -> None:
    """Entry point of tools/split_det.py and resdet-split-det."""
    run_command(_split, arguments)


def _split(arguments: list[str] | None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="the folder that holds ILSVRC/ and map_det.txt")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    dataset = ImageNetDETDataset(args.root, ["val"])
    split = balanced_split(class_counts(dataset), args.seed)
    for path, half in zip(
        write_split(args.root / "ILSVRC" / "ImageSets" / "DET", dataset, split),
        (split.first, split.second), strict=True,
    ):  # fmt: skip
        print(f"{path}: {len(half)} images")
    most, median = 100 * split.max_imbalance, 100 * split.median_imbalance
    print(f"imbalance of the classes: {most:.1f} % at most, {median:.1f} % in the median")


if __name__ == "__main__":
    main()
