"""Images with one class each: the ImageNet CLS-LOC layout as published, or plain folders of classes.

    train = ImageNetDataset("data/imagenet", "train")
    train.classes[0], train.names[0]     # 'n01440764', 'tench, Tinca tinca'
    image, label = train[0]              # uint8 [H, W, 3] RGB, int

CLS-LOC: ROOT/ILSVRC/Data/CLS-LOC, with the lists and classes of cls_loc.py.
Folders: ROOT/{train,val}/CLASS/*.jpg, the classes in alphabetical order, or those of `classes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from resdet.data.classification.cls_loc import read_classes, read_images
from resdet.data.image_files import find_folders, find_images, suffixes_in_words
from resdet.data.images import read_image
from resdet.data.text_files import check_class_names, is_folder, named_classes, quoted
from resdet.errors import UserError, did_you_mean


class ImageNetDataset:
    """Images with one class each; paths and labels are flat arrays, which forked workers share without copying.

    Args:
        root: the folder that holds ILSVRC/, or train/ and val/.
        image_set: "train", "val", or in CLS-LOC "test".
        decode_to: decode large photographs at 1/2, 1/4 or 1/8 of their size while the short side keeps at least this
            many pixels (data/images.read_image): faster, with slightly different pixels. None: full size.
        classes: names in the order of their labels, the same for all sets; a set may lack some of them, and images of
            other classes are an error. None takes the synsets (`cls_loc.read_classes`), or the folders' names in
            alphabetical order.

    Hidden files and folders are left out. Pictures of other formats are left out and images that a list names twice
    are kept, each with one warning that counts them, on the logger "resdet".

    Attributes:
        classes: K names, wnids in CLS-LOC.
        names: K human-readable names.
        paths: str [N], below the root.
        labels: int64 [N]; `UNKNOWN` (cls_loc.py) for test.

    Raises:
        UserError: a folder, list, image or solution file is missing, or an image is of a class that `classes` or the
            mapping does not have.
    """

    def __init__(
        self, root: str | Path, image_set: str, decode_to: int | None = None, classes: Sequence[str] | None = None
    ) -> None:
        self.root, self.decode_to = Path(root), decode_to
        self.classes: tuple[str, ...] = named_classes(classes, root) or ()
        if is_folder(self.root / "ILSVRC"):
            known, names = read_classes(self.root)
            self.classes = self.classes or known
            self.names = _names_of(self.classes, dict(zip(known, names, strict=True)), self.root)
            items = read_images(self.root, image_set, self.classes)
        else:
            self.classes, items = _read_folders(self.root / image_set, self.classes)
            self.names = self.classes
        self.paths = np.array([path for path, _ in items])
        self.labels = np.array([label for _, label in items], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        """Decode image `index`: uint8 [H, W, 3], RGB, and its label.

        Raises:
            UserError: the image is missing or unreadable.
        """
        return read_image(self.root / str(self.paths[index]), self.decode_to), int(self.labels[index])

    def image_id(self, index: int) -> str:
        """The image's path below the root."""
        return str(self.paths[index])


def first_synonym(name: str) -> str:
    """The first of several names: "tench" of "tench, Tinca tinca"."""
    return name.split(",")[0]


def _names_of(classes: Sequence[str], known: dict[str, str], root: Path) -> tuple[str, ...]:
    absent = next((name for name in classes if name not in known), None)
    if absent is not None:
        hint = did_you_mean(absent, known)
        raise UserError(f"{root} has no class {quoted(absent)}{hint}; correct `classes`")
    return tuple(known[name] for name in classes)


def _read_folders(folder: Path, classes: tuple[str, ...]) -> tuple[tuple[str, ...], list[tuple[str, int]]]:
    """The classes, and path and label of each image of a folder of classes; `classes` () takes all folders."""
    found = [path.name for path in find_folders(folder)]
    if not found:
        raise UserError(f"{folder} has no class folders: expected {folder}/CLASS/*.jpg, or ILSVRC/ beside it")
    check_class_names(found, folder)
    foreign = next((name for name in found if classes and name not in classes), None)
    if foreign is not None:
        hint = did_you_mean(foreign, classes)
        raise UserError(f"{folder / foreign} is not one of `classes`{hint}; add it to them, or move the folder away")
    items = []
    for label, name in enumerate(classes or found):
        files = find_images(folder / name) if name in found else []
        if not files and not classes:
            raise UserError(
                f"{folder / name} holds no images ({suffixes_in_words()}); add some, remove it, or give `classes`"
            )
        items += [(path.relative_to(folder.parent).as_posix(), label) for path in files]
    if not items:
        raise UserError(f"{folder} holds no image of `classes`; put some there")
    return classes or tuple(found), items
