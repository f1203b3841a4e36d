"""torch.compile for the convolutional parts of a net, within a `with` block.

with compiled(model.net, run.compile):
    losses = model(batch)

Trunk and head become one graph each, in which frozen BN, ReLU, additions and paddings are fused. Proposals, sampling
and pooling are not compiled: they take little time, and the output size of NMS depends on the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Protocol

import torch
from torch.utils._pytree import tree_map_only

from resdet.errors import UserError

REPLAYED = ("reduce-overhead", "max-autotune")  # modes with CUDA graphs, whose results the next replay overwrites
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
        part = torch.compile(getattr(net, name), mode=mode, **options)
        setattr(net, name, _keeping_results(part) if mode in REPLAYED else part)
    try:
        with torch._dynamo.config.patch(recompile_limit=RECOMPILE_LIMIT):
            yield
    finally:
        for name in net.parts:
            delattr(net, name)


def check_mode(mode: str | None, accumulate: int) -> None:
    """Check that a training can be compiled in this mode of torch.compile.

    Args:
        mode: None: it is not compiled.
        accumulate: backward passes per step.

    Raises:
        UserError: the replay of one backward pass would overwrite the gradients of the one before.
    """
    if mode in REPLAYED and accumulate > 1:
        raise UserError(
            f"--compile {mode} replays CUDA graphs, which cannot accumulate gradients: set loop.accumulate to 1 "
            f"(it is {accumulate}), or give --compile without a mode"
        )


def begin_batch(mode: str | None) -> None:
    """Tell torch that a training batch begins: replays may overwrite the results of the one before."""
    if mode in REPLAYED:
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]


def _keeping_results(part: Callable[..., Any]) -> Callable[..., Any]:
    """`part` with results that later calls do not overwrite.

    In training, torch keeps them until the next `begin_batch`. At test nothing says where a batch begins, and the
    results of one part are the inputs of the next: they are copied.
    """

    @wraps(part)
    def call(*args: Any, **named: Any) -> Any:
        if torch.is_grad_enabled():
            return part(*args, **named)
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        return tree_map_only(torch.Tensor, torch.clone, part(*args, **named))

    return call
