"""Run results: make the page of measured results."""

from __future__ import annotations

import argparse

from resdet.errors import UserError
from resdet.ledger.measurement import read_ledger
from resdet.ledger.page import page_of
from resdet.whole_files import write_whole_file


def run(args: argparse.Namespace) -> None:
    """Print or write the page."""
    if args.out is not None and args.out.resolve().parent == args.ledger.resolve():
        raise UserError(f"--out {args.out}: the folder of the measurements is for these alone; choose another one")
    page = page_of(read_ledger(args.ledger))
    if args.out is None:
        print(page, end="")
        return
    write_whole_file(args.out, page.encode())
    print(f"{args.out} has been written")
