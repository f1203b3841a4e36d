"""Records of what a pickle asks Python to import or to call. Nothing is imported or called."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from typing import Any

# What no weights file has a use for: a file that asks for it is refused, although it would not be called.
_CODE_RUNNERS = frozenset(
    {
        "os", "posix", "nt", "subprocess", "sys", "shutil", "socket", "importlib", "runpy", "pty", "ctypes", "code",
        "codeop", "webbrowser", "io", "_io", "pickle", "_pickle", "shlex", "signal", "multiprocessing", "threading",
        "asyncio", "tempfile", "platform", "pip", "ensurepip", "pdb", "bdb", "timeit", "trace", "commands",
        "builtins.eval", "builtins.exec", "builtins.compile", "builtins.__import__", "builtins.open",
        "builtins.input", "builtins.breakpoint", "builtins.globals", "builtins.locals", "builtins.vars",
        "builtins.execfile", "builtins.delattr", "builtins.setattr",
        "numpy.load", "numpy.fromfile", "numpy.core.multiarray.fromfile", "torch.load", "torch.hub", "torch.jit",
    }
)  # fmt: skip
_RENAMED = {"__builtin__": "builtins", "copy_reg": "copyreg"}  # Python 2's modules


@dataclass(eq=False, slots=True)
class Foreign:
    """An object that a pickle asks Python to import, or to make by a call."""

    name: str  # module and name: "argparse.Namespace"
    args: tuple[Any, ...] | None = None  # of the call; None: the name itself
    state: Any = None  # what would be given to __setstate__
    items: dict[Any, Any] = field(default_factory=dict)  # of a subclass of dict


def imported(module: str, name: str) -> Foreign:
    """The record of an import.

    Raises:
        pickle.UnpicklingError: of what runs code.
    """
    full = f"{_RENAMED.get(module, module)}.{name}".replace("numpy._core", "numpy.core")  # numpy 2 renamed it
    parts = full.split(".")
    if any(".".join(parts[:end]) in _CODE_RUNNERS for end in range(1, len(parts) + 1)):
        raise pickle.UnpicklingError(f"it asks for {full}")
    return Foreign(full)


def class_name(value: object) -> str:
    """What a value from a pickle is, for messages: "argparse.Namespace", "dict"."""
    return value.name if isinstance(value, Foreign) else type(value).__name__
