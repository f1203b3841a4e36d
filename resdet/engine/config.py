"""Configs are plain Python files that mmengine reads: `dict(type=TheClass, **arguments)`; no registry.

cfg = read_config("configs/shapes_det.py")
model = build(cfg.model)

This module knows how a config is read and built, not which sections there are: resdet/recipes/sections.py does, and
its `load_config` is what programs call. Nothing here imports torch.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from mmengine.config import Config, ConfigDict
from mmengine.config.lazy import LazyAttr, LazyObject

from resdet.errors import UserError, did_you_mean

__all__ = [
    "Config",
    "ConfigDict",
    "LazyObject",
    "build",
    "build_call",
    "changed_lines",
    "config_names",
    "find_config",
    "packaged_configs",
    "read_config",
    "refuse_misspelt_sections",
    "require",
    "set_options",
]

T = TypeVar("T")


def read_config(path: str | Path) -> Config:
    """Read a config file; the classes that it names are not imported yet.

    Args:
        path: a file, or the name of a config that comes with resdet ("voc07_r50", "configs/voc07_r50.py").

    Returns:
        The config; its `filename` is where it was found.

    Raises:
        UserError: there is no such config, or it cannot be executed.
    """
    found = find_config(path)
    try:
        return Config.fromfile(found)
    except Exception as error:
        raise UserError(f"{found}: the config cannot be read: {type(error).__name__}: {error}") from error


def find_config(path: str | Path) -> Path:
    """The file itself if it exists, else the packaged config of that name.

    Raises:
        UserError: there is neither; the message names similar packaged configs.
    """
    given, folder = Path(path), packaged_configs()
    if given.is_file():
        return given
    named = folder / f"{given.stem}.py"
    if str(given.parent) in (".", "configs") and named.is_file():
        return named
    guess = did_you_mean(given.stem, config_names())
    raise UserError(f"no config '{path}'{guess}: give a file, or a name that 'resdet copy-configs --list' prints")


def config_names() -> list[str]:
    """Names of the configs that come with resdet, sorted."""
    return sorted(path.stem for path in packaged_configs().glob("[!_]*.py"))


def packaged_configs() -> Path:
    """The folder of the configs that come with resdet: in the package if installed, beside it in a checkout."""
    package = Path(str(resources.files("resdet")))
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def build(node: Any) -> Any:
    """Build the objects that a part of a config describes.

    Every `dict(type=Class, **arguments)` becomes `Class(**arguments)`, the innermost first. Other dicts, lists and
    tuples are copied with their items built, and all other values are returned as they are.

    Raises:
        UserError: a class does not accept its arguments.
    """
    if isinstance(node, dict):
        values = {key: build(value) for key, value in node.items() if key != "type"}
        if "type" not in node:
            return values
        return _call(_resolve(node["type"]), values)
    if isinstance(node, list | tuple):
        return type(node)(build(item) for item in node)
    return _resolve(node)


def build_call(target: Callable[..., T], node: Mapping[str, Any], **more: Any) -> T:
    """Call `target` with the built values of a config section that has no `type`, and with `more`.

    Raises:
        UserError: `target` does not accept these arguments, as after a typing error in the config.
    """
    return _call(target, {**build(node), **more})


def require(cfg: Config, what: str, *keys: str) -> None:
    """Check that a config has every one of `keys`.

    Args:
        cfg: the config.
        what: what such a config is of, for the message: "a detector".
        keys: names of sections or of values in them, with dots: "data.train".

    Raises:
        UserError: a key is missing.
    """
    for key in keys:
        node: Any = cfg
        for part in key.split("."):
            if part not in node:
                raise UserError(f"{cfg.filename}: '{key}' is not set, as in a config of {what}; set it or take another")
            node = node[part]


def refuse_misspelt_sections(cfg: Config, known: Sequence[str]) -> None:
    """Reject unknown top-level names that look like misspelt sections.

    Other names may be the user's own variables, and names in capitals are constants: both are accepted.

    Args:
        cfg: the config.
        known: names of the sections that are read.

    Raises:
        UserError: a name is close to a known one.
    """
    for name in cfg:
        if name.isupper():
            continue
        near = difflib.get_close_matches(name.lower(), known, 1, cutoff=0.8)
        if name not in known and near and isinstance(cfg[name], dict | int | str | list):
            raise UserError(f"{cfg.filename}: '{name}' is not read; did you mean '{near[0]}'?")


def set_options(cfg: Config, options: Mapping[str, Any], sections: Mapping[str, Callable[..., Any]]) -> None:
    """Set values of a config, as `--cfg-options schedule.steps=100` asks, in place.

    Args:
        cfg: the config.
        options: values by their key, with dots; a number selects an item of a list.
        sections: for each section without a `type` of its own, the class or function that takes its values: its
            parameters can be set too where the config leaves them at their defaults.

    Raises:
        UserError: a key does not exist.
    """
    for key in options:
        _check_option(cfg, key, sections)
    if options:
        cfg.merge_from_dict(dict(options))


def changed_lines(before: str, now: str) -> list[str]:
    """Compare two configs as text (`Config.pretty_text`): the removed lines as "- ...", the added ones as "+ ..."."""
    lines = difflib.ndiff(before.splitlines(), now.splitlines())
    return [" ".join(line.split()) for line in lines if line[0] in "+-"]


def _check_option(cfg: Config, key: str, sections: Mapping[str, Callable[..., Any]]) -> None:
    node: Any = cfg
    first = key.partition(".")[0]
    if first.isupper() and first in cfg:
        raise UserError(
            f"--cfg-options {key}: {first} is a constant that was used when the file was read; set the values that "
            "were made from it, such as data.train.root and data.test.root"
        )
    section = sections.get(first)
    for part in key.split("."):
        if isinstance(node, list | tuple) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
            continue
        known = _settable(node, section if node is not cfg else None)
        if part not in known:
            there = ", ".join(known) or "nothing"
            raise UserError(f"--cfg-options {key}: '{part}' is not in {cfg.filename}; there is {there}")
        node = node.get(part)


def _settable(node: Any, section: Callable[..., Any] | None) -> list[str]:
    """Names that can be set in a node: its own values, and the parameters of its type or of its section's."""
    if not isinstance(node, Config | ConfigDict):
        return []
    own = [k for k, v in node.items() if isinstance(v, dict | list | tuple | str | int | float | None)]
    target = _resolve(node["type"]) if "type" in node else section
    if target is None:
        return own
    return own + [name for name in inspect.signature(target).parameters if name not in own]


def _resolve(value: Any) -> Any:
    return value.build() if isinstance(value, LazyObject | LazyAttr) else value


def _call(target: Callable[..., T], values: dict[str, Any]) -> T:
    try:
        return target(**values)
    except TypeError as error:
        raise UserError(f"config: {target.__name__} cannot be called with these values: {error}") from error
