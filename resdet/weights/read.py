"""Read a weights file of another project or our own, or download torchvision's weights by name.

    weights = read_weights("R-50.pkl")                            # MSRA's ResNet-50 as Detectron publishes it
    weights = read_weights("ResNet50_Weights.IMAGENET1K_V1")      # downloaded by torchvision

Supported are

- torchvision's ResNets and VGGs,
- the MSRA ResNets under Caffe2's names,
- detectron2's backbones and C4 detectors (.pkl, .pth),
- public ResNets for CIFAR-10 (6n + 2 layers),
- any of these as .safetensors,
- our own checkpoints: a dict with ``"format": "resdet"`` and the state dict under ``"model"``.

The content decides which one it is, not the file's name (weights/origins.py). Code inside a file is never run.
"""

from __future__ import annotations

import json
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch

from resdet.errors import UserError
from resdet.weights.origins import interpret
from resdet.weights.unpickle import read_arrays
from resdet.weights.weights import Weights

_ENUM_NAME = re.compile(r"\w+_Weights\.\w+")
_ZIP, _OLD_TORCH = b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the two file formats of torch.save


def read_weights(source: str | Path) -> Weights:
    """Read a weights file, or download torchvision's by name ("ResNet50_Weights.IMAGENET1K_V1").

    Raises:
        UserError: no such file or name, no network, a truncated or unknown file, or one that asks to run code.
    """
    if _ENUM_NAME.fullmatch(str(source)) and not Path(source).exists():
        return interpret(_download(str(source)), str(source))
    path = Path(source)
    return interpret(_read_file(path), path.name)


def _download(name: str) -> Any:
    """The state dict of torchvision's weights `name`, from the local cache if it is there."""
    if not re.match(r"(ResNet\d+|VGG1[69])_", name):
        raise UserError(f"{name}: resdet has no such net; give a name like ResNet50_Weights.DEFAULT")
    import torchvision  # takes a second to import, and only this function needs it

    try:
        known = torchvision.models.get_weight(name)
    except (KeyError, ValueError, AttributeError):
        raise UserError(f"{name}: torchvision has no such weights; see torchvision.models.list_models()") from None
    try:
        return known.get_state_dict(check_hash=True, map_location="cpu", weights_only=True)
    except OSError as error:  # urllib's URLError is one
        reason = " ".join(str(error).split())
        raise UserError(f"{name}: download failed ({reason}); get the .pth file elsewhere and give its path") from None
    except Exception as error:  # a damaged file can fail in any way
        stored = Path(torch.hub.get_dir(), "checkpoints", known.url.rpartition("/")[2])
        raise UserError(f"{stored}: {_explain(error)} (delete this copy of {name})") from None


def _read_file(path: Path) -> Any:
    """The content of a .safetensors file, of a file of torch.save, or of a pickle of numpy arrays."""
    if path.is_dir():
        raise UserError(f"{path}: is a folder; name the weights file inside it")
    if not path.is_file():
        raise UserError(f"{path}: no such weights file; check the path, or give a name like ResNet50_Weights.DEFAULT")
    try:
        with path.open("rb") as file:
            head = file.read(len(_OLD_TORCH))
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        if head.startswith(_ZIP) and zipfile.ZipFile(path).testzip():  # torch.load does not verify the checksums
            raise zipfile.BadZipFile
        if head.startswith((_ZIP, _OLD_TORCH)):
            return torch.load(path, map_location="cpu", weights_only=True)
        return read_arrays(path)
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the file's permissions") from None
    except Exception as error:  # a damaged file can fail in any way
        raise UserError(f"{path}: {_explain(error)}") from None


def _read_safetensors(path: Path) -> dict[str, Any]:
    """A dict like that of our exported .pth files: "state_dict", and "mean" and "std" if the metadata holds them."""
    try:
        from safetensors import safe_open
    except ImportError:
        raise UserError(f"{path}: reading it needs a package: pip install resdet[safetensors]") from None
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a mapping
    pixels = {name: torch.tensor(json.loads(metadata[name])) for name in ("mean", "std") if name in metadata}
    return {"state_dict": state, **pixels}


def _explain(error: Exception) -> str:
    """One line for the user in place of what torch or the unpickler reports of a bad file."""
    asked = re.search(r"it asks for (\S+)|GLOBAL (\S+)", str(error))
    if asked and isinstance(error, pickle.UnpicklingError):
        wanted = (asked[1] or asked[2])[:80]
        return f"refused, it asks to run {wanted} when loaded; save only the tensors (a state dict) and use that file"
    if "not one of numbers" in str(error):
        return f"refused, {error}; save only the tensors (a state dict) and use that file"
    return "not a whole weights file (truncated, or another kind of file); download or copy it again"
