"""The resolved config: what a run is made with, with the defaults of everything that a config names filled in.

values = with_defaults(DetectionData, {"images": 2, "resizer": {"type": Resizer, "short": 200}})
set_value(sections, "data.resizer.short", 300, targets)

A default that changes later does not change what an older run's record says.
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from resdet.engine.annotations import dataclass_in, parameters
from resdet.engine.typed import ForeignType
from resdet.errors import UserError, did_you_mean

_MISSING = object()


def with_defaults(target: Callable[..., Any], values: Mapping[str, Any], given: Collection[str] = ()) -> dict[str, Any]:
    """Add the defaults of a class or function to the values it is to be called with, at every depth.

    Args:
        target: the class or function.
        values: by name, not built; a dict without a type gets one where a dataclass is declared. Nothing is checked.
        given: parameters that the caller passes itself.

    Returns:
        The values in the order of the parameters. Parameters without a default, and defaults that are no plain values,
        are left out.
    """
    known = parameters(target).known
    filled = {}
    for name, parameter in known.items():
        value = values.get(name, _MISSING) if name in values else _default(parameter.default)
        if value is not _MISSING and (name in values or name not in given):
            filled[name] = fill(value, parameter.annotation)
    return filled | {name: fill(value, Any) for name, value in values.items() if name not in known}


def fill(node: Any, annotation: Any = Any) -> Any:
    """Add the defaults of everything that a part of a config describes; `annotation` is what takes it."""
    if isinstance(node, Mapping):
        target = node.get("type") or dataclass_in(annotation)
        if target is None or isinstance(target, ForeignType) or not callable(target):
            return {key: fill(value) for key, value in node.items()}
        return {"type": target, **with_defaults(target, {k: v for k, v in node.items() if k != "type"})}
    if type(node) in (list, tuple):
        item = next(iter(typing.get_args(annotation)), Any)
        return type(node)(fill(own, item) for own in node)
    return node


def set_value(sections: dict[str, Any], key: str, value: Any, targets: Mapping[str, Callable[..., Any]]) -> None:
    """Set one value of a config, in place.

    Args:
        sections: the config with its defaults.
        key: path of the value, with dots; a number selects an item of a list: "data.augment.0.p".
        value: takes the place of the old one; a dict changes the values of a dict that it names.
        targets: for each section without a `type`, the class or function that takes its values.

    Raises:
        UserError: there is no such key.
    """
    first, *parts = key.split(".")
    if first not in sections:
        guess = did_you_mean(first, sections) or f"; there is {', '.join(sections)}"
        raise UserError(f"--cfg-options {key}: there is no section '{first}'{guess}")
    target = targets.get(first)
    sections[first] = _replaced(sections[first], parts, value, key, target)


def _replaced(node: Any, parts: list[str], value: Any, key: str, target: Callable[..., Any] | None) -> Any:
    """`node` with the value at `parts` replaced; `target` is what takes the values of a node without a type."""
    if not parts:
        return {**node, **value} if isinstance(node, Mapping) and isinstance(value, Mapping) else value
    part, *rest = parts
    if isinstance(node, list | tuple):
        if not part.isdigit() or int(part) >= len(node):
            raise UserError(f"--cfg-options {key}: there is no item '{part}' in a list of {len(node)}")
        items = list(node)
        items[int(part)] = _replaced(items[int(part)], rest, value, key, None)
        return type(node)(items)
    if node is None and target is not None:  # the section, or the settings, that were switched off
        node = fill({}, target)
    own = node.get("type", target) if isinstance(node, Mapping) else None
    known = parameters(own).known if own is not None and not isinstance(own, ForeignType) else {}
    names = [*known, *(name for name in node if name not in known)] if isinstance(node, Mapping) else []
    if part == "type" and isinstance(own, type) and isinstance(node, Mapping):
        return _of_other_type(node, own, value, key)
    if part not in names or part == "type":
        guess = did_you_mean(part, names) or f"; there is {', '.join(n for n in names if n != 'type') or 'nothing'}"
        raise UserError(f"--cfg-options {key}: there is no '{part}'{guess}")
    inner = dataclass_in(known[part].annotation) if part in known else None
    return {**node, part: _replaced(node.get(part), rest, value, key, inner)}


def _of_other_type(node: Mapping[str, Any], own: type, name: Any, key: str) -> dict[str, Any]:
    """The values that a class beside `own` in its module takes too: of MultiStep's, Plateau takes `steps`."""
    beside = {
        found.__name__: found
        for found in vars(import_module(own.__module__)).values()
        if isinstance(found, type) and set(found.__bases__) & set(own.__bases__) - {object}
    }
    if name not in beside:
        guess = did_you_mean(str(name), beside) or f"; there is {', '.join(beside) or 'none beside ' + own.__name__}"
        raise UserError(f"--cfg-options {key}: there is no type '{name}'{guess}")
    known = parameters(beside[name]).known
    return {"type": beside[name], **{key: value for key, value in node.items() if key in known}}


def _default(value: Any) -> Any:
    """A default as a config has it; _MISSING if it is no plain value."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: _default(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
        return {"type": type(value), **{name: own for name, own in fields.items() if own is not _MISSING}}
    if type(value) in (list, tuple):
        items = [_default(own) for own in value]
        return _MISSING if _MISSING in items else type(value)(items)
    if isinstance(value, dict):
        plain_items = {key: _default(own) for key, own in value.items()}
        return _MISSING if any(own is _MISSING for own in plain_items.values()) else plain_items
    if isinstance(value, Path):
        return str(value)
    plain = value is not inspect.Parameter.empty and (value is None or type(value) in (bool, int, float, str))
    return value if plain else _MISSING
