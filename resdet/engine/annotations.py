"""What classes and functions take, read from their signatures, and annotations in words.

parameters(MultiStep).known["steps"].annotation       # Annotated[int, Ge(1)]
describe(Annotated[int, Ge(1)])                        # "an integer, 1 or more"
"""

from __future__ import annotations

import dataclasses
import inspect
import operator
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, Union

SEVERAL = (list, Sequence, Iterable, Collection)
UNIONS = (Union, types.UnionType)
LIMITS = {"ge": operator.ge, "gt": operator.gt, "le": operator.le, "lt": operator.lt}  # of annotated_types
_LIMIT_WORDS = {"ge": "{} or more", "gt": "above {}", "le": "at most {}", "lt": "below {}"}
_WORDS = {bool: "True or False", int: "an integer", float: "a number", str: "a string", Any: "anything"}


class Parameter(NamedTuple):
    """A parameter of a class or function that a config can give."""

    annotation: Any
    default: Any  # inspect.Parameter.empty: it must be given


class Parameters(NamedTuple):
    """What a class or function takes."""

    known: Mapping[str, Parameter]
    more: bool  # whether it takes other names too (**kwargs)


@cache
def parameters(target: Callable[..., Any]) -> Parameters:
    """The parameters of a class or function by name, with evaluated annotations; Any where that fails."""
    try:
        found = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):  # some classes of C have no signature
        return Parameters({}, True)
    plain_class = isinstance(target, type) and not dataclasses.is_dataclass(target)
    source: Any = target.__init__ if plain_class else target
    try:
        hints = typing.get_type_hints(source, include_extras=True)
    except (NameError, TypeError, AttributeError):
        hints = {}
    named = [p for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD, p.POSITIONAL_ONLY)]
    known = {p.name: Parameter(hints.get(p.name, Any), _default(target, p)) for p in named}
    return Parameters(known, any(p.kind is p.VAR_KEYWORD for p in found))


def _default(target: Any, parameter: inspect.Parameter) -> Any:
    """A parameter's default; of a dataclass with a default factory, what the factory makes."""
    fields = {f.name: f for f in dataclasses.fields(target)} if dataclasses.is_dataclass(target) else {}
    field = fields.get(parameter.name)
    if field is not None and field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return parameter.default


def dataclass_in(annotation: Any) -> type | None:
    """The dataclass that an annotation names, alone or beside None; a dict without a type stands for it."""
    members = [m for m in typing.get_args(annotation) if m is not types.NoneType]
    alone = members[0] if typing.get_origin(annotation) in UNIONS and len(members) == 1 else annotation
    return alone if isinstance(alone, type) and dataclasses.is_dataclass(alone) else None


def describe(annotation: Any) -> str:
    """What an annotation asks for, in words: "an integer, 1 or more"."""
    origin, members = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return ", ".join([describe(members[0]), *filter(None, map(_limits, annotation.__metadata__))])
    if annotation in (None, types.NoneType):
        return "None"
    if origin in UNIONS:
        return " or ".join(dict.fromkeys(map(describe, members)))
    if origin is Literal:
        return f"one of {', '.join(map(repr, members))}"
    if origin is tuple and members[-1] is not ...:
        return f"{len(members)} values ({'; '.join(map(describe, members))})"
    if origin in (tuple, *SEVERAL):
        return f"one or several, each {describe(members[0])}"
    if annotation in _WORDS:
        return _WORDS[annotation]
    if not isinstance(annotation, type):
        return str(annotation)
    name = annotation.__name__
    return "a path" if name == "Path" else f"{with_article(name)}, as dict(type=..., ...)"


def with_article(name: str) -> str:
    """The name of a class behind "a" or "an"."""
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"


def _limits(limit: Any) -> str:
    bounds = {name: getattr(limit, name, None) for name in LIMITS}
    return ", ".join(_LIMIT_WORDS[name].format(bound) for name, bound in bounds.items() if bound is not None)
