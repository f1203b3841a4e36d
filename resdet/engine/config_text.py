"""A config as the text of a Python file, which can be read as one, and that text read back without running it.

text = config_text(cfg)                    # what --print-config prints, a checkpoint keeps and a run's page shows
sections = read_text(text, "last.pth")     # from a file that anybody may have written: nothing in it is executed
changed_values(before, now)                # ["schedule.steps was 100 and is 200"]

The text has imports of classes, and assignments of literals and of `dict(type=Class, name=literal)`.
"""

from __future__ import annotations

import ast
import keyword
import math
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, NamedTuple

from resdet.engine.config import Config, plain
from resdet.engine.typed import ForeignType
from resdet.errors import UserError

WIDTH = 120
# A checkpoint's config may name classes of these packages; their constructors read files at most.
TRUSTED = (
    "albumentations.", "resdet.boxes.", "resdet.classification.", "resdet.data.", "resdet.detection.",
    "resdet.engine.schedule", "resdet.localization.", "resdet.nets.", "resdet.recipes.section_types",
)  # fmt: skip


def config_text(cfg: Config | Mapping[str, Any]) -> str:
    """A config as the text of a config file, with its sections in their order. A resolved one makes the same run."""
    sections = plain(cfg)
    names = _names(sections)
    imports = sorted(_import_line(target, name) for target, name in names.items())
    body = [f"{key} = {_node(value, names, len(key) + 3)}" for key, value in sections.items()]
    return "\n".join([*imports, "", *body, ""])


