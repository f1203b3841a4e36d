"""The images that `resdet predict` is asked for: files, folders, patterns; each has a name of its own in the output."""

from __future__ import annotations

import glob
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from resdet.data.image_files import find_files, find_images, is_hidden, is_image_name, suffixes_in_words
from resdet.errors import UserError
from resdet.recipes.detection.predict_folder import is_output
from resdet.recipes.detection.video_frames import VIDEOS

WRITABLE = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")  # others are drawn as JPEG

logger = logging.getLogger("resdet")


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
    """The images of all inputs, each once, in their order; one warning counts the videos among them.

    Args:
        inputs: images; folders, which are searched with their subfolders, without hidden files and without the
            output folders of earlier commands; patterns such as "photos/*.jpg".
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
    others = _without_drawn(list(found.values()))
    if found and not others:
        raise UserError(
            f"{inputs[0]}: no image there but what predict has drawn; give that folder itself to detect in it"
        )
    images = _without_videos(others)
    sources = [Source(path, name) for (path, _), name in zip(images, _names(images), strict=True)]
    if not sources:
        raise UserError(
            f"{inputs[0]}: no image there but what predict has drawn (--out {out}); choose another folder for --out"
        )
    taken = {source.path.resolve(): source.path for source in sources}
    for source in sources:
        if (out / source.name).resolve() in taken:
            raise UserError(f"--out {out} would overwrite {source.path}; choose another folder")
    return sources


def _without_drawn(found: Sequence[tuple[Path, Path]]) -> list[tuple[Path, Path]]:
    """Those of (path, root) that are in no output folder of predict below the root; a warning names each such folder.

    A root is never left out: somebody has asked for it.
    """
    kept: list[tuple[Path, Path]] = []
    outputs: dict[Path, bool] = {}
    for path, root in found:
        folders = [root / above for above in path.relative_to(root).parents][:-1]
        outputs |= {folder: is_output(folder) for folder in folders if folder not in outputs}
        if not any(outputs[folder] for folder in folders):
            kept.append((path, root))
    for folder in sorted(folder for folder, is_one in outputs.items() if is_one):
        logger.warning("%s: what predict has drawn there was left out; give this folder to detect in it", folder)
    return kept


def _without_videos(found: Sequence[tuple[Path, Path]]) -> list[tuple[Path, Path]]:
    videos = [path for path, _ in found if _is_video(path)]
    if videos:
        count = f"{len(videos)} video{' was' if len(videos) == 1 else 's were'}"
        logger.warning("%s left out (first: %s): a video is given alone, by its name", count, videos[0])
    return [(path, root) for path, root in found if not _is_video(path)]


def _is_video(path: PurePath) -> bool:
    return path.suffix.lower() in VIDEOS


def _expand(text: str) -> list[tuple[Path, Path]]:
    """The images and videos of one input, each with the folder below which its name begins."""
    path = Path(text)
    if path.is_dir():
        found = [(file, path) for file in _below(path)]
    elif path.exists() and not path.is_file():
        raise UserError(f"{text}: is no regular file (a pipe or a device); write the image to a file and give that")
    elif path.exists():
        found = [(path, path.parent)]
    else:
        found = _match(text)
    if found and all(_is_video(file) for file, _ in found):
        raise UserError(f"{text}: no image there, but videos; give one alone, by its name: {found[0][0]}")
    if not found:
        kinds = f"{suffixes_in_words()}, {', '.join(VIDEOS)}"
        raise UserError(f"{text}: no image or video there ({kinds})")
    return found


def _below(folder: Path) -> list[Path]:
    """The images and videos in a folder and its subfolders."""
    return [*find_images(folder), *find_files(folder, VIDEOS)]


def _match(pattern: str) -> list[tuple[Path, Path]]:
    """The images and videos that a pattern matches, and those in the folders that it matches."""
    fixed = PurePath(re.split(r"[*?\[]", pattern, maxsplit=1)[0] + "x").parent  # up to the first folder with a *
    found = []
    for path in map(Path, sorted(glob.glob(pattern, recursive=True))):
        below = path.relative_to(fixed)
        if path.is_dir() and not is_hidden(below):
            found += [(file, Path(fixed)) for file in _below(path)]
        elif is_image_name(below) or (_is_video(below) and not is_hidden(below)):
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
