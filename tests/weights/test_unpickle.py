"""Reading weight files runs no code, and a damaged file is named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from helpers.weights import REFUSED, Call, caffe2_blobs, dump, own_checkpoint, small_resnet
from resdet.errors import UserError
from resdet.weights.content import open_content
from resdet.weights.read import read_weights


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("function", ["system", "eval", "open"])
def test_a_malicious_pickle_runs_nothing(function: str, protocol: int, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    call = {
        "system": Call(os.system, f"touch {mark}"),
        "eval": Call(eval, f"open({str(mark)!r}, 'w')"),
        "open": Call(open, str(mark), "w"),
    }[function]
    path = dump(caffe2_blobs() | {"conv1_w": call}, tmp_path / "R-50.pkl", protocol)
    with pytest.raises(UserError, match=rf"R-50\.pkl: .*{REFUSED}") as caught:
        read_weights(path)
    assert "\n" not in str(caught.value)
    assert not mark.exists()
    subprocess.run([sys.executable, "-c", f"import pickle; pickle.load(open({str(path)!r}, 'rb'))"], check=True)
    assert mark.exists()  # the file does what it says, when one lets it


def test_a_malicious_torch_file_runs_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    torch.save({"format": "resdet", "model": Call(os.system, f"touch {mark}")}, tmp_path / "last.pth")
    with pytest.raises(UserError, match=REFUSED):
        read_weights(tmp_path / "last.pth")
    assert not mark.exists()


@pytest.mark.parametrize(
    "opcodes",
    [
        b"\x80\x04\x8c\x16numpy.core.multiarray\x8c\x1f_reconstruct.__globals__.system\x93.",
        b"\x80\x02cnumpy.core.multiarray\nfromfile\n.",
        b"\x80\x02cnumpy\nload\n.",
        b"cos\nsystem\n(S'true'\ntR.",
    ],
    ids=["attribute path", "other function", "numpy.load", "protocol 0"],
)
def test_only_the_parts_of_arrays_can_be_unpickled(opcodes: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(opcodes)
    with pytest.raises(UserError, match=r"asks to run|not a whole weights file"):
        read_weights(tmp_path / "x.pkl")


def test_a_file_cannot_alter_the_reader_for_the_next_one(tmp_path: Path) -> None:
    good = dump(caffe2_blobs(), tmp_path / "good.pkl")
    for name in (b"numpy\nndarray", b"numpy\ndtype", b"numpy.core.multiarray\nscalar", b"_codecs\nencode"):
        # BUILD with (None, {"thaw": None, "__call__": None}) sets attributes on whatever it is given
        (tmp_path / "bad.pkl").write_bytes(b"\x80\x02c" + name + b"\n(N}(X\x04\0\0\0thawNX\x08\0\0\0__call__Nutb.")
        with pytest.raises(UserError):
            read_weights(tmp_path / "bad.pkl")
    assert "conv1.conv.weight" in read_weights(good).state


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    blobs = caffe2_blobs() | {"names": np.array(["a", None], dtype=object)}
    with pytest.raises(UserError, match=r"R-50\.pkl: refused, .*not one of numbers"):
        read_weights(dump(blobs, tmp_path / "R-50.pkl"))


def python2_pickle(name: bytes, values: np.ndarray) -> bytes:
    """{name: values} as cPickle of Python 2 writes it: text and raw data are both byte strings."""
    shape = b"".join(b"K" + bytes([side]) for side in values.shape)
    raw = values.astype("<f4").tobytes()
    dtype = b"cnumpy\ndtype\nU\x02f4K\0K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\x01b\x87R(K\x01(" + shape + b"t" + dtype
    array += b"\x89T" + len(raw).to_bytes(4, "little") + raw + b"tb"
    return b"\x80\x02}U" + bytes([len(name)]) + name + array + b"s."


def test_pickles_of_python_2_are_read(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(2, 3, 7, 7)).astype(np.float32)
    (tmp_path / "R-50.pkl").write_bytes(python2_pickle(b"conv1_w", values))
    read = read_weights(tmp_path / "R-50.pkl").state["conv1.conv.weight"]
    np.testing.assert_array_equal(read.numpy(), values[:, ::-1])


def test_every_kind_of_number_array_survives(tmp_path: Path) -> None:
    kinds = {
        "plain": np.arange(6, dtype=np.float32).reshape(2, 3),
        "half": np.array([0.5, 1.5], np.float16),
        "double": np.array([0.5, 1.5]),
        "big-endian": np.array([1.0, 2.0], ">f4"),
        "fortran": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        "no axes": np.array(3, np.int64),
        "scalar": np.float32(2.5),
    }
    for protocol in range(6):
        path = dump(caffe2_blobs() | kinds, tmp_path / "R-50.pkl", protocol)
        assert read_weights(path).leftover == list(kinds)
        with open_content(path) as content:
            for name, array in kinds.items():
                read = content.tensor(content.data[name])
                assert read is not None
                np.testing.assert_array_equal(read, array, err_msg=name)


@pytest.mark.parametrize("suffix", ["pkl", "pth"])
def test_truncated_files_are_named(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"net.{suffix}"
    if suffix == "pkl":
        dump(caffe2_blobs(), path)
    else:
        own_checkpoint(small_resnet(), path)
    whole = path.read_bytes()
    for size in (0, 1, 20, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError, match=rf"net\.{suffix}: .*(truncated|no named tensors)") as caught:
            read_weights(path)
        assert "\n" not in str(caught.value)


def test_missing_and_unknown_files_are_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.pkl: no such weights file; check the path"):
        read_weights(tmp_path / "none.pkl")
    with pytest.raises(UserError, match="is a folder"):
        read_weights(tmp_path)
    (tmp_path / "page.pkl").write_text("<!DOCTYPE html><html>Sign in</html>")
    with pytest.raises(UserError, match=r"page\.pkl: not a whole weights file, but a web page"):
        read_weights(tmp_path / "page.pkl")
    torch.save(torchvision.models.squeezenet1_1(num_classes=1).state_dict(), tmp_path / "net.pth")
    with pytest.raises(UserError, match=r"net\.pth: not a net that resdet knows .*features\.0\.weight"):
        read_weights(tmp_path / "net.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(UserError, match=r"list\.pth: .*holds no named tensors"):
        read_weights(tmp_path / "list.pth")
