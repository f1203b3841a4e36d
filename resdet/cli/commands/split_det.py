"""Run split-det: split ImageNet DET's val."""

from __future__ import annotations

import argparse

from resdet.data.detection.imagenet_det import ImageNetDETDataset
from resdet.data.detection.imagenet_det_halves import balanced_split, class_counts, write_split


def run(args: argparse.Namespace) -> None:
    """Write val1.txt and val2.txt, and print how balanced they are."""
    dataset = ImageNetDETDataset(args.root, ["val"])
    split = balanced_split(class_counts(dataset), args.seed)
    paths = write_split(args.root / "ILSVRC" / "ImageSets" / "DET", dataset, split)
    for path, half in zip(paths, (split.first, split.second), strict=True):
        print(f"{path}: {len(half)} images")
    most, median = 100 * split.max_imbalance, 100 * split.median_imbalance
    print(f"imbalance of the classes: {most:.1f} % at most, {median:.1f} % in the median")
