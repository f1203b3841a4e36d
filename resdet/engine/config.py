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

from resdet.engine.annotations import parameters
from resdet.engine.typed import check, check_values
from resdet.errors import UserError, did_you_mean

__all__ = [
    "Config",
    "ConfigDict",
    "build",
    "build_call",
    "config_names",
    "find_config",
    "packaged_configs",
    "plain",
    "read_config",
    "refuse_misspelt_sections",
    "require",
]

T = TypeVar("T")
_OF_DATA = "if it is a data set, 'resdet new-config {0} --out configs/mine.py' writes a config for it"


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
    except (Exception, SystemExit) as error:
        raise UserError(f"{found}: the config cannot be read: {type(error).__name__}: {error}") from error


def find_config(path: str | Path) -> Path:
    """The file itself if it exists, else the packaged config of that name ("voc07_r50").

    Raises:
        UserError: there is neither, or it is a folder or another kind of file; the message names similar configs. A
            path, with a folder or ".py", is never taken for the name of a packaged config, which may differ from the
            file that was meant.
    """
    given, packaged = Path(path), packaged_configs() / f"{Path(path).stem}.py"
    if given.is_file():
        if given.suffix != ".py":
            raise UserError(f"{path} is no config, which is a .py file; {_OF_DATA.format(path)}")
        return given
    if str(path) == given.stem and packaged.is_file():
        return packaged
    if given.is_dir():
        raise UserError(f"{path} is a folder; {_OF_DATA.format(path)}")
    if packaged.is_file():
        raise UserError(f"{path} is not there; the config of that name that comes with resdet is '{given.stem}' alone")
    beside = [str(other) for other in given.parent.glob("*.py")] if given.parent.is_dir() else []
    guess = did_you_mean(str(path), beside) or did_you_mean(given.stem, config_names())
    raise UserError(f"no config '{path}'{guess}: give a file, or a name that 'resdet copy-configs --list' prints")


def config_names() -> list[str]:
    """Names of the configs that come with resdet, sorted."""
    return sorted(path.stem for path in packaged_configs().glob("[!_]*.py"))


def packaged_configs() -> Path:
    """The folder of the configs that come with resdet: in the package if installed, beside it in a checkout."""
    package = Path(str(resources.files("resdet")))
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def plain(node: Any) -> Any:
    """A config, or a part of one, as dicts, lists, tuples and values; the classes that it names are imported.

    Raises:
        UserError: a module cannot be imported, or lacks a name.
    """
    try:
        return _plain(node)
    except (ImportError, AttributeError) as error:
        raise UserError(f"{getattr(node, 'filename', 'config')}: a class cannot be imported: {error}") from error


def build(node: Any) -> Any:
    """Build the objects that a part of a config describes.

    Every `dict(type=Class, **arguments)` becomes `Class(**arguments)`, the innermost first. Other dicts, lists and
    tuples are copied with their items built, and all other values are returned as they are.

    Raises:
        UserError: a class does not accept its arguments: a name or a value is wrong (engine/typed.py), or missing.
    """
    values = plain(node)
    name = getattr(values.get("type"), "__name__", "config") if isinstance(values, dict) else "config"
    return _construct(check(values, Any, name), name)


def build_call(target: Callable[..., T], node: Mapping[str, Any], **more: Any) -> T:
    """Call `target` with the built values of a config section that needs no `type`, and with `more`.

    Raises:
        UserError: `target` does not accept these arguments, as after a typing error in the config.
    """
    values = {key: value for key, value in plain(node).items() if key != "type"}
    values = check_values(target, values, target.__name__, given=more.keys())
    return _call(target, {key: _construct(value, key) for key, value in values.items()} | more, target.__name__)


def require(cfg: Config, what: str, *keys: str) -> None:
    """Check that a config has every one of `keys`.

    Args:
        cfg: the config.
        what: what such a config is of, for the message: "a detector".
        keys: names of sections or of values in them, with dots: "data.train".

    Raises:
        UserError: a key is missing, or None.
    """
    for key in keys:
        node: Any = cfg
        for part in key.split("."):
            if not isinstance(node, Config | Mapping) or node.get(part) is None:
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


def _plain(node: Any) -> Any:
    if isinstance(node, Config | Mapping):
        return {key: _plain(value) for key, value in node.items()}
    if type(node) in (list, tuple):
        return type(node)(_plain(item) for item in node)
    return node.build() if isinstance(node, LazyObject | LazyAttr) else node


def _construct(node: Any, path: str) -> Any:
    if isinstance(node, dict):
        values = {key: _construct(value, f"{path}.{key}") for key, value in node.items() if key != "type"}
        return _call(node["type"], values, path) if "type" in node else values
    if isinstance(node, list | tuple):
        return type(node)(_construct(item, path) for item in node)
    return node


def _call(target: Callable[..., T], values: dict[str, Any], path: str) -> T:
    name = getattr(target, "__name__", str(target))
    needed = [key for key, own in parameters(target).known.items() if own.default is inspect.Parameter.empty]
    missing = [key for key in needed if key not in values]
    if missing:
        raise UserError(f"config: {path}: '{missing[0]}' is not set; {name} needs it")
    try:
        return target(**values)
    except UserError:
        raise
    except (TypeError, ValueError) as error:
        if isinstance(error, ValueError) and target.__module__.startswith("resdet."):
            raise
        reason = " ".join(str(error).split())
        raise UserError(f"config: {path}: {name} cannot be made with these values: {reason}") from error
