"""What a file is that is taken for weights and holds none that resdet reads, for messages.

other_kind(Path("resnet50.h5"))                    # "an HDF5 file, as Keras writes"
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from resdet.errors import UserError

_HEADS = {
    b"\x89HDF\r\n\x1a\n": "an HDF5 file, as Keras writes",
    b"\x1f\x8b": "one compressed by gzip; unpack it",
    b"BZh": "one compressed by bzip2; unpack it",
    b"\xfd7zXZ\0": "one compressed by xz; unpack it",
    b"7z\xbc\xaf'\x1c": "a 7z archive; unpack it",
    b"GGUF": "a GGUF file of language models",
    b"{": "a JSON text, as beside weights in several parts; give a file of tensors",
    b"<": "a web page; download the file again",
}
_TAR, _TAR_AT = b"ustar", 257
_SUFFIXES = {
    ".onnx": "an ONNX graph; give the checkpoint that it was exported from",
    ".pb": "a graph of TensorFlow",
    ".index": "a part of a checkpoint of TensorFlow",
    ".meta": "a part of a checkpoint of TensorFlow",
    ".tflite": "a graph of TensorFlow Lite",
    ".engine": "an engine of TensorRT",
    ".caffemodel": "a net of Caffe",
    ".pdparams": "a checkpoint of PaddlePaddle",
    ".msgpack": "a checkpoint of Flax",
}
_PARTS = {  # what an archive holds besides
    ".npy": "arrays of numpy.savez; save them as a dict with torch.save",
    "model.weights.h5": "a net of Keras",
    "archive_format": "a program of torch.export; save the state dict of its net",
}


def refuse_graph(path: Path) -> None:
    """Refuse an ONNX file where weights are wanted, by its name: nothing is read.

    Raises:
        UserError: it is one.
    """
    if path.suffix.lower() == ".onnx":
        raise UserError(f"{path}: not a weights file, but {_SUFFIXES['.onnx']}")


def other_kind(path: Path) -> str | None:
    """What a file is by its first bytes, its parts or its suffix; None if that is not known."""
    with path.open("rb") as file:
        head = file.read(_TAR_AT + len(_TAR))
    for start, kind in _HEADS.items():
        if head.lstrip().startswith(start) if start in (b"{", b"<") else head.startswith(start):
            return kind
    if head[_TAR_AT:] == _TAR:
        return "a tar archive; unpack it"
    if ".data-" in path.name:
        return _SUFFIXES[".index"]
    return _SUFFIXES.get(path.suffix.lower()) or _kind_of_archive(path)


def _kind_of_archive(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return None
    if any(name.rpartition("/")[2] == "data.pkl" for name in names):
        return None  # torch.save's, and damaged
    found = (kind for part, kind in _PARTS.items() if any(name.endswith(part) for name in names))
    return next(found, "a zip archive; unpack it")
