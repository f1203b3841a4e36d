"""Weights by name, as their projects publish them: downloaded on first use, then read from a folder.

    path = resolve("msra://R-101")
    path = resolve("torchvision://ResNet50_Weights.IMAGENET1K_V1")       # or without "torchvision://"
    path = resolve("detectron2://COCO-Detection/faster_rcnn_R_101_C4_3x")
    path = resolve("hf://owner/name")                                    # through huggingface_hub (weights/hub.py)
    config_for("detectron2://COCO-Detection/faster_rcnn_R_101_C4_3x")    # "detectron2_r101_c4"

Files are kept in $RESDET_CACHE, else where torch.hub keeps its own ($TORCH_HOME/hub/checkpoints, in ~/.cache/torch by
default). $RESDET_MIRROR, such as http://mirror.lan:8000, replaces scheme and host of all addresses.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import torch

from resdet.errors import UserError
from resdet.weights.download import Download, fetch
from resdet.weights.hub import download, hub_file

DETECTRON2 = "https://dl.fbaipublicfiles.com/detectron2"

# Under "detectron2://": the file of each model that resdet can use, and the config that describes the detector.
# The Mask R-CNNs are used without their masks.
_DETECTRON2 = {
    "COCO-Detection/faster_rcnn_R_50_C4_1x": ("137257644/model_final_721ade.pkl", "detectron2_r50_c4"),
    "COCO-Detection/faster_rcnn_R_50_C4_3x": ("137849393/model_final_f97cb7.pkl", "detectron2_r50_c4"),
    "COCO-Detection/faster_rcnn_R_101_C4_3x": ("138204752/model_final_298dad.pkl", "detectron2_r101_c4"),
    "PascalVOC-Detection/faster_rcnn_R_50_C4": ("142202221/model_final_b1acc2.pkl", "detectron2_r50_c4_voc"),
    "COCO-InstanceSegmentation/mask_rcnn_R_50_C4_1x": ("137259246/model_final_9243eb.pkl", "detectron2_r50_c4"),
    "COCO-InstanceSegmentation/mask_rcnn_R_50_C4_3x": ("137849525/model_final_4ce675.pkl", "detectron2_r50_c4"),
    "COCO-InstanceSegmentation/mask_rcnn_R_101_C4_3x": ("138363239/model_final_a2914c.pkl", "detectron2_r101_c4"),
}
_MSRA = {name: f"ImageNetPretrained/MSRA/{name}.pkl" for name in ("R-50", "R-101")}

# "msra://R-50"; one slash too, which is what pathlib leaves of two.
_NAME = re.compile(r"(?P<project>msra|detectron2|torchvision):/{1,2}(?P<name>[^/].*)")
_ENUM = re.compile(r"\w+_Weights\.\w+")
_NET = re.compile(r"(ResNet\d+|VGG1[69])_")
_SHA256 = re.compile(r"-([0-9a-f]{8,})\.pth")  # the names of torchvision's files have the beginning of it
_MD5 = re.compile(r"model_final_([0-9a-f]{6})\.pkl")  # of detectron2's detectors


@dataclass(frozen=True)
class Known:
    """Weights that a project publishes."""

    name: str  # "msra://R-50"
    url: str
    place: PurePosixPath  # in the folder of downloads
    config: str | None = None  # the config that describes the detector
    checksum: str = ""  # as in Download


def resolve(source: str | Path) -> Path:
    """The file that a name stands for, downloaded if it is not there yet; the path itself if it is no name.

    Raises:
        UserError: the project has no such weights, or they cannot be downloaded.
    """
    if hub_file(source) is not None:
        return download(source)
    known = find(source)
    if known is None:
        check_present(Path(source))
        return Path(source)
    target = cache_folder() / known.place
    if not target.is_file():
        fetch(Download(known.name, _mirrored(known.url), target, known.checksum))
    return target


def config_for(source: str | Path) -> str | None:
    """The name of the config that describes a published detector, given by its name or as its file.

    None for other files, and for trunks.
    """
    known = find(source) or _by_file().get(Path(source).name)
    return None if known is None else known.config


def find(source: str | Path) -> Known | None:
    """What a name stands for; None if it is a file's path.

    Raises:
        UserError: it is the form of a name, but nothing has it.
    """
    text = str(source)
    if os.path.exists(text):
        return None
    if _ENUM.fullmatch(text):
        return _of_torchvision(text)
    match = _NAME.fullmatch(text)
    if match is None:
        return None
    name = match["name"].removesuffix(".yaml")
    if match["project"] == "torchvision":
        return _of_torchvision(name)
    full = f"{match['project']}://{name}"
    for known in _published():
        if full in (known.name, known.url.replace(f"{DETECTRON2}/", "detectron2://")):  # detectron2's own names
            return known
    names = [known.name for known in _published()]
    guess = get_close_matches(full, names, 1)
    hint = f"did you mean {guess[0]}?" if guess else f"known are {', '.join(names)}"
    raise UserError(f"{full}: there are no such weights; {hint}")


def published_name(source: str | Path) -> str:
    """The name that downloads a file: "msra://R-101" for data/weights/R-101.pkl; a name itself; else ""."""
    if find(source) is not None:
        return str(source)
    known = _by_file().get(Path(source).name)
    return "" if known is None else known.name


def downloaded(source: str | Path) -> bool:
    """Whether `source` is a published name whose file is in the folder of downloads."""
    known = find(source)
    return known is not None and (cache_folder() / known.place).is_file()


def cache_folder() -> Path:
    """The folder of downloads."""
    own = os.environ.get("RESDET_CACHE")
    return Path(own).expanduser() if own else Path(torch.hub.get_dir(), "checkpoints")


def check_present(path: Path) -> None:
    """Refuse a path that is no file.

    Raises:
        UserError: with the name under which the file can be downloaded, if there is one.
    """
    if path.is_dir():
        raise UserError(f"{path}: is a folder; name the weights file inside it")
    if path.is_file():
        return
    known = _by_file().get(path.name)
    remedy = "check the path, or give a name like msra://R-50"
    if known is not None:
        remedy = f"give {known.name}, which downloads it"
    elif path.name in ("last.pth", "best.pth"):
        remedy = f"check the path, or train that net first; its config is probably {path.parent.name}"
    raise UserError(f'{path}: no such weights file; {remedy} (data/README.md, "Weights", lists all)')


def _published() -> list[Known]:
    """MSRA's and detectron2's weights."""
    found = [_of_detectron2(f"msra://{name}", path) for name, path in _MSRA.items()]
    for name, (file, config) in _DETECTRON2.items():
        found.append(_of_detectron2(f"detectron2://{name}", f"{name}/{file}", config))
    return found


def _by_file() -> dict[str, Known]:
    return {known.place.name: known for known in _published()}


def _of_detectron2(name: str, path: str, config: str | None = None) -> Known:
    digest = _MD5.search(path)
    checksum = f"md5:{digest[1]}" if digest else ""
    return Known(name, f"{DETECTRON2}/{path}", PurePosixPath("detectron2", path), config, checksum)


def _of_torchvision(name: str) -> Known:
    """Weights of torchvision's, where its own functions put them too."""
    if not _ENUM.fullmatch(name) or not _NET.match(name):
        raise UserError(f"{name}: resdet has no such net; give a name like ResNet50_Weights.DEFAULT")
    import torchvision  # takes a second to import, and only this function needs it

    try:
        url = torchvision.models.get_weight(name).url
    except (KeyError, ValueError, AttributeError):
        raise UserError(f"{name}: torchvision has no such weights; see torchvision.models.list_models()") from None
    file = PurePosixPath(urlsplit(url).path).name
    digest = _SHA256.search(file)
    return Known(name, url, PurePosixPath(file), checksum=f"sha256:{digest[1]}" if digest else "")


def _mirrored(url: str) -> str:
    mirror = os.environ.get("RESDET_MIRROR")
    return f"{mirror.rstrip('/')}{urlsplit(url).path}" if mirror else url
