"""Test a checkpoint with the net and preprocessing that it was trained with, unless the user says otherwise.

nets = trained_nets(load_config("voc07_r101"), [Path("runs/voc07_r101/last.pth")], {"model.head.nms_iou": 0.5})

Model and preprocessing follow the checkpoint; the test set, Appendix B's improvements and the rule of AP follow the
config. Options that the user gives for this test override both. Every difference is logged.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resdet.engine.config import Config, plain
from resdet.engine.config_text import changes, leaves
from resdet.engine.kept_config import is_checkpoint, kept_config
from resdet.engine.onnx_facts import is_onnx
from resdet.errors import UserError
from resdet.recipes.sections import load_config, resolve, task_of
from resdet.weights.hub import local_file

# What follows the checkpoint, by task.
FOLLOWS = {
    "detector": ("model", "data.resizer"),
    "classifier": ("net", "data.train_view", "data.test_view"),
    "localizer": ("model", "data.train_view", "data.test_view", "rcnn.net", "rcnn.settings", "rcnn.augment"),
}
_NAMED = 5  # differences that are written out

logger = logging.getLogger("resdet")


def trained_nets(
    cfg: Config, checkpoints: Sequence[str | Path], options: Mapping[str, Any] | None = None
) -> list[tuple[Config, Path]]:
    """Pair checkpoints with the configs to test them with.

    Args:
        cfg: the config of the test.
        checkpoints: one net's, or an ensemble's.
        options: values that the user has set for this test; `cfg` has them already (`load_config`).

    Raises:
        UserError: a checkpoint does not exist, or has another number of classes than `cfg`.
    """
    nets = [(as_trained(cfg, path, options), Path(path)) for path in map(local_file, checkpoints)]
    first = leaves(_followed(nets[0][0], only="data")) if nets else {}
    for own, path in nets[1:]:
        found = [f"{c.path} was {c.now}" for c in changes(first, leaves(_followed(own, only="data")))]
        if found:
            logger.warning("%s is tested with the images of %s; in its training %s", path, nets[0][1], _some(found))
    return nets


def trained_net(
    checkpoint: str | Path, config: str | Path | None = None, options: Mapping[str, Any] | None = None
) -> tuple[Config, Path]:
    """One checkpoint and the config to test it with.

    Args:
        checkpoint: whose weights are used.
        config: gives what does not follow the checkpoint; a file, the name of one that comes with resdet, or another
            checkpoint. None: the config that `checkpoint` keeps.
        options: values that the user has set.

    Raises:
        UserError: as `trained_nets`, or `checkpoint` keeps no config and none is given.
    """
    cfg = load_config(checkpoint if config is None else config, options)
    return trained_nets(cfg, [checkpoint], options)[0]


def given_nets(
    config: str | Path | Config, checkpoint: str | Path | Sequence[str | Path], options: Mapping[str, Any] | None = None
) -> list[tuple[Config, Path]]:
    """The nets for a call from Python: of a checkpoint alone, or of a config and checkpoints.

    Args:
        config: a checkpoint, which keeps its config; or a config, its file, or the name of one that comes with resdet.
        checkpoint: one or more files; beside a checkpoint in the place of `config`, further ones of an ensemble.
        options: values that the user has set.

    Returns:
        A config and the path of each checkpoint (`trained_nets`).

    Raises:
        UserError: a file does not exist, or keeps no config and none is given.
    """
    cfg = resolve(config, options) if isinstance(config, Config) else load_config(config, options)
    files = [checkpoint] if isinstance(checkpoint, str | Path) else list(checkpoint)
    if isinstance(config, str | Path) and is_checkpoint(config):
        files.insert(0, config)
    return trained_nets(cfg, files, options)


def as_trained(cfg: Config, checkpoint: str | Path, options: Mapping[str, Any] | None = None) -> Config:
    """A config with the model and the preprocessing that a checkpoint was trained with.

    Args:
        cfg: gives everything else, and all of it for weights of other projects and checkpoints without a config.
        checkpoint: the file.
        options: values that the user has set for this test; they override the checkpoint's.

    Returns:
        A new config; `filename` is that of `cfg`.

    Raises:
        UserError: there is no such file, it has another number of classes than `cfg`, or it is an .onnx file, whose
            model no option can change.
    """
    _refuse_model_options(checkpoint, options or {})
    kept = kept_config(checkpoint, beside=cfg)
    if kept is None or task_of(kept) != task_of(cfg):
        return cfg
    kept = resolve(kept)
    _refuse_other_classes(cfg, kept, checkpoint)
    sections, theirs = plain(cfg), plain(kept)
    for key in FOLLOWS[task_of(cfg)]:
        _copy(key, theirs, sections)
    keys = {k: v for k, v in (options or {}).items() if _follows(k, task_of(cfg))}
    made = resolve(Config(sections, cfg_text=" ", filename=cfg.filename), keys)
    trained, tested = leaves(_followed(kept)), leaves(_followed(made))
    if told := [f"{c.path} {c.now}, trained with {c.before}" for c in changes(trained, tested)]:
        logger.warning("%s is tested as you ask, not as it was trained: %s", checkpoint, _some(told))
    other = [
        c for c in changes(leaves(_followed(cfg)), trained) if not any(f"{c.path}.".startswith(f"{k}.") for k in keys)
    ]
    if silent := [f"{c.path} {c.now}, and not {c.before}" for c in other]:
        logger.warning("%s is tested as it was trained, not as %s says: %s", checkpoint, cfg.filename, _some(silent))
    return made


def _refuse_model_options(checkpoint: str | Path, options: Mapping[str, Any]) -> None:
    key = next((key for key in options if key.partition(".")[0] == "model"), None)
    if key is not None and is_onnx(checkpoint):
        raise UserError(f"--cfg-options {key}: the model is fixed inside {checkpoint}; export it with this option")


def _refuse_other_classes(cfg: Config, kept: Config, checkpoint: str | Path) -> None:
    section = "net" if task_of(cfg) == "classifier" else "model"
    ours, theirs = cfg[section].get("num_classes"), kept[section].get("num_classes")
    if ours != theirs:
        counts = f"{checkpoint} has {theirs} classes, {cfg.filename} has {ours}"
        raise UserError(f"{counts}: give the config that the checkpoint was trained with, or the checkpoint alone")


def _copy(key: str, source: Mapping[str, Any], target: dict[str, Any]) -> None:
    first, _, rest = key.partition(".")
    if not isinstance(source.get(first), Mapping) or not isinstance(target.get(first), dict):
        return
    if not rest:
        target[first] = source[first]
    elif rest in source[first]:
        target[first][rest] = source[first][rest]


def _follows(key: str, task: str) -> bool:
    """Whether an option changes a part that is taken from the checkpoint, or a section around it."""
    return any(f"{key}.".startswith(f"{part}.") or f"{part}.".startswith(f"{key}.") for part in FOLLOWS[task])


def _followed(cfg: Config, only: str = "") -> dict[str, Any]:
    """The parts of a config that are taken from the checkpoint, by path."""
    parts = {}
    for key in FOLLOWS[task_of(cfg)]:
        section, _, name = key.partition(".")
        value = cfg.get(section)
        found = value.get(name) if name and isinstance(value, Mapping) else value
        if key.startswith(only) and found is not None:
            parts[key] = plain(found)
    return parts


def _some(lines: Sequence[str]) -> str:
    more = f" and {len(lines) - _NAMED} more" if len(lines) > _NAMED else ""
    return "; ".join(lines[:_NAMED]) + more
