"""The stack machine of pickle, with records in place of imports and calls (weights/unpickle.py)."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

from resdet.weights.foreign import Foreign, imported

_DICTS = {"builtins.dict", "collections.OrderedDict", "collections.defaultdict", "collections.Counter"}


class Machine:
    """A stack on which the operations of a pickle build its content.

    Args:
        size: bytes of the pickle at most.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []  # the stacks below each MARK
        self.memo: dict[int, Any] = {}
        self.identifiers: list[Any] = []  # persistent ids
        self.copied = 0  # entries of dicts that were made from lists of pairs

    def execute(self, operation: str, arg: Any) -> None:
        """Carry out an operation, by its name in `pickletools`, with the argument in the file."""
        if operation in _CONSTANTS:
            self.stack.append(arg)
        else:
            _OPERATIONS[operation](self, arg)

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def mark(self) -> None:
        """Begin a new stack above the present one."""
        self.marks.append(self.stack)
        self.stack = []

    def above_mark(self) -> list[Any]:
        """Take the values above the last mark, and the mark."""
        items, self.stack = self.stack, self.marks.pop()
        return items

    def call(self, function: Any, args: Any) -> None:
        """Push the record of a call; plain dicts are made."""
        if not isinstance(function, Foreign) or not isinstance(args, tuple):
            raise pickle.UnpicklingError("it calls what is not a function")
        if function.name not in _DICTS or function.args is not None:
            self.push(Foreign(function.name, args))
            return
        pairs = next((arg for arg in args if isinstance(arg, list | dict)), [])
        self.copied += len(pairs)
        if self.copied > self.size:
            raise ValueError("holds more entries than bytes")
        self.push({})
        self.set_items(list(pairs.items()) if isinstance(pairs, dict) else pairs)

    def build(self, state: Any) -> None:
        """Give the object on the stack its state; a dict's attributes, a state dict's versions, are not used."""
        if isinstance(self.stack[-1], Foreign):
            self.stack[-1].state = state

    def set_items(self, pairs: list[Any]) -> None:
        """Set entries of the dict on the stack."""
        target = self.stack[-1]
        items = target.items if isinstance(target, Foreign) else target
        for key, value in pairs:
            if isinstance(key, tuple) and any(isinstance(part, tuple) for part in key):
                raise TypeError("a key of nested tuples")  # Python's hash of deeply nested ones can crash
            items[key] = value

    def extend(self, values: list[Any]) -> None:
        """Append to the list on the stack; the entries of foreign lists are not kept."""
        if not isinstance(self.stack[-1], Foreign):
            self.stack[-1].extend(values)

    def put(self, index: int) -> None:
        """Remember the value on the stack."""
        self.memo[index] = self.stack[-1]


def _pairs(items: list[Any]) -> list[tuple[Any, Any]]:
    return list(zip(items[::2], items[1::2], strict=True))


def _dict(machine: Machine) -> None:
    items = _pairs(machine.above_mark())
    machine.stack.append({})
    machine.set_items(items)


def _set_item(machine: Machine) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    machine.set_items([(key, value)])


def _set_items(machine: Machine) -> None:
    items = _pairs(machine.above_mark())
    machine.set_items(items)


def _append(machine: Machine) -> None:
    value = machine.stack.pop()
    machine.extend([value])


def _appends(machine: Machine) -> None:
    values = machine.above_mark()
    machine.extend(values)


def _tuple(machine: Machine, count: int) -> None:
    if len(machine.stack) < count:
        raise IndexError("too few values for a tuple")
    items = tuple(machine.stack[-count:])
    del machine.stack[-count:]
    machine.stack.append(items)


def _build(machine: Machine) -> None:
    state = machine.stack.pop()
    machine.build(state)


def _call(machine: Machine, count: int = 2) -> None:
    """REDUCE and NEWOBJ: the function or class, and its arguments. NEWOBJ_EX has keywords too, which are dropped."""
    _, args, function = ([None] if count == 2 else []) + [machine.stack.pop() for _ in range(count)]
    machine.call(function, args)


