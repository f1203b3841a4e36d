"""The images that `resdet predict` is asked for: files, folders, patterns; each has a name of its own in the output."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from resdet.data.image_files import find_images, is_hidden, is_image_name, suffixes_in_words
from resdet.errors import UserError
from resdet.recipes.detection.video_frames import VIDEOS

WRITABLE = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")  # others are drawn as JPEG


@dataclass(frozen=True)
class Source:
    """An image.

    Args:
        path: the file.
        name: of its drawn picture, a path below the output folder; no two sources have the same.
    """

    path: Path
    name: PurePath


def find_sources(inputs: Sequence[str], out: Path) -> list[Source]:
    """The images of all inputs, each once, in their order.

    Args:
        inputs: images; folders, which are searched with their subfolders, without hidden files; patterns such as
            "photos/*.jpg".
        out: folder of the results; pictures in it are no sources.

    Raises:
        UserError: an input has no image, or a drawn picture would replace an image.
    """
    found: dict[Path, tuple[Path, Path]] = {}  # whole path -> path, and the folder that its name begins below
    made = out.resolve()
    for text in inputs:
        if not text.strip():
            raise UserError("the name of an image or a folder is empty; is a variable not set? '.' is this folder")
        for path, root in _expand(text):
            whole = path.parent.resolve() / path.name  # a link in `out` is not what it points to
            if not whole.is_relative_to(made) or root.resolve().is_relative_to(made):
                found.setdefault(whole, (path, root))
    names = _names(list(found.values()))
    sources = [Source(path, name) for (path, _), name in zip(found.values(), names, strict=True)]
    if not sources:
        raise UserError(f"{inputs[0]}: no image there but those in --out {out}; choose another folder for --out")
    taken = {source.path.resolve(): source.path for source in sources}
    for source in sources:
        if (out / source.name).resolve() in taken:
            raise UserError(f"--out {out} would overwrite {source.path}; choose another folder")
    return sources


def _expand(text: str) -> list[tuple[Path, Path]]:
    """The images of one input, each with the folder below which its name begins."""
    path = Path(text)
    if path.is_dir():
        found = [(image, path) for image in find_images(path)]
    elif path.exists():
        found = [(path, path.parent)]
    else:
        found = _match(text)
    if not found:
        kinds = f"{suffixes_in_words()}, {', '.join(VIDEOS)}"
        raise UserError(f"{text}: no image or video there ({kinds})")
    return found


def _match(pattern: str) -> list[tuple[Path, Path]]:
    """The images that a pattern matches, and those in the folders that it matches."""
    fixed = PurePath(re.split(r"[*?\[]", pattern, maxsplit=1)[0] + "x").parent  # up to the first folder with a *
    found = []
    for path in map(Path, sorted(glob.glob(pattern, recursive=True))):
        below = path.relative_to(fixed)
        if path.is_dir() and not is_hidden(below):
            found += [(image, Path(fixed)) for image in find_images(path)]
        elif is_image_name(below):
            found.append((path, Path(fixed)))
    return found


def _names(found: Sequence[tuple[Path, Path]]) -> list[PurePath]:
    """A name for each (path, root): its path below the root, and where two are the same the folders above as well."""
    names: list[PurePath] = []
    taken: set[PurePath] = set()
    for path, root in found:
        name: PurePath = path.relative_to(root)
        above = list(root.absolute().parts[1:])
        while _key(name) in taken and above:
            name = above.pop() / name
        number = 2
        while _key(name) in taken:
            name, number = name.with_stem(f"{path.stem}_{number}"), number + 1
        taken.add(_key(name))
        names.append(_drawn(name))
    return names


def _drawn(name: PurePath) -> PurePath:
    return name if name.suffix.lower() in WRITABLE else name.with_name(f"{name.name}.jpg")


def _key(name: PurePath) -> PurePath:
    """Drawn names that some file systems hold for the same are the same."""
    return PurePath(str(_drawn(name)).lower())
