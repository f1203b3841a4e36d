"""Damaged and lying files: refused with one line or read as they were, in memory that their size bounds."""

from __future__ import annotations

import copy
import tracemalloc
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from helpers.weights import caffe2_blobs, dump, small_detector
from resdet.errors import UserError
from resdet.weights.read import read_weights
from resdet.weights.weights import Weights


def small_state() -> dict[str, Tensor]:
    """Two convolutions with their BNs under torchvision's names."""
    torch.manual_seed(0)
    state = {"conv1.weight": torch.randn(4, 3, 3, 3), "layer1.0.conv1.weight": torch.randn(4, 4, 3, 3)}
    for layer in ("bn1", "layer1.0.bn1"):
        state |= {
            f"{layer}.{tensor}": torch.rand(4) + 0.5 for tensor in ("weight", "bias", "running_mean", "running_var")
        }
    return state


def write_legacy(path: Path) -> None:
    torch.save({"state_dict": small_state()}, path, _use_new_zipfile_serialization=False)


FORMATS: dict[str, Callable[[Path], object]] = {
    "net.pth": lambda path: torch.save({"state_dict": small_state()}, path),
    "old.pth": write_legacy,
    "net.pkl": lambda path: dump(caffe2_blobs(), path),
    "net.safetensors": lambda path: safetensors.torch.save_file(small_state(), path),
}
CHECKSUMS = {"net.pth"}  # the other formats have none


def read_or_refuse(path: Path) -> Weights | None:
    """The weights; None if they are refused. Any other error fails the test."""
    try:
        return read_weights(path)
    except UserError:
        return None


def difference(a: Weights, b: Weights) -> str:
    """Which kind of difference two readings have."""
    if a.state.keys() != b.state.keys():
        return "other names"
    different = [name for name in a.state if not torch.equal(a.state[name], b.state[name])]
    if not different and torch.equal(a.mean, b.mean) and torch.equal(a.std, b.std) and a.stride_on == b.stride_on:
        return "equal"
    if a.origin != b.origin:
        return "other origin"  # by a first variance that is thousands of times larger; a warning says so
    return "one tensor" if len(different) == 1 else "several tensors"


def flip_bits(name: str, folder: Path, count: int) -> Counter[str]:
    """Read `count` copies of a file with one flipped bit each; count what came of them."""
    path = folder / name
    FORMATS[name](path)
    whole, before = path.read_bytes(), copy.deepcopy(read_weights(path))  # safetensors maps the file into memory
    random = np.random.default_rng(0)
    seen: Counter[str] = Counter()
    for place in random.integers(0, 8 * len(whole), count):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        after = read_or_refuse(path)
        seen["refused" if after is None else difference(before, after)] += 1
    return seen


def check_flips(name: str, folder: Path, count: int) -> None:
    """Without a checksum in the format, a flip can change or rename the one tensor that it hits, and no other."""
    seen = flip_bits(name, folder, count)
    unseen = set() if name in CHECKSUMS else {"one tensor", "other names", "other origin"}
    assert seen.keys() <= {"refused", "equal"} | unseen, seen
    assert seen["refused"] > 0


@pytest.mark.parametrize("name", FORMATS)
def test_a_flipped_bit_is_refused_or_harmless(name: str, tmp_path: Path) -> None:
    check_flips(name, tmp_path, 40)


@pytest.mark.heavy
@pytest.mark.parametrize("name", FORMATS)
def test_five_hundred_flipped_bits_are_refused_or_harmless(name: str, tmp_path: Path) -> None:
    tracemalloc.start()
    try:
        check_flips(name, tmp_path, 500)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def refusal(path: Path) -> str:
    """The message of the refusal of a small file, which must not have taken more than 8 MB."""
    assert path.stat().st_size < 2e6
    tracemalloc.start()
    try:
        with pytest.raises(UserError) as caught:
            read_weights(path)
        assert tracemalloc.get_traced_memory()[1] < 8e6
    finally:
        tracemalloc.stop()
    return str(caught.value)


LYING_PICKLES = {
    "a memo index of 2^27": b"\x80\x02}r\x00\x00\x00\x08.",
    "a text of 2^60 bytes": b"\x80\x04\x8d" + (1 << 60).to_bytes(8, "little") + b"abc.",
    "bytes of 2^31": b"\x80\x03B\xff\xff\xff\x7fabc.",
    "a frame of 2^60 bytes": b"\x80\x04\x95" + (1 << 60).to_bytes(8, "little") + b"}.",
    "an integer of 2^30 bytes": b"\x80\x02\x8b\x00\x00\x00\x40abc.",
    "deeply nested tuples as a key": b"\x80\x02}N" + b"\x85" * 100_000 + b"Ns.",
    "an extension": b"\x80\x02\x82\x01.",
}


@pytest.mark.parametrize("name", LYING_PICKLES)
def test_a_small_pickle_takes_little_memory_whatever_it_says(name: str, tmp_path: Path) -> None:
    path = tmp_path / "R-50.pkl"
    path.write_bytes(LYING_PICKLES[name])
    if "nested" in name:  # the tuples themselves take 50 bytes each
        with pytest.raises(UserError):
            read_weights(path)
        return
    assert "R-50.pkl" in refusal(path)


def test_an_array_that_is_named_ten_thousand_times_is_refused(tmp_path: Path) -> None:
    """Each name takes a few bytes of the file and, as float32, a copy of the array."""
    array = np.zeros(100_000, np.int8)
    message = refusal(dump(caffe2_blobs() | {f"x{i}_w": array for i in range(10_000)}, tmp_path / "R-50.pkl"))
    assert "more than a file of" in message


