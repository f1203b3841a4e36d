"""torch.compile for the convolutional parts of a net, while a `with` lasts.

with compiled(model.net, run.compile):
    losses = model(batch)

The net's trunk and head become one graph each, in which the frozen BN, ReLU, additions and paddings between the
convolutions are fused. Proposals, sampling and pooling stay as they are: they are small, and NMS has no fixed size.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch

FORMS = 64  # training or not, with gradients or not, one image or several, padded or not: torch's limit of 8 is too low


class Net(Protocol):
    """A net of resdet/nets."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Its methods that are worth a compilation."""
        ...


@contextmanager
def compiled(net: Net, mode: str | None = "default", **options: Any) -> Iterator[None]:
    """Compile a net's `parts`, trunk and head, for this block of code; the weights stay the net's own.

    Meant for GPUs. The first step takes up to some minutes; so do the first images of another size, unless `dynamic`.

    Args:
        net: computes as before afterwards.
        mode: torch.compile's: "reduce-overhead" replays CUDA graphs; None changes nothing.
        options: of torch.compile.
    """
    if mode is None:
        yield
        return
    for name in net.parts:
        setattr(net, name, torch.compile(getattr(net, name), mode=mode, **options))
    try:
        with torch._dynamo.config.patch(recompile_limit=FORMS):
            yield
    finally:
        for name in net.parts:
            delattr(net, name)
