"""What a row needs on this machine: its data sets, weights and further files, and whether they are there.

for need in needs_of(find_row("table7-voc07_r101")):
    print(need.name, need.there)                     # data/VOCdevkit/VOC2007 True ...
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

from resdet.engine.config import read_config
from resdet.paper.rows import Row, commands_of, words_of


@dataclass(frozen=True)
class Need:
    """A folder or file that a row reads.

    Args:
        name: its path, or the name of weights that are downloaded.
        there: whether it is there; None for weights that are given by name.
    """

    name: str
    there: bool | None


def needs_of(row: Row) -> list[Need]:
    """The data sets, start weights and files of all configs of a row's commands; none twice, no results of commands."""
    found: dict[str, bool | None] = {}
    for config in configs_of(row):
        cfg = read_config(config)
        for part in ("train", "test"):
            found |= {name: Path(name).is_dir() for name in _folders(cfg.get("data", {}).get(part) or {})}
        source = cfg.get("init_from")
        if source and not str(source).startswith("runs/"):
            found[str(source)] = _weights_there(str(source))
    found |= {name: Path(name).is_file() for name in row.files}
    return [Need(name, there) for name, there in found.items()]


def configs_of(row: Row) -> list[str]:
    """The names of the configs in a row's commands, in their order."""
    found = []
    for command in commands_of(row):
        name, *words = words_of(command)
        if name.startswith(("train-", "eval-")):
            found.append(words[0])
        found += [after for word, after in pairwise(words) if word in ("--net", "--classifier-net")]
    return list(dict.fromkeys([*found, row.config]))


def _folders(node: Mapping[str, Any]) -> Iterator[str]:
    """The folders of a data set: of VOC each year's, of COCO each split's, else the root."""
    if "dataset" in node:
        yield from _folders(node["dataset"])
        return
    root = node.get("root")
    if root is None:
        return
    if "Cifar10" in str(dict.get(cast(dict[str, Any], node), "type")):  # the dict's own `get` does not import the class
        yield f"{root}/cifar-10-batches-bin"
        return
    for split in node.get("splits", ()):
        name = split if isinstance(split, str) else split[0]
        yield f"{root}/VOC{name}" if name[:1].isdigit() else f"{root}/{name}"
    if not node.get("splits"):
        yield str(root)


def _weights_there(source: str) -> bool | None:
    """None for the name of weights, which has no folder, or a scheme."""
    if "://" in source or str(Path(source).parent) == ".":
        return None
    return Path(source).is_file()
