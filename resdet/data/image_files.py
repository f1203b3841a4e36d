"""Image files of a data set: which files are images, and the file that an annotation means. Every reader asks here.

find_images(Path("photos"))                               # below it, sorted, without hidden files
resolve_image(Path("photos"), r"sub\1.jpg", "labels.json: image 7")         # photos/sub/1.jpg
require_images(paths, "labels.json")                      # all of them, before the first step of a training
"""

from __future__ import annotations

import logging
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath, PureWindowsPath
from typing import NoReturn
from urllib.parse import unquote

from resdet.data.text_files import is_folder, quoted, quoted_path
from resdet.errors import UserError

# What OpenCV decodes, compared in lower case; of several files with one name the first of these suffixes is taken.
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".avif", ".jp2"),
    *(".jpe", ".jfif", ".mpo", ".j2k", ".ppm", ".pgm", ".pbm", ".pnm"),
)
# Pictures that are not read. They are told rather than passed over, because somebody may count on them.
OTHER_SUFFIXES = (".heic", ".heif", ".gif", ".jxl", ".svg", ".psd", ".dng", ".cr2", ".nef", ".arw", ".tga", ".pcx")
_UPLOADED = re.compile(r".*[\\/]upload[\\/]\d+[\\/]")  # Label Studio's folder on its server: media/upload/PROJECT/
_ADDRESS = re.compile(r"^https?://|[?]d=|%[0-9A-Fa-f]{2}")  # a web address, or a name escaped for one
# Written by operating systems and tools into folders of photographs; names that begin with a dot are hidden as well:
# macOS's ._photo.jpg, .DS_Store, .ipynb_checkpoints.
HIDDEN_NAMES = ("__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "system volume information")

logger = logging.getLogger("resdet")


def suffixes_in_words() -> str:
    """The suffixes of images that people have, for messages."""
    return ", ".join(IMAGE_SUFFIXES[:9])


def is_hidden(path: PurePath) -> bool:
    """Whether a part of this path, given below the data set's folder, is no data: a hidden file or folder."""
    return any(
        (part.startswith(".") and part not in (".", "..")) or part.lower() in HIDDEN_NAMES for part in path.parts
    )


def is_image_name(path: PurePath) -> bool:
    """Whether a file of this name, given below the data set's folder, is taken as an image."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not is_hidden(path)


def find_images(folder: Path) -> list[Path]:
    """The images in a folder and its subfolders, sorted by their paths; one warning counts the pictures left out.

    Raises:
        UserError: there is no such folder, or it cannot be read.
    """
    images, others = [], []
    for path in _walk(folder):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            images.append(path)
        elif path.suffix.lower() in OTHER_SUFFIXES:
            others.append(path)
    kinds = ", ".join(sorted({path.suffix.lower() for path in others}))
    names = [path.name for path in others]
    tell_left_out(folder, names, f"files are pictures that cannot be read ({kinds})", "; convert them to .jpg")
    return sorted(images, key=lambda path: path.relative_to(folder).as_posix())


def find_files(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """The files of these suffixes, in lower case, in a folder and its subfolders, without hidden ones, sorted.

    Raises:
        UserError: there is no such folder, or it cannot be read.
    """
    return sorted(path for path in _walk(folder) if path.suffix.lower() in suffixes)


def find_folders(folder: Path) -> list[Path]:
    """The folders directly in a folder, sorted, without the hidden ones; classes of an image-folder data set."""
    return [Path(entry.path) for entry in _entries(str(folder)) if entry.is_dir()] if is_folder(folder) else []


def folder_named(parent: Path, name: str) -> Path:
    """The folder `name` in `parent`; if only one in another case is there, such as Images/ from Windows, that one."""
    folder = parent / name
    if is_folder(folder):
        return folder
    try:
        with os.scandir(parent) as entries:
            same = sorted(e.name for e in entries if e.name.lower() == name.lower() and e.is_dir())
    except (OSError, ValueError):  # there is no such parent, or it may not be read, as lost+found of a disk
        return folder
    return parent / same[0] if same else folder


def images_by_name(folder: Path) -> dict[str, Path]:
    """The images of `find_images` by their paths below the folder, without suffix and with forward slashes.

    Of several files with one name the first suffix of `IMAGE_SUFFIXES` is taken, and one warning counts the others.
    """
    found: dict[str, Path] = {}
    repeated = []
    for path in sorted(find_images(folder), key=lambda path: (IMAGE_SUFFIXES.index(path.suffix.lower()), str(path))):
        first = found.setdefault(path.relative_to(folder).with_suffix("").as_posix(), path)
        if first is not path:
            repeated.append(path)
    tell_left_out(folder, [path.name for path in repeated], "images differ from another only in their suffix")
    return found


def resolve_image(folder: Path, name: str, where: str) -> Path:
    """The path of an image that an annotation file names.

    Args:
        folder: of the images.
        name: a path below `folder`, with forward slashes or as Windows writes it, or an absolute path. One of another
            computer, whose folders are not there, is looked for below `folder`, by ever fewer of its last folders. That
            the file exists is checked by `require_images`.
        where: file and place, for the message.

    Raises:
        UserError: the name is empty, cannot be the name of a file, is absolute on a Windows computer and not found, or
            leads out of `folder`.
    """
    if not name.strip() or "\0" in name or not _encodable(name):
        raise UserError(f"{where}: {quoted(name)} cannot be the name of an image; correct it")
    if name != name.strip() and not os.path.exists(folder / name):
        name = name.strip()
    if leads_up(name) and is_uploaded(name) and not os.path.exists(folder / name):
        name = _UPLOADED.sub("", name)
    if not name.isascii() and not os.path.exists(folder / name):  # macOS decomposes accents in names, and its zips do
        forms = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
        name = next((form for form in forms if os.path.exists(folder / form)), name)
    if _ADDRESS.search(name) and not os.path.exists(folder / name):
        return _of_address(folder, name)
    if os.path.isabs(name):
        return Path(name) if os.path.exists(name) else _of_another_computer(folder, name) or Path(name)
    if PureWindowsPath(name).drive and not os.path.exists(folder / name):
        found = _of_another_computer(folder, name)
        if found is None:
            raise UserError(f"{where}: {quoted(name)} is a path of a Windows computer; write it below {folder}")
        return found
    if "\\" in name and not os.path.exists(folder / name):
        name = name.replace("\\", "/")
    path = Path(os.path.normpath(folder / name))
    if not path.is_relative_to(os.path.normpath(folder)):
        raise UserError(f"{where}: {quoted(name)} is not below {folder}; name images by their paths below it")
    if not os.path.isdir(path.parent):
        return _of_another_computer(folder, f"/{name}") or path
    return path


def leads_up(name: str) -> bool:
    """Whether the path of an image, as any system writes it, leads through a folder above."""
    return ".." in re.split(r"[\\/]", name)


def is_uploaded(name: str) -> bool:
    """Whether the path of an image is one of Label Studio's server, where images are uploaded to a project."""
    return _UPLOADED.match(name) is not None


def listed_stem(name: str, where: str) -> str:
    """The path of an image below its folder, without suffix, from one of ImageNet's lists.

    Args:
        name: as listed; Windows' tools write backslashes, and some the suffix.
        where: file and line of the list, for the message.

    Raises:
        UserError: the path leads out of the folder.
    """
    stem = re.sub(r"\.jpe?g$", "", name.replace("\\", "/"), flags=re.IGNORECASE)
    if ".." in stem.split("/") or stem.startswith("/"):
        raise UserError(f"{where}: {quoted(name)} is not below the folder of images; list paths below it")
    return stem


def _of_address(folder: Path, name: str) -> Path:
    """The file of a web address, or of a path in one: Label Studio's "/data/local-files/?d=photos/my%20cat.jpg"."""
    plain = unquote(name.partition("?d=")[2] or re.sub(r"^\w+:/+", "/", name))
    path = Path(os.path.normpath(folder / plain.lstrip("/")))
    if path.is_relative_to(os.path.normpath(folder)) and os.path.isfile(path):
        return path
    return _of_another_computer(folder, f"/{plain}") or folder / PurePath(plain).name


def _of_another_computer(folder: Path, name: str) -> Path | None:
    parts = PurePath(name.replace("\\", "/")).parts
    endings = (folder.joinpath(*parts[k:]) for k in range(1, len(parts)) if ".." not in parts[k:])
    return next((path for path in endings if os.path.isfile(path)), None)


def require_images(paths: Sequence[str | Path], source: str | Path) -> None:
    """Check that all images are there, so that a missing one is found before a training and not in the middle of it.

    Folders are listed once, which for large sets is much faster than a look at each file.

    Args:
        paths: of the images.
        source: what names them, for the message.

    Raises:
        UserError: images are missing; the first is named and all are counted.
    """
    missing = missing_images(paths)
    if missing:
        counted = f" ({len(missing)} of {len(paths)} are missing)" if len(missing) > 1 else ""
        first = f"{quoted_path(missing[0])}: no such image{similar_file(missing[0])}"
        raise UserError(f"{first}, but it is listed in {source}{counted}; restore it, or take it from the list")


def similar_file(path: Path) -> str:
    """A picture of nearly this name, for messages: other case, suffix or Unicode form: " (only 'a.jpg' is there)"."""

    def plain(name: str) -> str:
        return unicodedata.normalize("NFC", os.path.splitext(name)[0]).casefold()

    try:
        names = sorted(name for name in os.listdir(path.parent) if plain(name) == plain(path.name))
        names = [name for name in names if os.path.splitext(name)[1].lower() in (*IMAGE_SUFFIXES, *OTHER_SUFFIXES)]
    except (OSError, ValueError):
        return ""
    return f" (only {quoted(names[0])} is there)" if names else ""


def missing_images(paths: Sequence[str | Path]) -> list[Path]:
    """Those of the paths where there is no file, in their order."""
    names: dict[str, set[str]] = defaultdict(set)
    for folder in {os.path.dirname(path) for path in paths}:
        try:
            names[folder] = set(os.listdir(folder or "."))
        except (OSError, ValueError):
            continue  # no such folder: all its images are missing
    # A name that the listing lacks may still exist where case does not count.
    return [Path(p) for p in paths if os.path.basename(p) not in names[os.path.dirname(p)] and not os.path.isfile(p)]


def tell_left_out(folder: Path, names: Sequence[str], what: str, remedy: str = "") -> None:
    """Warn of files in a folder that are left out, if there are any: how many, and the first of them.

    Args:
        folder: of the files.
        names: of the files.
        what: what is wrong with them; follows their number: "images have no xml file".
        remedy: ends the message: "; convert them to .jpg".
    """
    if names:
        logger.warning("%s: %d %s and were left out (first: %s)%s", folder, len(names), what, names[0], remedy)


def _walk(folder: Path) -> Iterator[Path]:
    """All files below a folder that are not hidden; links to folders are followed, each folder once."""
    if not is_folder(folder):
        raise UserError(f"{folder}: no such folder; put the images there")
    seen: set[str] = set()
    waiting = [str(folder)]
    while waiting:
        directory = waiting.pop()
        real = os.path.realpath(directory)
        if real in seen:  # a link to a folder above itself
            continue
        seen.add(real)
        entries = _entries(directory)
        waiting += [entry.path for entry in reversed(entries) if entry.is_dir()]
        yield from (Path(entry.path) for entry in entries if entry.is_file() or _is_broken_link(entry))


def _entries(directory: str) -> list[os.DirEntry[str]]:
    """What is in a folder and not hidden, sorted; its kinds are known without a look at each file."""
    try:
        with os.scandir(directory) as found:
            return sorted((e for e in found if not is_hidden(PurePath(e.name))), key=lambda entry: entry.name)
    except OSError as error:
        _refuse_folder(error)


def _is_broken_link(entry: os.DirEntry[str]) -> bool:
    """Whether a link leads nowhere: its reader names it. What else is no file, a pipe or a device, could block."""
    return entry.is_symlink() and not os.path.exists(entry.path)


def _refuse_folder(error: OSError) -> NoReturn:
    raise UserError(f"{error.filename}: cannot be read ({error.strerror}); check its permissions")


def _encodable(name: str) -> bool:
    try:
        os.fsencode(name)
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True
