"""Checkpoints whose archive lies about its parts are refused, not read as other tensors or without bound."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import torch

from resdet.engine.checkpoint import read_checkpoint, save_checkpoint
from resdet.errors import UserError


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "last.pth"
    save_checkpoint(path, {"model": {f"layer{i}": torch.randn(5, 5) for i in range(4)}, "step": 3})
    return path


def test_the_directory_bit_of_any_part_is_refused(checkpoint: Path) -> None:
    """torch.load returns what lay in the memory in place of the part's bytes."""
    whole = checkpoint.read_bytes()
    entry, entries = whole.find(b"PK\x01\x02"), 0
    while entry >= 0:
        damaged = bytearray(whole)
        damaged[entry + 38] ^= 0x10  # external attributes
        checkpoint.write_bytes(damaged)
        with pytest.raises(UserError, match=r"last\.pth is not a checkpoint that can be read safely"):
            read_checkpoint(checkpoint)
        entry, entries = whole.find(b"PK\x01\x02", entry + 1), entries + 1
    assert entries >= 6


def test_compressed_parts_are_refused_before_they_are_unpacked(checkpoint: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed.pth"
    with zipfile.ZipFile(checkpoint) as whole, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as out:
        for info in whole.infolist():
            out.writestr(info.filename, whole.read(info))
    with pytest.raises(UserError, match=r"packed\.pth is not a checkpoint that can be read safely"):
        read_checkpoint(packed)
