"""The values of --cfg-options: Python's literals, and lists and tuples of words without quotes."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from resdet.errors import UserError

_CLOSING = {"(": ")", "[": "]", "{": "}"}
_WORDS = {"true": True, "false": False, "True": True, "False": False, "None": None}
_DEEPEST = 20  # brackets inside each other


def parse_options(assignments: Sequence[str]) -> dict[str, Any]:
    """Parse the values of --cfg-options.

    Args:
        assignments: "KEY=VALUE" each; the last one of a key counts. VALUE is a literal of Python ("1e-3", "True",
            "{'a': 1}"), or several values with commas between them, in brackets or not ("1,2", "(5,)", "[(a,b),[4]]"),
            or any other text, which is taken as it is. Quotes keep a text with commas together: "'a,b'".

    Returns:
        The values by key.

    Raises:
        UserError: an empty key; or a value that begins with a bracket, and its brackets do not match.
    """
    options = {}
    for assignment in assignments:
        key, _, text = assignment.partition("=")
        if not key:
            raise UserError(f"--cfg-options {assignment}: there is no key; give KEY=VALUE")
        options[key] = _value(text.strip(), assignment)
    return options


def _value(text: str, where: str, depth: int = 0) -> Any:
    if depth > _DEEPEST:
        raise UserError(f"--cfg-options {where[:60]} ...: brackets are nested deeper than {_DEEPEST}")
    if text in _WORDS:
        return _WORDS[text]
    opening = text[:1]
    if opening in _CLOSING:
        _check_brackets(text, where)
    elif "," not in text or opening in ("'", '"'):
        return _word(text)
    if opening == "{":
        return _dict(text, where)
    enclosed = opening in _CLOSING and _end(text) == len(text) - 1
    parts = _split(text[1:-1] if enclosed else text)
    if not enclosed and len(parts) < 2:
        return _word(text)
    items = [_value(part, where, depth + 1) for part in parts]
    return tuple(items) if enclosed and opening == "(" else items


def _word(text: str) -> Any:
    """A number or a quoted text if it is one, else the text."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text
    return value if isinstance(value, int | float | str | bool | None) else text


def _dict(text: str, where: str) -> Any:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        value = None
    if not isinstance(value, dict):
        raise UserError(f"--cfg-options {where}: this is no dict of Python; write {{'name': value}}, with quotes")
    return value


def _check_brackets(text: str, where: str) -> None:
    """A value that begins with a bracket is a list, a tuple or a dict: all its brackets must match."""
    expected: list[str] = []
    for character in _outside_quotes(text):
        if character in _CLOSING:
            expected.append(_CLOSING[character])
        elif character in _CLOSING.values() and (not expected or expected.pop() != character):
            expected = ["never"]
            break
    if expected:
        raise UserError(f"--cfg-options {where}: the brackets do not match; quote a text that has brackets")


def _outside_quotes(text: str) -> list[str]:
    """The characters of a text, with "" for those between quotes."""
    found, quote = [], ""
    for character in text:
        inside = bool(quote)
        if character in ("'", '"') and quote in ("", character):
            quote = "" if quote else character
        found.append("" if inside else character)
    return found


def _end(text: str) -> int:
    """Index of the bracket that closes the first one."""
    depth = 0
    for i, character in enumerate(_outside_quotes(text)):
        depth += (character in _CLOSING) - (character in _CLOSING.values())
        if depth == 0:
            return i
    return len(text)


def _split(text: str) -> list[str]:
    """Split at the commas outside of brackets and quotes; a comma at the end adds nothing."""
    items, depth, start = [], 0, 0
    for i, character in enumerate(_outside_quotes(text)):
        depth += (character in _CLOSING) - (character in _CLOSING.values())
        if character == "," and depth <= 0:
            items.append(text[start:i].strip())
            start = i + 1
    last = text[start:].strip()
    return [*items, last] if last else items
