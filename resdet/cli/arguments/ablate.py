"""Measure the rows of Table 9 on a config's test set.

The rows are the baseline, box refinement, global context, multi-scale testing and an ensemble; each adds to the row
above. Detectors with global context are recognized by their weights; without one, that row is left out. The ensemble is
of all detectors with global context, or without one of all plain detectors.
"""

from __future__ import annotations

import argparse

from resdet.cli.arguments.outputs import add_output
from resdet.cli.arguments.shared import add_config
from resdet.cli.arguments.testing import add_checkpoints, add_resamples, add_sides, add_test_arguments
from resdet.ranges import Natural

EXAMPLES = """
  resdet ablate CONFIG --checkpoint plain.pth context.pth --json ablation.json --plot ablation.svg
  resdet ablate CONFIG --checkpoint p0.pth c0.pth --checkpoint p1.pth c1.pth     # two trainings: mean and deviation
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ablate."""
    add_config(parser)
    add_checkpoints(
        parser,
        "checkpoints of one training (one seed); repeat the option for further trainings",
        action="append",
        required=True,
    )
    add_sides(
        parser,
        "--scales",
        "short sides of multi-scale testing, in pixels (default: the config's testing.scales, else 1/3, 2/3 ... 5/3 of "
        "the training size, as in the paper)",
    )
    add_resamples(parser, "number of bootstrap draws for the interval of each gain; 0: no intervals", Natural)
    add_output(parser, "--plot", "FILE", "also draw the rows to FILE, of type .svg, .png or .pdf")
    add_test_arguments(parser)
