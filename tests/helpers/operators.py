"""Counts the operators of a computation that are kernels on a GPU, and the bytes that they read and write.

Operators that only make a view or memory are none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

NO_KERNEL = {
    "alias", "as_strided", "detach", "empty", "empty_like", "empty_strided", "expand", "lift_fresh", "new_empty",
    "new_empty_strided", "permute", "_reshape_alias", "resize_", "select", "slice", "split", "split_with_sizes",
    "squeeze", "t", "transpose", "unbind", "unfold", "_unsafe_view", "unsqueeze", "view",
}  # fmt: skip


class Work(NamedTuple):
    """What a computation asks of a GPU, by operator."""

    kernels: Counter[str]  # how often each operator runs
    bytes: Counter[str]  # of the tensors that it reads and writes


class CountedOperators(TorchDispatchMode):
    """A context; `work` is that of the operators that ran in it, without those in NO_KERNEL."""

    def __init__(self) -> None:
        super().__init__()
        self.work = Work(Counter(), Counter())

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func._schema.name.split("::")[-1]
        if name not in NO_KERNEL:
            self.work.kernels[name] += 1
            tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor)]
            self.work.bytes[name] += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        return result


def work_of(compute: Callable[[], object]) -> Work:
    """The work of `compute()`, which runs once before it is counted, as caches are filled then."""
    compute()
    with CountedOperators() as counted:
        compute()
    return counted.work
