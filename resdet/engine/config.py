"""Configs are pure-Python mmengine files: ``type=TheClass`` and that class's own arguments, nothing is registered.

cfg = load_config("configs/shapes_det.py", {"schedule.steps": 100})
model = build(cfg.model)
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from mmengine.config import Config, ConfigDict
from mmengine.config.lazy import LazyAttr, LazyObject

from resdet.data.settings import ClassificationData, DetectionData, LocalizationData
from resdet.detection.inference import Testing
from resdet.engine.loop import LoopSettings
from resdet.engine.optimizer import build_sgd
from resdet.errors import UserError
from resdet.nets.precise_bn import PreciseBN

SECTION_NAMES = (
    "model", "net", "augment", "data", "optimizer", "schedule", "loop", "init_from", "log_backends", "precise_bn",
    "ghost_batch", "alternating", "testing", "rcnn",
)  # fmt: skip
# Sections without a type of their own: what takes their values.
SECTIONS: dict[str, Callable[..., Any]] = {
    "loop": LoopSettings, "optimizer": build_sgd, "testing": Testing, "precise_bn": PreciseBN,
}  # fmt: skip

USED_IN = "as data.train.root and data.test.root"  # for ROOT, the constant that all data sets' configs have

T = TypeVar("T")


def load_config(path: str | Path, options: dict[str, Any] | None = None) -> Config:
    """Read a config.

    Args:
        path: a file, or the name of a config that comes with resdet ("voc07_r50", "configs/voc07_r50.py").
        options: what ``--cfg-options a.b=1`` gave; every key must exist in the config.

    Raises:
        UserError: no such config, an error in the file, or an option that the config does not have.
    """
    found = find_config(path)
    try:
        cfg = Config.fromfile(found)
    except Exception as error:
        raise UserError(f"{found}: the config cannot be read: {type(error).__name__}: {error}") from error
    _refuse_misspelt(cfg, found)
    for key in options or {}:
        _check_option(cfg, key, found)
    if options:
        cfg.merge_from_dict(options)
    return cfg


def find_config(path: str | Path) -> Path:
    """The file itself, or the packaged config of that name."""
    given, folder = Path(path), packaged_configs()
    if given.is_file():
        return given
    named = folder / f"{given.stem}.py"
    if str(given.parent) in (".", "configs") and named.is_file():
        return named
    names = ", ".join(sorted(p.stem for p in folder.glob("[!_]*.py")))
    raise UserError(f"no config '{path}': give a file, or one of {names}")


def packaged_configs() -> Path:
    """The folder of the configs that come with resdet: inside the package once installed, beside it in a checkout."""
    package = Path(str(resources.files("resdet")))
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def build(node: Any) -> Any:
    """Turn ``dict(type=Class, **arguments)`` into ``Class(**arguments)``, from the inside out; other values stay."""
    if isinstance(node, dict):
        values = {key: build(value) for key, value in node.items() if key != "type"}
        if "type" not in node:
            return values
        return _call(_resolve(node["type"]), values)
    if isinstance(node, list | tuple):
        return type(node)(build(item) for item in node)
    return _resolve(node)


def build_call(target: Callable[..., T], node: dict[str, Any], **more: Any) -> T:
    """Call `target` with a config's values and `more`; arguments that it does not have are a user's mistake."""
    return _call(target, {**build(node), **more})


def require(cfg: Config, what: str, *keys: str) -> None:
    """Refuse a config that is not one of `what`, because it lacks one of `keys`; "data.train" looks below data."""
    for key in keys:
        node: Any = cfg
        for part in key.split("."):
            if part not in node:
                raise UserError(f"{cfg.filename}: '{key}' is not set, as in a config of {what}; set it or take another")
            node = node[part]


def _resolve(value: Any) -> Any:
    return value.build() if isinstance(value, LazyObject | LazyAttr) else value


def _call(target: Callable[..., T], values: dict[str, Any]) -> T:
    try:
        return target(**values)
    except TypeError as error:
        raise UserError(f"config: {target.__name__} cannot be called with these values: {error}") from error


def _refuse_misspelt(cfg: Config, path: Path) -> None:
    """A section that nothing reads, of nearly the name of one that is; other names, and constants, are the user's."""
    for name in cfg:
        if name.isupper():
            continue
        near = difflib.get_close_matches(name.lower(), SECTION_NAMES, 1, cutoff=0.8)
        if name not in SECTION_NAMES and near and isinstance(cfg[name], dict | int | str | list):
            raise UserError(f"{path}: '{name}' is not read; did you mean '{near[0]}'?")


def _check_option(cfg: Config, key: str, path: Path) -> None:
    node: Any = cfg
    first = key.partition(".")[0]
    if first.isupper() and first in cfg:
        raise UserError(
            f"--cfg-options {key}: {first} is used up when the file is read; set what it went into, {USED_IN}"
        )
    taker = data_section(cfg) if first == "data" else SECTIONS.get(first)
    for part in key.split("."):
        if isinstance(node, list | tuple) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
            continue
        known = _settings(node, taker if node is not cfg else None)
        if part not in known:
            raise UserError(f"--cfg-options {key}: '{part}' is not in {path}; there is {', '.join(known) or 'nothing'}")
        node = node.get(part)


def data_section(cfg: Config) -> Callable[..., Any]:
    """What takes the section data: of a classifier, a detector or a localizer."""
    if "net" in cfg:
        return ClassificationData
    return DetectionData if "resizer" in cfg.get("data", {}) else LocalizationData


def _settings(node: Any, section: Callable[..., Any] | None = None) -> list[str]:
    """What can be set below a node: its own values, and all arguments of its type or of its section."""
    if not isinstance(node, Config | ConfigDict):
        return []
    own = [k for k, v in node.items() if isinstance(v, dict | list | tuple | str | int | float | None)]
    taker = _resolve(node["type"]) if "type" in node else section
    if taker is None:
        return own
    return own + [a for a in inspect.signature(taker).parameters if a not in own]
