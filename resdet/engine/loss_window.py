"""The losses since the last line of the log."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from resdet.engine.distributed import gather_objects
from resdet.errors import UserError


class Mark(NamedTuple):
    """A place in a window, which `LossWindow.cut` goes back to."""

    values: int
    image_ids: int
    steps: int


class LossWindow:
    """Losses and image ids of every pass since the last line of the log, and the time that they took.

    The values stay on the device, so that adding one does not wait for it; `read` copies them all at once. That is
    where a loss that is not finite is found.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.restart()

    def restart(self) -> None:
        """Forget all values, and start the clock."""
        self.values: list[Tensor] = []
        self.begin()

    def begin(self) -> None:
        """Start the clock and count images and steps from now on; values that `restore` brought are kept."""
        self.image_ids: list[list[str]] = []
        self.steps = 0
        self.started = time.perf_counter()

    def add(self, values: Mapping[str, Tensor], total: Tensor, image_ids: list[str]) -> None:
        """Add one pass, without a copy to the host.

        Args:
            values: scalars by name, the same names at each pass.
            total: the scalar that was minimized.
            image_ids: of the batch, to name them if its loss is not finite.
        """
        self.names = ["loss", *values]
        self.values.append(torch.stack([total, *(v.detach().float() for v in values.values())]))
        self.image_ids.append(image_ids)

    def read(self, restart: bool = True) -> tuple[dict[str, float], float, float]:
        """Summarize the window, and restart it or let it go on.

        Returns:
            Means by name over the passes and processes, images per second of this process, seconds per step.

        Raises:
            UserError: a loss of this or another process is not finite.
        """
        mean = self._collect().mean(0)
        seconds = time.perf_counter() - self.started
        images_per_second = sum(map(len, self.image_ids)) / seconds
        seconds_per_step = seconds / max(1, self.steps)
        if restart:
            self.restart()
        return dict(zip(self.names, mean.tolist(), strict=True)), images_per_second, seconds_per_step

    def state(self) -> dict[str, Any]:
        """What a checkpoint in the middle of a window needs for `restore`; empty if nothing was added."""
        return {"names": self.names, "values": self._collect()} if self.values else {}

    def own_state(self) -> dict[str, Any] | None:
        """Like `state`, but of this process alone, without an exchange; None if a loss is not finite."""
        table = [value.detach().cpu() for value in self.values]
        if not all(bool(row.isfinite().all()) for row in table):
            return None
        return {"names": self.names, "values": torch.stack(table)} if table else {}

    def mark(self) -> Mark:
        """The end of the window as it is now."""
        return Mark(len(self.values), len(self.image_ids), self.steps)

    def cut(self, mark: Mark) -> None:
        """Forget what was added after `mark`."""
        del self.values[mark.values :], self.image_ids[mark.image_ids :]
        self.steps = mark.steps

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on in the middle of a window, from `state`."""
        self.restart()
        if state:
            self.names, self.values = state["names"], list(state["values"])

    def _collect(self) -> Tensor:
        """The values on the host, averaged over all processes: [passes, names]."""
        device = self.values[-1].device
        table = torch.stack([v.to(device) for v in self.values]).cpu()
        restored = len(table) - len(self.image_ids)  # passes of an earlier run, which was checked when it stopped
        broken = (~table.isfinite().all(1)).nonzero().flatten().tolist()
        # All processes stop if one has a NaN: the gradients that they exchanged contain it already.
        first = [(table[i].tolist(), self.image_ids[i - restored]) for i in broken[:1]]
        everywhere = gather_objects([(table, first)])
        for _, found in everywhere:
            if found:
                self._refuse(*found[0])
        return torch.stack([t for t, _ in everywhere]).mean(0)

    def _refuse(self, row: list[float], image_ids: list[str]) -> None:
        values = ", ".join(f"{k} {v:.3g}" for k, v in zip(self.names, row, strict=True))
        raise UserError(
            f"the loss is not finite ({values}) for images {', '.join(image_ids)}; no checkpoint was overwritten: "
            "lower optimizer.lr, add loop.clip or schedule.warmup, or check these images with inspect_data"
        )
