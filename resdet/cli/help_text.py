"""Help in the width of the terminal: texts are wrapped, examples of commands stay as they are written.

ArgumentParser(formatter_class=WrappingFormatter, description=..., epilog="examples:\\n  resdet train-det")
print(wrapped("  table           the rows of a table"))
"""

from __future__ import annotations

import argparse
import re
import shutil
import textwrap

EXAMPLES = "examples:"  # an epilog begins with it
NARROWEST = 20  # characters


class WrappingFormatter(argparse.HelpFormatter):
    """argparse's formatter, for texts with paragraphs and with lists, whose entries are indented lines."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Wrap a description; argparse calls it for the parser, for groups of arguments and for the epilog."""
        if text.startswith(EXAMPLES):
            return text
        return "\n".join(wrapped(indent + line, width) for line in _joined(text))

    def _split_lines(self, text: str, width: int) -> list[str]:
        """Wrap the help of an argument, without cutting --cfg-options in two."""
        return textwrap.wrap(" ".join(text.split()), width, break_long_words=False, break_on_hyphens=False)


def wrapped(line: str, width: int | None = None) -> str:
    """A line of text, wrapped; after "  name   text" the further lines are indented as the text is.

    Args:
        line: may be indented.
        width: characters in a line; None: the terminal's without two, as argparse has it.
    """
    width = max(NARROWEST, shutil.get_terminal_size().columns - 2) if width is None else width
    entry = re.match(r"\s+\S+\s{2,}", line) or re.match(r"\s*", line)
    further = " " * (entry.end() if entry else 0)
    return textwrap.fill(line, width, subsequent_indent=further, break_long_words=False, break_on_hyphens=False)


def _joined(text: str) -> list[str]:
    """Paragraphs, empty lines between them, and indented lines, each as one line."""
    lines: list[str] = []
    for line in text.splitlines():
        continues = lines and lines[-1] and not lines[-1].startswith(" ") and line and not line.startswith(" ")
        if continues:
            lines[-1] += f" {line}"
        else:
            lines.append(line)
    return lines
