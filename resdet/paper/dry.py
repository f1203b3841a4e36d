"""A row's commands for a dry run: the same words, with small configs on generated data in place of the paper's.

    commands = dry_commands(find_row("table7-voc07_r101"), Path("dry"))
    run_commands(commands, Path("dry"))

The trainings are real ones of a few steps, and the tests read their checkpoints: what a row's commands hand on to each
other is tried too. --cfg-options are set before a config is made small, and so are the files that its test set needs.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from resdet.dry_run.files import generate
from resdet.dry_run.shrink import make_small
from resdet.engine.config_text import config_text
from resdet.paper.rows import Row, commands_of, words_of
from resdet.paper.running import Command, images_of
from resdet.recipes.sections import load_config, resolve

CONFIG_OPTIONS = ("--net", "--classifier", "--classifier-net", "--rcnn-net")  # a config follows
DOWNLOADED = {"VGG16_Weights.IMAGENET1K_V1": "imagenet_vgg16"}  # weights by name, and the config of their net
OPTIONS = "--cfg-options"
ON_CPU = ["--device", "cpu", "--precision", "fp32"]
CLASSES = 1000  # of CLS-LOC


def dry_commands(row: Row, folder: Path, processes: int = 1) -> list[Command]:
    """Write small configs and the files that they need, and return the commands to run in `folder`.

    Args:
        row: whose commands.
        folder: becomes the working directory; results go to `folder`/runs.
        processes: of each training and test.
    """
    small = _SmallConfigs(folder.resolve(), processes)
    _write_files(row, folder)
    commands = []
    for text in _with_trainings(commands_of(row)):
        words = words_of(text)
        if words[0] == "split-det":
            _generate_det(folder)
        commands.append(Command(text, small.replaced(words)))
    return commands


class _SmallConfigs:
    """Small configs by name and options; each has data of its own."""

    def __init__(self, folder: Path, processes: int) -> None:
        self.folder, self.processes = folder / "small", processes
        self.made: dict[tuple[str, ...], str] = {}

    def replaced(self, words: Sequence[str]) -> list[str]:
        """A command's words with the small configs' paths for the configs' names, and without their options."""
        if not words[0].startswith(("train-", "eval-", "responses")):
            return list(words)
        kept, options = _split_options(words)
        named = [i for i, word in enumerate(kept) if _is_config(kept, i)]
        for i in named:
            kept[i] = self.path(kept[i], options if i == 1 else [])
        kept = [_trained_here(word) for word in kept]
        return [*kept, *ON_CPU]

    def path(self, name: str, options: Sequence[str] = ()) -> str:
        """The file of a small config."""
        key = (name, *options)
        if key not in self.made:
            number = len(self.made)
            self.made[key] = str(self.folder / str(number) / f"{name}.py")
            self._write(name, options, self.folder / str(number))
        return self.made[key]

    def _write(self, name: str, options: Sequence[str], folder: Path) -> None:
        cfg = make_small(load_config(name, values_of(options)), folder / "data")
        sizes = {key: images * self.processes for key, images in images_of(cfg).items()}
        if self.processes > 1 and cfg.get("precise_bn"):
            sizes["precise_bn.images"] = 0  # as shrink.py does with several processes
        cfg = resolve(cfg, sizes)
        if cfg.get("classifier"):
            cfg.classifier.nets = [(self.path(own), weights) for own, weights in cfg.classifier.nets]
        (folder / f"{name}.py").write_text(config_text(cfg), encoding="utf-8")


def values_of(options: Sequence[str]) -> dict[str, Any]:
    """The values of --cfg-options in a row's command: Python literals, or else strings."""
    found: dict[str, Any] = {}
    for option in options:
        key, _, text = option.partition("=")
        try:
            found[key] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            found[key] = text
    return found


def _split_options(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words without --cfg-options, and its values: rows have them last."""
    kept = list(words)
    if OPTIONS not in kept:
        return kept, []
    first = kept.index(OPTIONS)
    return kept[:first], kept[first + 1 :]


def _is_config(words: Sequence[str], index: int) -> bool:
    after_option = words[index - 1] in CONFIG_OPTIONS and not words[index].startswith("-")
    return after_option or (index == 1 and not words[1].startswith("-"))


def _trained_here(word: str) -> str:
    """The checkpoint that takes the place of weights that would be downloaded."""
    return f"runs/{DOWNLOADED[word]}/last.pth" if word in DOWNLOADED else word


def _with_trainings(commands: Sequence[str]) -> list[str]:
    """The commands, after trainings of the nets whose weights would be downloaded."""
    named = {word for command in commands for word in words_of(command) if word in DOWNLOADED}
    return [*(f"resdet train-cls {DOWNLOADED[word]}" for word in sorted(named)), *commands]


def _write_files(row: Row, folder: Path) -> None:
    """The development kit's files that a row's commands read, for the generated images."""
    for name in row.files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        numbers = name.endswith("map_clsloc.txt")
        path.write_text("".join(f"n{k:08} {k} class_{k}\n" for k in range(1, CLASSES + 1)) if numbers else "1\n")


def _generate_det(folder: Path) -> None:
    """ImageNet DET below data/imagenet, with the list val that split-det reads."""
    cfg = load_config("det_r101", {"data.train.image_sets": ["train"], "data.test.image_sets": ["val"]})
    generate(cfg, folder / "data")
