"""Values of a config that a training finds by itself before its first step: `--auto-lr`, `--auto-images`.

found = find_values(cfg, run, Automatic(lr=True), trial_of)
loop = begin(...)                                            # with found.cfg, the config of the run
found.write(run)

A run that goes on keeps what it found. Everything else is as if the values had been given by --cfg-options.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resdet.engine.batch_fit import images_that_fit
from resdet.engine.checkpoint import LAST, PREVIOUS
from resdet.engine.config import Config
from resdet.engine.distributed import is_main_process
from resdet.engine.kept_config import kept_config
from resdet.engine.range_test import HIGHEST, LOWEST, STEPS, RangeTest, range_test
from resdet.engine.run import Run
from resdet.engine.run_folder import on_main
from resdet.engine.trial import Trial
from resdet.errors import UserError
from resdet.recipes.sections import resolve
from resdet.report.plots import save_plot
from resdet.report.range_plot import range_plot
from resdet.whole_files import write_whole_file

LR, IMAGES = "optimizer.lr", "data.images"
JSON, PLOT = "lr_range.json", "lr_range.svg"

logger = logging.getLogger("resdet")


@dataclass(frozen=True)
class Automatic:
    """Which values a training finds by itself.

    Args:
        lr: `optimizer.lr`, by a range test (engine/range_test.py).
        images: `data.images`, the largest number whose steps fit into memory (engine/batch_fit.py).
    """

    lr: bool = False
    images: bool = False

    @property
    def keys(self) -> list[str]:
        """The keys of these values in a config, in the order in which they are found."""
        return [IMAGES] * self.images + [LR] * self.lr


AS_CONFIGURED = Automatic()


@dataclass(frozen=True)
class FoundValues:
    """The config of a training with the values that it has found, and how the rate was found.

    Args:
        cfg: the config.
        test: the range test; None: there was none.
        lr: `optimizer.lr` before.
    """

    cfg: Config
    test: RangeTest | None = None
    lr: float = 0.0

    def write(self, run: Run) -> None:
        """Write the range test to the folder of the run, which has begun: an older run's files are set aside."""
        if self.test is None or not is_main_process():
            return
        test, found = self.test, float(self.cfg.optimizer.lr)
        curve = {"lr": test.lrs, "loss": test.losses, "smoothed": test.smoothed.tolist()}
        content = {"suggestion": found, "config": self.lr, "images": self.cfg.data.images, **curve}
        write_whole_file(run.work_dir / JSON, json.dumps(content, indent=1).encode())
        save_plot(range_plot(test.lrs, test.losses, test.smoothed, found, self.lr), run.work_dir / PLOT)


def find_values(
    cfg: Config, run: Run, wanted: Automatic, trial_of: Callable[[Config], Trial[Any]], fixed: bool = False
) -> FoundValues:
    """Find the values that are wanted; first the number of images, then the rate for it.

    Args:
        cfg: the resolved config.
        run: of the training, which has not begun. With a checkpoint to resume, the values are those of its config.
        wanted: which values.
        trial_of: the training that a config describes.
        fixed: whether all training batches have the same few sizes.

    Returns:
        The config with these values; `cfg` itself if nothing is wanted. Nothing is written, so that an older run in the
        folder keeps its place until the training begins.

    Raises:
        UserError: no value was found, or --auto-images is to measure a compiled net.
    """
    if not wanted.keys:
        return FoundValues(cfg)
    kept = on_main(lambda: _kept(cfg, run, wanted))
    if kept is not None:
        logger.info("found when the run began: %s", ", ".join(f"{key}={value}" for key, value in kept.items()))
        return FoundValues(resolve(cfg, kept))
    if wanted.images and run.compile is not None:
        raise UserError("--auto-images measures the net as it is, and --compile changes its memory: give data.images")
    if wanted.images:
        cfg = _with_images(cfg, run, trial_of(cfg), fixed)
    return _with_lr(cfg, run, trial_of(cfg)) if wanted.lr else FoundValues(cfg)


def _kept(cfg: Config, run: Run, wanted: Automatic) -> dict[str, Any] | None:
    """The values of the checkpoint to resume; None: there is none. One that cannot be read is refused later."""
    if run.resume is None:
        return None
    names = [run.work_dir / LAST, run.work_dir / PREVIOUS] if run.resume == "auto" else [Path(run.resume)]
    if run.resume == "auto" and not any(path.is_file() for path in names):
        return None
    configs = (kept_config(path, beside=cfg) for path in names)
    kept = next((own for own in configs if own is not None), cfg)
    return {key: _value(kept, key) for key in wanted.keys}


def _with_images(cfg: Config, run: Run, trial: Trial[Any], fixed: bool) -> Config:
    fit = images_that_fit(trial, run, fixed)
    accumulate, before = trial.plan.loop.accumulate, cfg.data.images
    images = fit.images * accumulate
    text = "--auto-images: data.images=%d (the config: %d); its steps take %.1f of %.1f GiB that may be used"
    logger.info(text, images, before, fit.gib, fit.limit)
    if fit.images >= trial.length // accumulate:
        logger.warning("--auto-images: a step has all %d images of the training set; fewer may learn more", images)
    if images != before and trial.plan.schedule.for_images(images).steps == trial.plan.schedule.steps:
        text = "--auto-images: the schedule keeps its %d steps, which see %.3g times as many images as with %d"
        logger.warning(text, trial.plan.schedule.steps, images / before, before)
    return resolve(cfg, {IMAGES: images})


def _with_lr(cfg: Config, run: Run, trial: Trial[Any]) -> FoundValues:
    test, before = range_test(trial, run), float(cfg.optimizer.lr)
    found = test.suggestion
    if found is None:
        raise UserError(
            f"--auto-lr: the loss did not fall at any rate from {LOWEST:g} to {HIGHEST:g}; set optimizer.lr (in "
            f"{STEPS} steps a net learns little from random weights, or from weights trained for these data already)"
        )
    logger.info(
        "--auto-lr: %s=%g (the config: %g), a fifth of where the loss begins to rise; see %s", LR, found, before, PLOT
    )
    return FoundValues(resolve(cfg, {LR: found}), test, before)


def _value(cfg: Config, key: str) -> Any:
    section, _, name = key.partition(".")
    return cfg[section][name]
