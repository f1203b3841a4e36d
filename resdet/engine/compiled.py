"""torch.compile for the convolutional parts of a net, within a `with` block.

with compiled(model.net, run.compile):
    losses = model(batch)

Trunk and head become one graph each, in which frozen BN, ReLU, additions and paddings are fused. Proposals, sampling
and pooling are not compiled: they take little time, and the output size of NMS depends on the data.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch

RECOMPILE_LIMIT = 64  # variants of a graph: train or eval, grad or not, batch of one or more, padded or not; torch's: 8


class Compilable(Protocol):
    """What `compiled` needs of a net."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the methods to compile."""
        ...


@contextmanager
def compiled(net: Compilable | None, mode: str | None = "default", **options: Any) -> Iterator[None]:
    """Compile the methods `net.parts` within this block; afterwards the net is as before. Weights are shared.

    Meant for GPUs. The first call takes up to minutes; so does each new image size, unless `dynamic` is True.

    Args:
        net: whose methods are replaced; None: nothing is compiled.
        mode: of torch.compile: "reduce-overhead" replays CUDA graphs; None: do not compile.
        options: further arguments of torch.compile.
    """
    if net is None or mode is None:
        yield
        return
    for name in net.parts:
        setattr(net, name, torch.compile(getattr(net, name), mode=mode, **options))
    try:
        with torch._dynamo.config.patch(recompile_limit=RECOMPILE_LIMIT):
            yield
    finally:
        for name in net.parts:
            delattr(net, name)
