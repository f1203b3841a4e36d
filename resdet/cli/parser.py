"""An argument parser whose errors are one line with the nearest correct names."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from resdet.errors import did_you_mean


class CommandParser(argparse.ArgumentParser):
    """argparse's parser; a mistake ends the program with one line on stderr and exit code 2, without the usage."""

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse a command line.

        Args:
            words: the arguments, without the names of the program and of the subcommand.

        Raises:
            SystemExit: with code 2 for a mistake, with code 0 after --help.
        """
        self._refuse_unknown_options(words)
        return self.parse_args(words)

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with code 2."""
        self.exit(2, f"error: {message}; '{self.prog} --help' describes all arguments\n")

    def _refuse_unknown_options(self, words: Sequence[str]) -> None:
        """argparse would report a missing argument first, though the cause may be an option that is spelt wrong."""
        known = [option for option in self._option_string_actions if option.startswith("--")]
        for word in words:
            if word == "--":
                return
            option = word.partition("=")[0]
            if option.startswith("--") and not any(name.startswith(option) for name in known):
                self.error(f"there is no option {option}{did_you_mean(option, known)}")
