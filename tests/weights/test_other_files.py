"""Files that are taken for weights: the content decides what they are, and a message says it."""

from __future__ import annotations

import gzip
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from helpers.weights import assert_same, small_resnet
from resdet.errors import UserError
from resdet.weights.export import to_torchvision
from resdet.weights.read import read_weights


def small_state() -> dict[str, Tensor]:
    return to_torchvision(small_resnet().state_dict())


def zipped(path: Path, *names: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "x")


def tarred(path: Path) -> None:
    torch.save(small_state(), path.with_name("inside.pth"))
    with tarfile.open(path, "w") as archive:
        archive.add(path.with_name("inside.pth"), "net.pth")


def exported(path: Path) -> None:
    torch.export.save(torch.export.export(nn.Linear(2, 2), (torch.zeros(1, 2),)), path)


OTHERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "resnet50_weights_tf.h5": (lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(500)), "an HDF5 file, as Keras"),
    "resnet50.pth": (lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(500)), "an HDF5 file, as Keras writes"),
    "resnet50.keras": (lambda p: zipped(p, "config.json", "model.weights.h5"), "a net of Keras"),
    "resnet50.onnx": (lambda p: p.write_bytes(b"\x08\x07\x12\x07pytorch" + bytes(200)), "an ONNX graph"),
    "model.ckpt-1.data-00000-of-00001": (lambda p: p.write_bytes(bytes(200)), "a part of a checkpoint of TensorFlow"),
    "model.safetensors.index.json": (lambda p: p.write_text('{"weight_map": {}}'), "a JSON text, as beside weights"),
    "net.pth.gz": (lambda p: p.write_bytes(gzip.compress(b"net")), "one compressed by gzip; unpack it"),
    "net.pth.tar": (tarred, "a tar archive; unpack it"),
    "net.zip": (lambda p: zipped(p, "net.pth"), "a zip archive; unpack it"),
    "net.npz": (lambda p: np.savez(p, conv1=np.zeros(3)), "arrays of numpy.savez; save them as a dict"),
    "net.pt2": (exported, "a program of torch.export; save the state dict of its net"),
    "net.pt": (lambda p: p.write_text("\n<html>Sign in</html>"), "a web page; download the file again"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_a_file_is_instead_is_said(name: str, tmp_path: Path) -> None:
    write, kind = OTHERS[name]
    write(tmp_path / name)
    with pytest.raises(UserError) as caught:
        read_weights(tmp_path / name)
    message = str(caught.value)
    assert f"{name}: not a whole weights file, but {kind}" in message
    assert "\n" not in message


def test_a_damaged_archive_of_torch_is_not_taken_for_another_one(tmp_path: Path) -> None:
    torch.save(small_state(), tmp_path / "net.pth")
    content = (tmp_path / "net.pth").read_bytes()
    (tmp_path / "net.pth").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="not a whole weights file"):
        read_weights(tmp_path / "net.pth")


def test_the_suffix_does_not_decide_what_a_file_is(tmp_path: Path) -> None:
    state = small_state()
    safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in state.items()}, tmp_path / "a.pth")
    torch.save(state, tmp_path / "b.safetensors")
    torch.save(state, tmp_path / "c.pth")
    expected = read_weights(tmp_path / "c.pth").state
    assert_same(read_weights(tmp_path / "a.pth").state, expected)
    assert_same(read_weights(tmp_path / "b.safetensors").state, expected)


OTHER_NETS = {
    "SE": {"layer1.0.se.fc1.weight": (4, 4, 1, 1)},
    "CBAM": {"layer2.0.ca.fc1.weight": (4, 4), "layer2.0.sa.conv1.weight": (1, 2, 7, 7)},
    "anti-aliased": {"layer2.0.aa.filt": (4, 1, 3, 3)},
    "deformable": {"layer3.0.conv2_offset.weight": (18, 4, 3, 3)},
    "attention behind a stage": {"layer4.attention.weight": (4, 4)},
    "ECA": {"layer1.0.eca.conv.weight": (1, 1, 3)},
}


@pytest.mark.parametrize("net", OTHER_NETS)
def test_a_net_with_further_layers_in_its_blocks_is_refused(net: str, tmp_path: Path) -> None:
    """Without them its other weights compute something else; nothing would say so."""
    added = {f"backbone.{name}": torch.ones(size) for name, size in OTHER_NETS[net].items()}
    state = {f"backbone.{name}": tensor for name, tensor in small_state().items()}
    torch.save({"state_dict": state | added}, tmp_path / "net.pth")
    first = next(iter(OTHER_NETS[net]))
    with pytest.raises(UserError, match=rf"net\.pth: the paper's ResNets have no {first} .*: another net"):
        read_weights(tmp_path / "net.pth")


def test_a_detectron2_net_with_deformable_convolutions_is_refused(tmp_path: Path) -> None:
    state = {"stem.conv1.weight": torch.ones(4, 3, 7, 7), "res3.0.conv2_offset.weight": torch.ones(18, 4, 3, 3)}
    torch.save({"model": {f"backbone.{name}": tensor for name, tensor in state.items()}}, tmp_path / "dcn.pth")
    with pytest.raises(UserError, match=r"have no (backbone\.)?res3\.0\.conv2_offset\.weight"):
        read_weights(tmp_path / "dcn.pth")
