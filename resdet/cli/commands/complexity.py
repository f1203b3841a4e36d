"""Run complexity: print Table 1 and the costs of every net."""

from __future__ import annotations

import argparse

from resdet.cli.common.output import write_json
from resdet.report.nets import costs_table, count_costs, table_1
from resdet.report.tables import print_table


def run(args: argparse.Namespace) -> None:
    """Print both tables."""
    costs = count_costs()
    print_table(table_1())
    print_table(costs_table(costs))
    write_json(args.json, {name: {"parameters": c.parameters, "macs": c.macs} for name, c in costs.items()})
