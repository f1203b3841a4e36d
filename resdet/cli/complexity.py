"""The paper's Table 1, and parameters and multiply-adds of every net, counted on the nets themselves."""

from __future__ import annotations

import argparse

from resdet.cli.common import run_command
from resdet.report.nets import costs, table_1
from resdet.report.tables import print_table


def main(arguments: list[str] | None = None) -> None:
    """Entry point of tools/complexity.py and resdet-complexity."""
    run_command(_complexity, arguments)


def _complexity(arguments: list[str] | None) -> None:
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    print_table(table_1())
    print_table(costs())


if __name__ == "__main__":
    main()
