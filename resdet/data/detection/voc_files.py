"""Where a VOC data set's images, annotations and lists are, and the ids of an image set.

    files = find_voc_files(Path("data/VOCdevkit"), "2007")
    ids = files.ids("trainval")

The devkit's layout is ROOT/VOC<year>/{Annotations,JPEGImages,ImageSets/Main}. Tools also write these three folders
into the root itself (CVAT), photographs beside their xml files (Roboflow), or images/ and annotations/ without a list
(labelImg's users), also as train_images/ and train_annotations/; there the image set `EVERY` has all xml files, and
"train/*" those in a folder of the annotations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path, PurePath

from resdet.data.detection.paired_folders import annotations_of
from resdet.data.detection.voc_xml import REMEDY, parse_xml
from resdet.data.image_files import (
    IMAGE_SUFFIXES,
    folder_named,
    images_by_name,
    is_hidden,
    resolve_image,
    tell_left_out,
)
from resdet.data.text_files import is_file, is_folder, quoted, quoted_path, read_lines
from resdet.errors import UserError

EVERY = "*"  # the image set of all xml files

_FIRST = 100  # lines of a list that are looked at
_FLAGS = ("-1", "0", "1")
_ABSENT = "-1"  # second column of the per-class image sets: the class is not in the image
_IMAGES, _ANNOTATIONS = "JPEGImages", "Annotations"
# Other names of these folders, where there is no list of images.
_OTHER_IMAGES = ("images", "img", "imgs")
_FIFTYONES_IMAGES = "data"  # beside labels/
OTHER_ANNOTATIONS = ("annotations", "annots", "xmls", "xml", "labels", "annotation", "anns", "ann")


@dataclass(frozen=True)
class VOCFiles:
    """The folders of one year."""

    images: Path
    annotations: Path
    lists: Path

    @cached_property
    def image_of(self) -> dict[str, Path]:
        """Image files by id, which is the path below the folder of images without suffix.

        The annotations' <filename> is not used: in practice it may lack the suffix or name another file.
        """
        return images_by_name(self.images)

    @cached_property
    def _image_by_name(self) -> dict[str, Path]:
        return {PurePath(image_id).name: path for image_id, path in self.image_of.items()}

    def xml_of(self, image_id: str) -> Path:
        """The annotation of an image; or the .XML that some tools on Windows write, if only that is there."""
        path, upper = self.annotations / f"{image_id}.xml", self.annotations / f"{image_id}.XML"
        return upper if not is_file(path) and is_file(upper) else path

    def list_of(self, image_set: str) -> Path:
        """The file or folder that says which images belong to an image set."""
        folder = folder_of(image_set)
        return self.lists / f"{image_set}.txt" if folder is None else self.annotations / folder

    def ids(self, image_set: str) -> list[str]:
        """The ids of an image set, in the order of its list.

        Raises:
            UserError: the list is missing, lists no image, or has a line that is no id.
        """
        folder = folder_of(image_set)
        if folder is not None:
            return self._annotated(folder)
        path = self.list_of(image_set)
        image_of = self.image_of
        ids = read_image_set(path, lambda name: name in image_of or is_file(self.xml_of(name)))
        for image_id in ids:
            resolve_image(self.images, image_id, str(path))
        return ids

    def image(self, image_id: str, image_set: str) -> Path:
        """The image file of an id.

        Raises:
            UserError: there is none.
        """
        if image_id not in self.image_of:
            path = quoted_path(self.images / f"{image_id}.jpg")
            if folder_of(image_set) is not None:
                parse_xml(self.xml_of(image_id))  # of another format it is refused with this reason
                xml = quoted_path(self.xml_of(image_id))
                same = self._image_by_name.get(PurePath(image_id).name)
                remedy = "restore the image, or remove the xml file"
                if same is not None:
                    remedy = f"{quoted_path(same)} has its name: move one of them, so that their subfolders are alike"
                raise UserError(f"{path}: no such image, but {xml} is there; {remedy}")
            raise UserError(
                f"{path}: no such image, but it is listed in {self.list_of(image_set)}; restore it, or take it from "
                "the list"
            )
        return self.image_of[image_id]

    def annotation(self, image_id: str, image_set: str) -> Path:
        """The xml file of an image.

        Raises:
            UserError: there is none.
        """
        path = self.xml_of(image_id)
        if is_file(path):
            return path
        raise UserError(
            f"{quoted_path(path)}: no such file, but its image is in {self.list_of(image_set)}; write one (without "
            "<object> for an image without objects), or take the image from the list"
        )

    def classes_of(self, image_id: str) -> set[str]:
        """The names of an image's objects; none if its xml file is missing or cannot be read."""
        try:
            return {name.text.strip() for name in parse_xml(self.xml_of(image_id)).findall("object/name") if name.text}
        except UserError:
            return set()

    def _annotated(self, folder: str) -> list[str]:
        """The ids of all xml files in a folder below the annotations, "" for all."""
        place = self.annotations / folder
        xmls = [path.relative_to(self.annotations) for path in sorted(place.rglob("*.[xX][mM][lL]"))]
        ids = [path.with_suffix("").as_posix() for path in xmls if not is_hidden(path)]
        if not ids:
            raise UserError(f"{place}: no xml file there; put the annotations there")
        images = [image_id for image_id in self.image_of if PurePath(image_id).is_relative_to(folder)]
        tell_left_out(place, sorted(set(images) - set(ids)), f"of {len(images)} images have no xml file")
        return ids


