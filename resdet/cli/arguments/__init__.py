"""The arguments of each subcommand. These modules import the standard library alone, so that `--help` takes no time.

Each has a docstring (the description in its help), EXAMPLES (shown below it) and `add_arguments(parser)`.
Choices that torch's modules define are repeated here as tuples; tests/cli/test_arguments.py compares the two.
"""
