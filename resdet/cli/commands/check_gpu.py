"""Run check-gpu: check whether everything works on this machine's GPU."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from resdet.device_check.check import Check
from resdet.device_check.checks import CHECKS
from resdet.device_check.running import run_checks
from resdet.engine.distributed import choose_device
from resdet.errors import UserError, did_you_mean


def run(args: argparse.Namespace) -> None:
    """Run the checks and write the report; exit code 1 if one failed."""
    checks = _chosen(args.only, args.skip)
    if args.list:
        for check in checks:
            print(f"{check.name:11} {check.summary}")
        return
    device = choose_device(args.device)
    if device.type == "cpu":
        print("no GPU is checked: the checks run on the CPU, where benchmarks and torch.compile are left out")
    report = run_checks(checks, device, args.out)
    counts = ", ".join(f"{report.count(status)} {status}" for status in ("passed", "failed", "skipped"))
    print(f"{counts}; the report: {args.out / 'report.md'}")
    if report.count("failed"):
        sys.exit(1)


def _chosen(only: Sequence[str], skip: Sequence[str]) -> list[Check]:
    """The checks that --only and --skip leave.

    Raises:
        UserError: a name is unknown, or none is left.
    """
    names = [check.name for check in CHECKS]
    for name in (*only, *skip):
        if name not in names:
            raise UserError(f"there is no check {name}{did_you_mean(name, names)}; --list lists them")
    left = [check for check in CHECKS if (not only or check.name in only) and check.name not in skip]
    if not left:
        raise UserError("no check is left to run; --list lists them")
    return left
