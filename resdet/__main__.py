"""Where a process of `resdet` starts: the command `resdet SUBCOMMAND`, `python -m resdet SUBCOMMAND`, tools/*.py.

The first thing that it does is to let Ctrl-C end it in one line; before that Python itself starts.
"""

from resdet.cli.interrupts import end_at_once_on_interrupt

TYPE_CHECKING = False  # typing's, without the import
if TYPE_CHECKING:
    from collections.abc import Sequence


def program(arguments: "Sequence[str] | None" = None) -> None:
    """Run a subcommand, and end the process.

    Args:
        arguments: the subcommand's name and its arguments; None: the command line's.
    """
    end_at_once_on_interrupt()
    from resdet.cli.main import run_process

    run_process(arguments)


if __name__ == "__main__":
    program()
