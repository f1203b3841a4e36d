"""The tables of `resdet benchmark`, one after the other, while nothing else runs."""

from __future__ import annotations

from functools import partial

from resdet.device_check.check import Found, Setting, Skipped

TABLES: dict[str, tuple[object, ...]] = {
    "voc07_r50, inference": ("voc07_r50", "--against", "torchvision"),
    "voc07_r50, training": (
        "voc07_r50", "--against", "torchvision", "--mode", "train", "--images", 2, "--proposals", 64
    ),
    "imagenet_r50, training": ("imagenet_r50", "--images", 64),
    "cifar10_r20, training": ("cifar10_r20",),
}  # fmt: skip


def check_speed(setting: Setting, found: Found) -> None:
    """Run the benchmarks; their tables go into the report."""
    if not setting.on_gpu:
        raise Skipped("the benchmarks take minutes on a CPU; 'resdet benchmark' runs them one by one")
    for name, words in TABLES.items():
        found.try_part(name, partial(_table, setting, found, name, words))


def _table(setting: Setting, found: Found, name: str, words: tuple[object, ...]) -> None:
    log = "benchmark_" + "".join(c if c.isalnum() else "_" for c in name)
    done = setting.commands.run(log, "benchmark", *words)
    found.texts[f"resdet benchmark {' '.join(map(str, words))}"] = done.output.partition("\n")[2]
    found.figures[name] = f"{done.seconds:.0f} s"