def read_text(text: str, source: str, trusted: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Read what `config_text` wrote, without executing it.

    Args:
        text: the text.
        source: where it is from, for messages.
        trusted: classes that may be used besides those of resdet and albumentations, by "module.name".

    Returns:
        The sections. A class that is not trusted is a ForeignType, which cannot be built.

    Raises:
        UserError: it is no such text, or names a class that does not exist.
    """
    try:
        return {key: _imported_types(node, trusted or {}) for key, node in _parse(text).items()}
    except (SyntaxError, ValueError, AttributeError, ImportError, RecursionError, MemoryError, TypeError) as error:
        raise UserError(f"{source}: its config cannot be read ({error})") from error


class Change(NamedTuple):
    """A value that differs between two configs; "not set" where one of them lacks it."""

    path: str
    before: str
    now: str


def changed_values(before: str, now: str) -> list[str]:
    """Compare two texts of `config_text` value by value: "schedule.steps was 100 and is 200".

    A text of another form counts as one change.
    """
    try:
        old, new = leaves(_parse(before)), leaves(_parse(now))
    except (SyntaxError, ValueError, RecursionError, MemoryError, TypeError):
        return ["the recorded config is of another form"] if before != now else []
    return [f"{change.path} was {change.before} and is {change.now}" for change in changes(old, new)]


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """What differs between two tables of values by path (`leaves`)."""
    paths = [p for p in dict.fromkeys([*before, *now]) if p not in before or p not in now or before[p] != now[p]]
    return [Change(path, _short(before, path), _short(now, path)) for path in paths]


def leaves(sections: Mapping[str, Any]) -> dict[str, Any]:
    """Every value of a config by its path: {"schedule.steps": 100}."""
    return dict(_leaves(sections))


def _leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Values by path; lists of plain values are one value, and equal to tuples."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _leaves(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list | tuple) and any(isinstance(own, Mapping) for own in node):
        for i, value in enumerate(node):
            yield from _leaves(value, f"{path}.{i}")
    else:
        yield path, _comparable(node)


def _comparable(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(map(_comparable, value))
    if isinstance(value, ForeignType):
        return f"{value.module}.{value.name}"
    return f"{value.__module__}.{value.__qualname__}" if hasattr(value, "__qualname__") else value


def _short(values: Mapping[str, Any], path: str) -> str:
    if path not in values:
        return "not set"
    text = " ".join(repr(values[path]).split())
    return text if len(text) <= WIDTH else f"{text[:WIDTH]}..."


# Writing -------------------------------------------------------------------------------------------------------------


def _types(node: Any) -> Iterator[Any]:
    if isinstance(node, Mapping):
        for value in node.values():
            yield from _types(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _types(value)
    elif callable(node):
        yield node


def _names(sections: Mapping[str, Any]) -> dict[Any, str]:
    """A name for each class, different from all others and from the sections'."""
    names: dict[Any, str] = {}
    for target in dict.fromkeys(_types(sections)):
        name = stem = _own_name(target)
        while name in names.values() or name in sections:
            name = f"{stem}{sum(other.startswith(stem) for other in names.values()) + 1}"
        names[target] = name
    return names


def _own_name(target: Any) -> str:
    return str(target.name if isinstance(target, ForeignType) else target.__name__)


def _import_line(target: Any, name: str) -> str:
    own, module = _own_name(target), target.module if isinstance(target, ForeignType) else target.__module__
    return f"from {module} import {own if own == name else f'{own} as {name}'}"


def _node(node: Any, names: Mapping[Any, str], indent: int) -> str:
    """A value's text, on one line if it fits behind `indent` columns."""
    line = _line(node, names)
    if len(line) + indent <= WIDTH or not isinstance(node, Mapping | list | tuple):
        return line
    return _lines(node, names, 0)


def _lines(node: Any, names: Mapping[Any, str], depth: int) -> str:
    """A dict, list or tuple with a line for each item."""
    pad = "    " * (depth + 1)
    if isinstance(node, Mapping):
        opening, closing, words = ("dict(", ")", "{}=") if _plain_keys(node) else ("{", "}", "{!r}: ")
        items = [(words.format(key), value) for key, value in node.items()]
    else:
        opening, closing = ("[", "]") if isinstance(node, list) else ("(", ")")
        items = [("", value) for value in node]
    rows = []
    for word, value in items:
        line = f"{pad}{word}{_line(value, names)},"
        nested = isinstance(value, Mapping | list | tuple) and len(line) > WIDTH
        rows.append(f"{pad}{word}{_lines(value, names, depth + 1)}," if nested else line)
    return "\n".join([opening, *rows, f"{'    ' * depth}{closing}"])


def _line(node: Any, names: Mapping[Any, str]) -> str:
    if isinstance(node, Mapping):
        if _plain_keys(node):
            return f"dict({', '.join(f'{k}={_line(own, names)}' for k, own in node.items())})"
        return f"{{{', '.join(f'{k!r}: {_line(own, names)}' for k, own in node.items())}}}"
    if isinstance(node, list):
        return f"[{', '.join(_line(own, names) for own in node)}]"
    if isinstance(node, tuple):
        return f"({', '.join(_line(own, names) for own in node)}{',' if len(node) == 1 else ''})"
    if isinstance(node, float) and not math.isfinite(node):
        return f'float("{node}")'
    if isinstance(node, str) and node.isprintable() and not set(node) & set('"\\'):
        return f'"{node}"'
    return names[node] if callable(node) else repr(node)


def _plain_keys(node: Mapping[Any, Any]) -> bool:
    return all(isinstance(key, str) and key.isidentifier() and not keyword.iskeyword(key) for key in node)


# Reading -------------------------------------------------------------------------------------------------------------


def _parse(text: str) -> dict[str, Any]:
    """The sections of a text; classes are ForeignTypes, none is imported."""
    types: dict[str, ForeignType] = {}
    sections: dict[str, Any] = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            types |= {name.asname or name.name: ForeignType(node.module, name.name) for name in node.names}
        elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            sections[node.targets[0].id] = _value(node.value, types)
        else:
            raise ValueError(f"line {node.lineno} is neither an import nor an assignment")
    return sections


def _value(node: ast.expr, types: Mapping[str, ForeignType]) -> Any:
    if isinstance(node, ast.Name) and node.id in types:
        return types[node.id]
    if isinstance(node, ast.List):
        return [_value(item, types) for item in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_value(item, types) for item in node.elts)
    if isinstance(node, ast.Dict):
        keys = (ast.literal_eval(key) if key is not None else None for key in node.keys)
        return dict(zip(keys, (_value(item, types) for item in node.values), strict=True))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id == "dict" and not node.args:
            return {str(word.arg): _value(word.value, types) for word in node.keywords}
        if node.func.id == "float" and len(node.args) == 1:
            return float(ast.literal_eval(node.args[0]))
    return ast.literal_eval(node)


def _imported_types(node: Any, trusted: Mapping[str, Any]) -> Any:
    if isinstance(node, ForeignType):
        return _import(node, trusted)
    if isinstance(node, dict):
        return {key: _imported_types(value, trusted) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return type(node)(_imported_types(value, trusted) for value in node)
    return node


def _import(wanted: ForeignType, trusted: Mapping[str, Any]) -> Any:
    name = f"{wanted.module}.{wanted.name}"
    if name in trusted:
        return trusted[name]
    if not f"{wanted.module}.".startswith(TRUSTED):
        return wanted
    found = getattr(import_module(wanted.module), wanted.name)
    return found if isinstance(found, type) else wanted
