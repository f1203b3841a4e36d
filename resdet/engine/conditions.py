"""What the bits of a training depend on besides its config; recorded in every checkpoint and compared on a resume.

Refused: another seed, other classes, and the same training images in another order, with which the recorded draws would
mean other images. Named in a warning: other training images, other start weights, another number of threads or
processes, another device or precision.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from resdet.engine.checkpoint import LAST
from resdet.engine.distributed import get_world_size
from resdet.engine.run import Run, first_difference
from resdet.errors import UserError

logger = logging.getLogger("resdet")

TITLES = {"threads": "CPU threads", "processes": "processes", "device": "the device", "precision": "the precision"}


def conditions_of(run: Run) -> dict[str, Any]:
    """The conditions of a run in this process, as plain data."""
    return {
        "threads": torch.get_num_threads(),
        "processes": get_world_size(),
        "device": run.device.type,
        "precision": run.precision,
        "init_from": _weights(run),
    }


def images_record(image_ids: Iterable[str]) -> dict[str, Any]:
    """Number of images, SHA-256 of their ids in this order, and of the sorted ids."""
    ids = list(image_ids)
    return {"number": len(ids), "in_order": _digest(ids), "sorted": _digest(sorted(ids))}


def check_conditions(state: Mapping[str, Any], metadata: Mapping[str, Any], run: Run) -> None:
    """Compare a checkpoint with the training that is to go on from it, as far as both record it.

    Args:
        state: the checkpoint.
        metadata: of the training, with the names of `metadata_of` and "conditions".
        run: seed and folder of the training.

    Raises:
        UserError: another seed, other classes, or the same images in another order.
    """
    if state.get("seed", run.seed) != run.seed:
        raise UserError(f"--seed {run.seed}: the run to resume has --seed {state['seed']}; give that one")
    anew = f"start anew from its weights with --init-from {run.work_dir / LAST} and another --work-dir"
    theirs, ours = state.get("classes", ()), metadata.get("classes", ())
    if theirs and ours and list(theirs) != list(ours):
        raise UserError(
            f"the run to resume was trained on other classes than data.train has ({first_difference(theirs, ours)}): "
            f"give the same list in the same order, or {anew}"
        )
    _check_images(state.get("images"), metadata.get("images"), anew)
    _warn_of_changes(state.get("conditions", {}), metadata.get("conditions", {}))


def _check_images(before: Mapping[str, Any] | None, now: Mapping[str, Any] | None, anew: str) -> None:
    if not before or not now or before["in_order"] == now["in_order"]:
        return
    if before["sorted"] == now["sorted"]:
        raise UserError(
            f"the {now['number']} training images are those of the run to resume, but in another order, so that it "
            f"would draw some twice and others never: restore the order, or {anew}"
        )
    logger.warning(
        "the training images have changed: they were %d and are %d now; the run goes on with these",
        *(before["number"], now["number"]),
    )


def _warn_of_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for name, title in TITLES.items():
        if before.get(name, now.get(name)) != now.get(name):
            text = "%s changed from %s to %s: the results are no longer the same to the bit as without the interruption"
            logger.warning(text, title, before[name], now[name])
    theirs, ours = before.get("init_from"), now.get("init_from")
    if theirs and ours and (theirs["sha256"] or theirs["name"]) != (ours["sha256"] or ours["name"]):
        text = "--init-from changed from %s to %s; what is resumed goes on from its checkpoint, not from these weights"
        logger.warning(text, *(_name(weights) for weights in (theirs, ours)))


def _weights(run: Run) -> dict[str, str] | None:
    """Name and SHA-256 of the weights to start from; None if they are of this run's own folder, which it changes."""
    path = Path(run.init_from or "")
    if not run.init_from or not path.is_file():
        return {"name": run.init_from or "", "sha256": ""}
    if (run.whole or run.work_dir).resolve() in path.resolve().parents:
        return None
    with path.open("rb") as file:
        return {"name": str(path), "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _name(weights: Mapping[str, str]) -> str:
    name = weights["name"] or "none"
    return f"{name} ({weights['sha256'][:8]})" if weights["sha256"] else name


def _digest(words: list[str]) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()
