"""Read a pickle as data: no class is imported and no function is called, whatever the file asks for.

    content = read_pickle(open("R-50.pkl", "rb"))   # nested dicts: a file of Detectron or detectron2
    to_array(content["blobs"]["conv1_w"])           # weights/arrays.py

`pickle.load` can run any code that the author of the file wrote. Here an object or a call that the file asks for
becomes a `Foreign`, a record of its name and arguments. Arrays and tensors are made from these records where they are
wanted (weights/arrays.py, weights/torch_file.py); all others, such as the argparse.Namespace that many checkpoints
hold beside their tensors, are never looked at. Memory is bounded by the size of the file: lengths and memo indices in
the file allocate nothing. Pickles written by Python 2 are read as well.
"""

from __future__ import annotations

import codecs
import io
import pickletools
from typing import Any, BinaryIO, cast

from resdet.weights.pickle_machine import Machine

_OPCODES = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}


def read_pickle(file: BinaryIO, remaining: int | None = None, identifiers: list[Any] | None = None) -> Any:
    """Read one pickle, and leave `file` behind it.

    Args:
        file: positioned at the pickle.
        remaining: bytes of the file from there on; None: measured by seeking.
        identifiers: the persistent ids that the pickle names are added to it.

    Returns:
        Numbers, text, bytes, lists, tuples and dicts (of sets: lists), with a `Foreign` for everything else.

    Raises:
        pickle.UnpicklingError: the file asks for what runs code.
        Exception: of several types, if the file is truncated or not a pickle.
    """
    if remaining is None:
        here = file.tell()
        remaining = file.seek(0, io.SEEK_END) - here
        file.seek(here)
    bounded = _Bounded(file, remaining)
    machine = Machine(remaining)
    while (code := bounded.read(1)) != b".":
        opcode = _OPCODES[code]
        arg = None
        if opcode.name == "STRING":
            arg = _byte_string(bounded.readline())
        elif opcode.arg is not None:
            arg = opcode.arg.reader(cast(Any, bounded))
        machine.execute(opcode.name, arg)
    if identifiers is not None:
        identifiers += machine.identifiers
    return machine.stack.pop()


def _byte_string(line: bytes) -> str:
    """A byte string of Python 2 in protocol 0, as the text whose characters are its bytes."""
    quoted = line.rstrip(b"\r\n")
    if len(quoted) < 2 or quoted[:1] not in (b"'", b'"') or quoted[-1:] != quoted[:1]:
        raise ValueError("a string without quotes")
    return codecs.escape_decode(quoted[1:-1])[0].decode("latin-1")


class _Bounded:
    """A file that ends after `left` bytes: no read allocates more than is there."""

    def __init__(self, file: BinaryIO, left: int) -> None:
        self.file, self.left = file, left

    def read(self, count: int) -> bytes:
        data = self.file.read(min(count, self.left))
        self.left -= len(data)
        return data

    def readline(self) -> bytes:
        line = self.file.readline(self.left)
        self.left -= len(line)
        return line