def _call_above_mark(machine: Machine, name: str | None) -> None:
    """OBJ and INST of protocols 0 and 1: the class is the first value above the mark, or named by INST itself."""
    items = machine.above_mark()
    if name is not None:
        machine.push(imported(*name.split(" ", 1)))
        items.insert(0, machine.stack.pop())
    machine.call(items[0], tuple(items[1:]))


def _stack_global(machine: Machine) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise TypeError("a name that is no text")
    machine.push(imported(module, name))


def _pop(machine: Machine) -> None:
    if machine.stack:
        machine.stack.pop()
    else:
        machine.above_mark()


def _drop(machine: Machine) -> None:
    machine.above_mark()


def _persistent(machine: Machine, identifier: Any) -> None:
    machine.identifiers.append(identifier)
    machine.push(Foreign("persistent", (identifier,)))


_CONSTANTS = frozenset(
    {
        "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
        "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE", "SHORT_BINUNICODE",
        "BINUNICODE", "BINUNICODE8",
    }
)  # fmt: skip
_OPERATIONS: dict[str, Callable[[Machine, Any], None]] = {
    "PROTO": lambda m, _: None,
    "FRAME": lambda m, _: None,
    "NONE": lambda m, _: m.push(None),
    "NEWTRUE": lambda m, _: m.push(True),
    "NEWFALSE": lambda m, _: m.push(False),
    "EMPTY_LIST": lambda m, _: m.push([]),
    "EMPTY_SET": lambda m, _: m.push([]),
    "EMPTY_DICT": lambda m, _: m.push({}),
    "EMPTY_TUPLE": lambda m, _: m.push(()),
    "MARK": lambda m, _: m.mark(),
    "POP": lambda m, _: _pop(m),
    "POP_MARK": lambda m, _: _drop(m),
    "DUP": lambda m, _: m.push(m.stack[-1]),
    "LIST": lambda m, _: m.push(m.above_mark()),
    "FROZENSET": lambda m, _: m.push(Foreign("builtins.frozenset", (m.above_mark(),))),
    "TUPLE": lambda m, _: m.push(tuple(m.above_mark())),
    "TUPLE1": lambda m, _: _tuple(m, 1),
    "TUPLE2": lambda m, _: _tuple(m, 2),
    "TUPLE3": lambda m, _: _tuple(m, 3),
    "DICT": lambda m, _: _dict(m),
    "SETITEM": lambda m, _: _set_item(m),
    "SETITEMS": lambda m, _: _set_items(m),
    "APPEND": lambda m, _: _append(m),
    "APPENDS": lambda m, _: _appends(m),
    "ADDITEMS": lambda m, _: _appends(m),
    "GET": lambda m, index: m.push(m.memo[index]),
    "BINGET": lambda m, index: m.push(m.memo[index]),
    "LONG_BINGET": lambda m, index: m.push(m.memo[index]),
    "PUT": lambda m, index: m.put(index),
    "BINPUT": lambda m, index: m.put(index),
    "LONG_BINPUT": lambda m, index: m.put(index),
    "MEMOIZE": lambda m, _: m.put(len(m.memo)),
    "GLOBAL": lambda m, name: m.push(imported(*name.split(" ", 1))),
    "STACK_GLOBAL": lambda m, _: _stack_global(m),
    "REDUCE": lambda m, _: _call(m),
    "NEWOBJ": lambda m, _: _call(m),
    "NEWOBJ_EX": lambda m, _: _call(m, 3),
    "BUILD": lambda m, _: _build(m),
    "INST": lambda m, name: _call_above_mark(m, name),
    "OBJ": lambda m, _: _call_above_mark(m, None),
    "PERSID": lambda m, identifier: _persistent(m, identifier),
    "BINPERSID": lambda m, _: _persistent(m, m.stack.pop()),
}
