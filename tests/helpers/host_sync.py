"""Count the operators for which a program would wait for the GPU."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

WAITS = {
    "_local_scalar_dense", "nonzero", "nonzero_static", "masked_select", "equal", "bincount", "histc",
    "unique_consecutive", "_unique2", "unique_dim", "repeat_interleave", "nms", "lift_fresh",
}  # fmt: skip


class HostSyncs(TorchDispatchMode):
    """Counts operators that copy to the host, take a shape from data, or make a tensor from Python numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in WAITS or (name in ("index", "index_put", "index_put_") and _by_mask(args[1])):
            self.count[name] += 1
        return func(*args, **(kwargs or {}))


def _by_mask(index: list[Tensor | None]) -> bool:
    return any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in index)
