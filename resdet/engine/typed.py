"""Values of a config, checked against the annotations of the classes and functions that take them.

values = check_values(MultiStep, {"steps": 9000, "milestones": 7500}, "schedule")     # milestones: (7500,)
check_values(MultiStep, {"steps": "abc"}, "schedule")     # UserError: schedule.steps is 'abc'; wanted: an integer, ...

Every mistake is one line: the path of the key, what is there, what is wanted. A lone value is taken where several are
declared. Annotations of libraries that cannot be evaluated accept anything. Nothing is built here.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from numbers import Integral, Real
from pathlib import PurePath
from typing import Annotated, Any, Literal

from resdet.engine.annotations import LIMITS, SEVERAL, UNIONS, Parameter, describe, parameters, with_article
from resdet.errors import UserError, did_you_mean

_SHOWN = 60  # characters of a wrong value in a message


@dataclasses.dataclass(frozen=True)
class ForeignType:
    """A class that a stored config names and that was not imported, because anybody may have written the file."""

    module: str
    name: str

    def __call__(self, **_: Any) -> Any:
        """Raise UserError: the class is needed now."""
        name = f"{self.module}.{self.name}"
        raise UserError(f"the checkpoint's config names {name}, which is not of resdet: give the config file too")


def check_values(
    target: Callable[..., Any], values: Mapping[str, Any], path: str = "", given: Collection[str] = ()
) -> dict[str, Any]:
    """Check the values that a class or function is to be called with.

    Args:
        target: the class or function.
        values: by name, not built: dicts with a `type` stand for objects. Missing ones are no mistake here.
        path: of the section in the config, for messages.
        given: parameters that the caller passes itself, and a config cannot set.

    Returns:
        The values in the declared form: a lone one in a tuple where several are declared.

    Raises:
        UserError: an unknown name or a wrong value.
    """
    known, more = parameters(target)
    checked = {}
    for name, value in values.items():
        own = f"{path}.{name}" if path else str(name)
        if name in given or (name not in known and not more):
            names = [other for other in known if other not in given]
            what = getattr(target, "__name__", str(target))
            guess = did_you_mean(str(name), names) or f"; it takes {', '.join(names) or 'nothing'}"
            raise UserError(f"{own}: {what} takes no '{name}'{guess}")
        parameter = known.get(name, Parameter(Any, None))
        same = type(value) is type(parameter.default) and not isinstance(value, dict) and value == parameter.default
        checked[name] = value if same else check(value, parameter.annotation, own)
    return checked


def check(value: Any, annotation: Any, path: str) -> Any:
    """Check one value of a config.

    Args:
        value: not built: dicts with a `type` stand for objects.
        annotation: of the parameter that takes it, evaluated.
        path: of the value in the config, for messages.

    Returns:
        The value in the declared form.

    Raises:
        UserError: it is no such value.
    """
    origin, members = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _in_range(_one_of(value, annotation, path, members[:1]), annotation, path)
    if origin in UNIONS:
        return _union(value, annotation, path)
    if origin is Literal:
        return (
            value if any(value == m and type(value) is type(m) for m in members) else _refuse(value, annotation, path)
        )
    if annotation is tuple or origin is tuple:
        return _tuple(value, annotation, path)
    if annotation in SEVERAL or origin in SEVERAL:
        return _several(value, annotation, path)
    if annotation in (dict, Mapping) or origin in (dict, Mapping):
        return _mapping(value, annotation, path)
    if annotation in (bool, int, float, str, None, types.NoneType):
        return _plain(value, annotation, path)
    if isinstance(annotation, type) and annotation not in (object, Any):
        return _object(value, annotation, path)
    return _free(value, path)


def _plain(value: Any, annotation: Any, path: str) -> Any:
    """A number, a string, a bool or None; NumPy's numbers become Python's."""
    if annotation in (None, types.NoneType):
        return value if value is None else _refuse(value, annotation, path)
    if annotation is str and isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # a year, or a class that is named by a number
    if annotation in (bool, str):
        return value if isinstance(value, annotation) else _refuse(value, annotation, path)
    if isinstance(value, bool) or not isinstance(value, Integral if annotation is int else Real):
        return _refuse(value, annotation, path)
    return value.item() if hasattr(value, "item") else value


def _union(value: Any, annotation: Any, path: str) -> Any:
    members = [m for m in typing.get_args(annotation) if m is not types.NoneType]
    if value is None and len(members) < len(typing.get_args(annotation)):
        return None
    if len(members) == 1 and isinstance(value, dict | list | tuple):  # the message names what is wrong inside
        return check(value, members[0], path)
    return _one_of(value, annotation, path, members)


def _one_of(value: Any, annotation: Any, path: str, members: Sequence[Any]) -> Any:
    for member in members:
        try:
            return _refuse(value, member, path) if value is None else check(value, member, path)
        except UserError:
            continue
    return _refuse(value, annotation, path)


def _several(value: Any, annotation: Any, path: str) -> Any:
    (item,) = typing.get_args(annotation) or (Any,)
    if isinstance(value, Mapping):  # the message names what is wrong inside
        return (check(value, item, path),)
    if not isinstance(value, list | tuple):
        return (_one_of(value, annotation, path, (item,)),)
    try:
        return type(value)(check(own, item, f"{path}.{i}") for i, own in enumerate(value))
    except UserError:
        if typing.get_origin(item) is not tuple:
            raise
    return (check(value, item, path),)  # a lone pair where several pairs are declared


def _tuple(value: Any, annotation: Any, path: str) -> Any:
    members = typing.get_args(annotation) or (Any, ...)
    if len(members) == 2 and members[1] is ...:
        return _several(value, Sequence[members[0]], path)  # type: ignore[valid-type]
    items = value if isinstance(value, list | tuple) else (value,)
    if len(items) != len(members):
        return _refuse(value, annotation, path)
    checked = (check(own, m, f"{path}.{i}") for i, (own, m) in enumerate(zip(items, members, strict=True)))
    return (type(value) if isinstance(value, list | tuple) else tuple)(checked)


def _mapping(value: Any, annotation: Any, path: str) -> Any:
    if not isinstance(value, Mapping):
        return _refuse(value, annotation, path)
    keys, items = typing.get_args(annotation) or (Any, Any)
    return {check(k, keys, f"{path} (a key)"): check(own, items, f"{path}.{k}") for k, own in value.items()}


def _object(value: Any, wanted: type, path: str) -> Any:
    """A dict that describes an object of a class, or such an object."""
    if not isinstance(value, Mapping):
        if isinstance(value, str) and issubclass(wanted, PurePath):
            return wanted(value)
        return value if _is(value, wanted) else _refuse(value, wanted, path)
    if "type" not in value and not dataclasses.is_dataclass(wanted):
        raise UserError(f"{path} is a dict without a type; wanted: {describe(wanted)}")
    target = value.get("type", wanted)
    if isinstance(target, type) and not _fits(target, wanted):
        raise UserError(f"{path} is {with_article(target.__name__)}; wanted: {describe(wanted)}")
    return _described({"type": target, **value}, path)


def _free(value: Any, path: str) -> Any:
    """A value of any type; what describes objects inside it is checked."""
    if isinstance(value, Mapping):
        if "type" in value:
            return _described(value, path)
        return {k: _free(own, f"{path}.{k}") for k, own in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_free(own, f"{path}.{i}") for i, own in enumerate(value))
    return value


def _described(value: Mapping[str, Any], path: str) -> dict[str, Any]:
    target, rest = value["type"], {k: own for k, own in value.items() if k != "type"}
    if isinstance(target, ForeignType):
        return {"type": target, **rest}
    if not callable(target):
        raise UserError(f"{path}.type is {_shown(target)}; wanted: a class, imported in the config file")
    return {"type": target, **check_values(target, rest, path)}


def _in_range(value: Any, annotation: Any, path: str) -> Any:
    for limit in annotation.__metadata__:
        bounds = {name: getattr(limit, name, None) for name in LIMITS}
        if not all(LIMITS[name](value, bound) for name, bound in bounds.items() if bound is not None):
            return _refuse(value, annotation, path)
    return value


def _is(value: Any, wanted: type) -> bool:
    try:
        return isinstance(value, wanted)
    except TypeError:  # a protocol that cannot be checked
        return not isinstance(value, str | int | float | list | tuple | None)


def _fits(target: type, wanted: type) -> bool:
    """Whether a class is a subclass; of a protocol, whether it has the protocol's methods."""
    if getattr(wanted, "_is_protocol", False):
        return all(hasattr(target, name) for name, own in vars(wanted).items() if callable(own))
    return issubclass(target, wanted)


def _refuse(value: Any, annotation: Any, path: str) -> Any:
    raise UserError(f"{path} is {_shown(value)}; wanted: {describe(annotation)}")


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a dict"
    text = " ".join(repr(value).split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
