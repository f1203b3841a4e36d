"""Counts the operators of a computation that are kernels on a GPU: all but those that only make a view or memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

NO_KERNEL = {
    "alias", "as_strided", "detach", "empty", "empty_like", "empty_strided", "expand", "lift_fresh", "new_empty",
    "permute", "_reshape_alias", "resize_", "select", "slice", "split", "split_with_sizes", "squeeze", "t", "transpose",
    "unbind", "unfold", "_unsafe_view", "unsqueeze", "view",
}  # fmt: skip


class CountedOperators(TorchDispatchMode):
    """A context; `count` has how often each operator ran in it, 0 of those in NO_KERNEL."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = func._schema.name.split("::")[-1]
        self.count[name] += name not in NO_KERNEL
        return func(*args, **(kwargs or {}))


def operators(compute: Callable[[], object]) -> Counter[str]:
    """How often each operator runs in `compute()`, which runs once before it is counted, as caches are filled then."""
    compute()
    with CountedOperators() as counted:
        compute()
    return counted.count