def folder_of(image_set: str) -> str | None:
    """The folder below the annotations whose xml files are an image set, "train" for "train/*"; None for a list."""
    if image_set == EVERY:
        return ""
    return image_set.removesuffix("/*") if image_set.endswith("/*") else None


def find_voc_files(root: Path, year: str, image_set: str) -> VOCFiles:
    """Find the folders of one year.

    Args:
        root: the folder that holds VOC2007, VOC2012, ...
        year: what follows "VOC" in a folder's name, or the name of a folder; "" for the root itself.
        image_set: one without a list also finds folders of other names than the devkit's.

    Raises:
        UserError: a folder is missing.
    """
    folders = [root / f"VOC{year}", root / year]
    folder = next((folder for folder in folders if is_folder(folder)), None)
    if folder is None:
        raise UserError(
            f"{folders[0]}: no such folder; the root must hold VOC{year}/{{{_ANNOTATIONS},{_IMAGES},ImageSets}}"
        )
    images, annotations = folder / _IMAGES, folder / _ANNOTATIONS
    if folder_of(image_set) is not None:
        annotations = _first_folder(folder, (_ANNOTATIONS, *OTHER_ANNOTATIONS))
        beside = annotations == folder
        if beside and folder != root:
            annotations = annotations_of(folder, ".xml") or folder
        images = _first_folder(folder, (_IMAGES, *_OTHER_IMAGES, *(() if beside else (_FIFTYONES_IMAGES,))))
    return VOCFiles(images, annotations, folder / "ImageSets" / "Main")


def read_image_set(path: str | Path, is_known: Callable[[str], bool] | None = None) -> list[str]:
    """Read the image ids of an image set, one per line.

    The per-class files have a second column ("000012 -1"): images with -1, which lack the class, are left out; images
    with 0, where all objects of the class are difficult, are kept. A line that is an id as a whole is taken as one:
    "img 1" is the image "img 1" if there is such an image or annotation.

    Args:
        path: the list.
        is_known: whether there is an image or annotation of this id; ids may then have blanks, backslashes or the
            suffix of the image. None: the second column is recognized by its form alone.

    Raises:
        UserError: the file is missing or lists no image, or a line has another form.
    """
    lines = list(read_lines(path, REMEDY))
    flagged = all(_has_flag(line) for _, line in lines)
    ids = [image_id for where, line in lines for image_id in _ids_of(line, where, is_known, flagged)]
    if not ids:
        raise UserError(f"{path}: no image in this image set; list one id per line, without suffix")
    return ids


def first_without_flag(path: Path) -> str | None:
    """The id on the first line without a flag, "" of an empty list; None if all lines have the flags of one class.

    Raises:
        UserError: the list cannot be read.
    """
    lines = [line for _, line in islice(read_lines(path, REMEDY), _FIRST)]
    ids = (line for line in lines if len(line.split()) == 1 or line.split()[-1] not in _FLAGS)
    first = next(ids, None if lines else "")
    return first and list(_spellings(first))[-1]


def _ids_of(line: str, where: str, is_known: Callable[[str], bool] | None, flagged: bool) -> list[str]:
    """The image's id, or nothing where the line says that it lacks the class."""
    if is_known is not None:
        found = next((name for name in _spellings(line) if is_known(name)), None)
        if found is not None:
            return [found]
        if not flagged:
            return [line.replace("\\", "/")]  # without an image, which is told with the name of the file
    if len(line.split()) > 1 and not _has_flag(line):
        raise UserError(f"{where}: {quoted(line)} is not 'id' or 'id -1|0|1'; there is no image of this name")
    head, flag = line.rsplit(maxsplit=1) if _has_flag(line) else (line, "")
    if flag == _ABSENT:
        return []
    return [next((name for name in _spellings(head) if is_known is not None and is_known(name)), head)]


def _has_flag(line: str) -> bool:
    words = line.split()
    return len(words) == 2 and words[1] in _FLAGS


def _spellings(text: str) -> Iterator[str]:
    """An id as tools write it, and what it then means: with backslashes, suffix, or the folder of images before it."""
    yield text
    plain = PurePath(text.replace("\\", "/"))
    if _IMAGES in plain.parts:
        last = len(plain.parts) - plain.parts[::-1].index(_IMAGES)
        plain = PurePath(*plain.parts[last:])
    yield plain.as_posix()
    if plain.suffix.lower() in (*IMAGE_SUFFIXES, ".xml"):
        yield plain.with_suffix("").as_posix()


def _first_folder(folder: Path, names: tuple[str, ...]) -> Path:
    """The first of these folders that exists in `folder`, in any case; `folder` itself if none does."""
    return next((found for name in names if is_folder(found := folder_named(folder, name))), folder)
