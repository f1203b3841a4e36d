"""What a row needs on this machine: its data sets, weights and further files, and whether they are there.

needs = needs_of(find_row("table7-voc07_r101"))
print("\n".join(need.line for need in needs))           # data/VOCdevkit/VOC2007 (there) ...
refuse_missing(needs, "table7-voc07_r101")
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

from resdet.engine.config import read_config
from resdet.errors import UserError
from resdet.paper.rows import Row, commands_of, words_of


@dataclass(frozen=True)
class Need:
    """A folder or file that a row reads.

    Args:
        name: its path, or the name of weights that a project publishes.
        there: whether it is there, or was downloaded.
        published: the name under which it can be downloaded; empty if it cannot.
    """

    name: str
    there: bool
    published: str = ""

    @property
    def missing(self) -> bool:
        """Whether it is not there and has to be fetched by hand."""
        return not self.there and not self.published

    @property
    def line(self) -> str:
        """Its name, and where it is or comes from."""
        if self.there:
            return f"{self.name} (there)"
        if self.missing:
            return f"{self.name} (missing: data/README.md says where it is from)"
        if self.published == self.name:
            return f"{self.name} (will be downloaded)"
        return f"{self.name} (not there: --init-from {self.published} downloads it)"


def refuse_missing(needs: Sequence[Need], row: str, folder: Path = Path()) -> None:
    """Print what a row needs, and refuse to run it where something is missing.

    Args:
        needs: of the row (`needs_of`).
        row: its name.
        folder: that its commands are run in.

    Raises:
        UserError: something is not there and cannot be downloaded.
    """
    missing = [need for need in needs if need.missing]
    if not missing:
        return
    print("\n".join(f"  needs     {need.line}" for need in needs), flush=True)
    raise UserError(
        f"{row} was not started: {len(missing)} of the {len(needs)} folders and files that it needs are missing, first "
        f"{folder / missing[0].name}"
    )


def needs_of(row: Row, folder: Path = Path()) -> list[Need]:
    """The data sets, start weights and files of all configs of a row's commands; none twice, no results of commands.

    Args:
        row: whose commands.
        folder: that they are run in; paths are relative to it.
    """
    found: dict[str, Need] = {}
    for config in configs_of(row):
        cfg = read_config(config)
        for part in ("train", "test"):
            names = _folders(cfg.get("data", {}).get(part) or {})
            found |= {name: Need(name, _is_filled(folder / name)) for name in names}
        source = str(cfg.get("init_from") or "")
        if source and not source.startswith("runs/") and source not in found:
            found[source] = start_weights(source, folder)
    found |= {name: Need(name, (folder / name).is_file()) for name in row.files}
    return list(found.values())


def start_weights(source: str, folder: Path = Path()) -> Need:
    """The weights of a config's `init_from`, by their path in `folder` or by their published name."""
    if (folder / source).is_file():
        return Need(source, True)
    from resdet.weights.zoo import downloaded, published_name  # imports torch

    return Need(source, downloaded(source), published_name(source))


def configs_of(row: Row) -> list[str]:
    """The names of the configs in a row's commands, in their order."""
    found = []
    for command in commands_of(row):
        name, *words = words_of(command)
        if name.startswith(("train-", "eval-")):
            found.append(words[0])
        found += [after for word, after in pairwise(words) if word in ("--net", "--classifier-net")]
    return list(dict.fromkeys([*found, row.config]))


def _is_filled(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


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
