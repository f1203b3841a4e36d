"""What the trainings of a config will run: its nets checked, its plans in words, for --print-config and warnings.

check_nets(cfg)                         # a UserError where a net cannot be built
plans_in_words(cfg)                     # ["training: 1,000 steps of 4 images (scaled from 2,000), rate 0.02, ..."]
milestones_left(path, options)          # ["schedule.steps is 2000 instead of 1000, but schedule.milestones is ..."]
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from resdet.engine.config import Config, build, build_call
from resdet.engine.loop_settings import LoopSettings
from resdet.engine.training import Plan
from resdet.recipes.sections import load_config

STEPS = "schedule.steps"


def check_nets(cfg: Config) -> None:
    """Build the nets that a config describes, without memory for their weights; files and data are not looked at.

    Raises:
        UserError: a setting of theirs cannot be.
    """
    with torch.device("meta"):
        for section in ("model", "net"):
            if cfg.get(section):
                build(cfg[section])


def plans_in_words(cfg: Config) -> list[str]:
    """A line for each training of a config, as its run logs it at the start.

    Args:
        cfg: a resolved config.
    """
    return [f"{name}: {plan.in_words()}" for name, plan in _plans(cfg).items()]


def milestones_left(path: str | Path, options: Mapping[str, Any]) -> list[str]:
    """A warning for each schedule whose steps --cfg-options change without its milestones.

    Args:
        path: of the config, or its name.
        options: values by key, as `load_config` takes them.
    """
    found = []
    for key in options:
        section = key.removesuffix(".steps")
        if not (key == STEPS or key.endswith(f".{STEPS}")) or f"{section}.milestones" in options:
            continue
        before = _node(load_config(path, {k: v for k, v in options.items() if k != key}), section)
        now = _node(load_config(path, options), section)
        if not now.get("milestones") or now["steps"] == before["steps"]:
            continue
        scaled = tuple(round(m * now["steps"] / before["steps"]) for m in now["milestones"])
        found.append(
            f"{key} is {now['steps']} instead of {before['steps']}, but {section}.milestones is still "
            f'{tuple(now["milestones"])}; add "{section}.milestones={scaled}" if they should follow'
        )
    return found


def _plans(cfg: Config) -> dict[str, Plan]:
    """The plans of a config's trainings, by name; without those that it does not describe."""
    settings, optimizer = build_call(LoopSettings, cfg.get("loop") or {}), cfg.get("optimizer")
    if not optimizer:
        return {}
    plans = {}
    for part, node in (cfg.get("alternating") or {}).items():
        own = {**optimizer, "reference_images": node["reference_images"]}
        plans[f"alternating.{part}, twice"] = Plan(node["images"], own, build(node["schedule"]), settings)
    if cfg.get("schedule") and cfg.data.get("images"):
        plans["training"] = Plan(cfg.data.images, optimizer, build(cfg.schedule), settings)
    if rcnn := cfg.get("rcnn"):
        plans["rcnn"] = Plan(rcnn.images, {**optimizer, **rcnn.optimizer}, build(rcnn.schedule), settings)
    return plans


def _node(cfg: Config, path: str) -> Mapping[str, Any]:
    node: Any = cfg
    for part in path.split("."):
        node = node[part]
    return dict(node.items())
