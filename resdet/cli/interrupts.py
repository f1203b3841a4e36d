"""What Ctrl-C does to a process of `resdet`: it ends in one line, whatever it is doing.

While programs are imported a KeyboardInterrupt can be lost, or reported by other packages, so the process ends at once;
while a command runs it is raised, for the command to save what it has done.
"""

# The module `signal` without its enums, which take longer to import than all else here.
import _signal as signal  # type: ignore[import-not-found]  # typeshed has none
import os


def end_at_once_on_interrupt() -> None:
    """Let Ctrl-C end the process from now on, unless it is ignored or handled by another program."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def raise_on_interrupt() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again where `end_at_once_on_interrupt` has changed it."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: object) -> None:
    os.write(2, b"interrupted\n")
    os._exit(128 + number)
