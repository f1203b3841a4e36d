"""Where a process of `resdet` starts: the command `resdet SUBCOMMAND`, `python -m resdet SUBCOMMAND`.

The first thing that it does is to let Ctrl-C end it in one line; before that Python itself starts.
"""

from resdet.cli.interrupts import end_at_once_on_interrupt


def program() -> None:
    """Run the subcommand that the command line names, and end the process."""
    end_at_once_on_interrupt()
    from resdet.cli.main import run_process

    run_process()


if __name__ == "__main__":
    program()
