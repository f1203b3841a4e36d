"""The paper's Table 1, and parameters and multiply-adds of every net, counted on the nets themselves."""

from __future__ import annotations

import argparse

from resdet.cli.common import add_json, run_command, write_json
from resdet.report.nets import costs_table, count_costs, table_1
from resdet.report.tables import print_table


def main(arguments: list[str] | None = None) -> None:
    """Entry point of tools/complexity.py and resdet-complexity."""
    run_command(_complexity, arguments)


def _complexity(arguments: list[str] | None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_json(parser)
    args = parser.parse_args(arguments)
    costs = count_costs()
    print_table(table_1())
    print_table(costs_table(costs))
    write_json(args.json, {name: {"parameters": c.parameters, "macs": c.macs} for name, c in costs.items()})


if __name__ == "__main__":
    main()