def deflate(path: Path, packed: Path) -> None:
    """Write the parts of an archive to another, compressed."""
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as out:
        for info in whole.infolist():
            out.writestr(info.filename, whole.read(info))


def test_an_archive_that_is_deflated_to_a_thousandth_is_refused(tmp_path: Path) -> None:
    torch.save(small_state() | {"fc.weight": torch.zeros(1000, 6_500)}, tmp_path / "whole.pth")
    packed = tmp_path / "net.pth"
    deflate(tmp_path / "whole.pth", packed)
    assert "unpack to 26," in refusal(packed)


def test_an_archive_that_is_deflated_a_little_is_read(tmp_path: Path) -> None:
    torch.save(small_state(), tmp_path / "whole.pth")
    deflate(tmp_path / "whole.pth", tmp_path / "net.pth")
    assert difference(read_weights(tmp_path / "net.pth"), read_weights(tmp_path / "whole.pth")) == "equal"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_an_expanded_tensor_larger_than_its_file_is_refused(dtype: torch.dtype, tmp_path: Path) -> None:
    wide = torch.zeros(1, dtype=dtype).expand(1 << 18, 1 << 18)
    torch.save(small_state() | {"fc.weight": wide}, tmp_path / "net.pth")
    assert "fc.weight [262144, 262144] is more than a file of" in refusal(tmp_path / "net.pth")


@pytest.mark.parametrize("legacy", [False, True])
def test_a_tensor_beyond_its_storage_is_refused(legacy: bool, tmp_path: Path) -> None:
    """The pickle says 2^20 elements, its storage holds 4: reading on would show the memory of other objects."""
    path = tmp_path / "net.pth"
    torch.save(small_state(), path, _use_new_zipfile_serialization=not legacy)
    whole = path.read_bytes()
    if legacy:
        path.write_bytes(whole.replace(b"K\x90", b"K\xff"))
    else:
        with zipfile.ZipFile(path) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in parts.items():
                archive.writestr(name, data.replace(b"K\x90", b"K\xff") if name.endswith("data.pkl") else data)
    assert "not a whole weights file" in refusal(path)


def test_the_directory_bit_of_a_part_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save(small_state(), path)
    before, whole = read_weights(path), path.read_bytes()
    entry = whole.find(b"PK\x01\x02")
    while entry >= 0:
        damaged = bytearray(whole)
        damaged[entry + 38] ^= 0x10  # external attributes
        path.write_bytes(damaged)
        after = read_or_refuse(path)
        assert after is None or difference(before, after) == "equal"
        entry = whole.find(b"PK\x01\x02", entry + 1)


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    state = small_state()
    state["bn1.bias"][2] = torch.nan
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(UserError, match=r"net\.pth: bn1\.bias holds NaN"):
        read_weights(tmp_path / "net.pth")


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("bn1.running_var", lambda t: t - 3, r"bn1\.running_var holds a negative variance \(-"),
        ("bn1.running_var", lambda t: t / 0, r"bn1\.running_var holds NaN or infinite values"),
        ("bn1.running_mean", lambda t: t.to(torch.int64), r"bn1\.running_mean holds int64 where weights are floats"),
        ("conv1.weight", lambda t: (100 * t).to(torch.int8), r"conv1\.weight holds int8 where weights are floats"),
        ("layer1.0.conv1.weight", lambda t: t > 0, r"layer1\.0\.conv1\.weight holds bool where weights are floats"),
    ],
)
def test_values_that_no_net_can_use_are_refused(
    name: str, change: Callable[[Tensor], Tensor], message: str, suffix: str, tmp_path: Path
) -> None:
    state, path = small_state(), tmp_path / f"net.{suffix}"
    state[name] = change(state[name])
    (safetensors.torch.save_file if suffix == "safetensors" else torch.save)(state, path)
    with pytest.raises(UserError, match=rf"net\.{suffix}: {message}"):
        read_weights(path)


def test_own_checkpoints_and_caffe2_files_are_checked_alike(tmp_path: Path) -> None:
    detector = small_detector()
    pixels = {"preprocess.mean": torch.zeros(3), "preprocess.std": torch.ones(3)}
    state = detector.state_dict() | pixels
    cases = {
        r"net\.conv1\.bn\.running_var holds a negative": {"net.conv1.bn.running_var": torch.full((8,), -0.5)},
        r"head\.scores\.bias holds uint8": {"head.scores.bias": torch.zeros(6, dtype=torch.uint8)},
        "its mean or std of pixels is NaN, infinite or a std of 0": {"preprocess.std": torch.zeros(3)},
    }
    for message, change in cases.items():
        torch.save({"format": "resdet", "model": state | change}, tmp_path / "last.pth")
        with pytest.raises(UserError, match=rf"last\.pth: {message}"):
            read_weights(tmp_path / "last.pth")
    blobs = caffe2_blobs()
    blobs["res_conv1_bn_riv"] = -blobs.pop("res_conv1_bn_running_var")
    with pytest.raises(UserError, match=r"R-50\.pkl: res_conv1_bn_riv holds a negative variance"):
        read_weights(dump(blobs, tmp_path / "R-50.pkl"))


def test_the_variance_of_a_constant_channel_is_accepted(tmp_path: Path) -> None:
    """Rounding leaves variances of 0, and negative ones far below BN's epsilon of 1e-5."""
    state = small_state() | {"bn1.running_var": torch.tensor([0.0, 1.0, -1e-9, 2.0])}
    torch.save(state | {"steps_of_the_script": torch.tensor(3)}, tmp_path / "net.pth")
    assert torch.equal(read_weights(tmp_path / "net.pth").state["conv1.bn.running_var"], state["bn1.running_var"])
