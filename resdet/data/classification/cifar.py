"""CIFAR-10 from its official files, in the binary or the Python layout, as one tensor.

    train = Cifar10("data", "train")
    train.images                          # uint8 [50000, 3, 32, 32], RGB
    train.mean_image                      # float32 [3, 32, 32], what Sect. 4.2 subtracts

ROOT/cifar-10-batches-bin/{data_batch_1..5,test_batch}.bin, or ROOT/cifar-10-batches-py/data_batch_1 ... as
torchvision downloads them. The Python layout's pickles are read without executing code in them.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from resdet.data.text_files import LONGEST_QUOTE, is_file, read_bytes
from resdet.errors import UserError
from resdet.weights.arrays import to_array
from resdet.weights.unpickle import read_pickle

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BINARY, PYTHON = "cifar-10-batches-bin", "cifar-10-batches-py"
SIDE, PIXELS = 32, 3 * 32 * 32
BATCH = 10_000  # images per file
VALIDATION = 5_000  # of the training images, the last ones (Sect. 4.2: a 45k/5k split; which 5k is not said)

ImageSet = Literal["train", "test", "train45k", "val5k"]


class Cifar10:
    """All images and labels of one set, in memory.

    Args:
        root: the folder that holds cifar-10-batches-bin or cifar-10-batches-py, or one of these folders.
        image_set: "train" (50,000), "test" (10,000), or the training set's parts "train45k" and "val5k".
        download: let torchvision download the Python layout if no files are there.

    Attributes:
        images: uint8 [N, 3, 32, 32] (channels_last memory), RGB.
        labels: int64 [N].

    Raises:
        UserError: a file is missing, has another size, or is not CIFAR-10's.
    """

    def __init__(self, root: str | Path, image_set: ImageSet, download: bool = False) -> None:
        if image_set not in ("train", "test", "train45k", "val5k"):
            raise UserError(f"image_set is '{image_set}'; CIFAR-10 has train, test, train45k and val5k")
        self.classes = self.names = CLASSES
        self.image_set = image_set
        names = ["test_batch"] if image_set == "test" else [f"data_batch_{i}" for i in range(1, 6)]
        parts = [_read(path) for path in _files(Path(root), names, download)]
        part = {"train45k": slice(-VALIDATION), "val5k": slice(-VALIDATION, None)}.get(image_set, slice(None))
        pixels = np.concatenate([images for images, _ in parts])[part]
        labels = np.concatenate([labels for _, labels in parts])[part]
        planes = torch.from_numpy(pixels).view(-1, 3, SIDE, SIDE)
        self.images: Tensor = planes.contiguous(memory_format=torch.channels_last)
        self.labels: Tensor = torch.from_numpy(labels.astype(np.int64))

    @property
    def mean_image(self) -> Tensor:
        """The per-pixel mean over the set, float32 [3, 32, 32], 0..255."""
        return self.images.double().mean(0).float()

    def __len__(self) -> int:
        return len(self.labels)

    def image_id(self, index: int) -> str:
        """A name of the image, for messages: the set and the index."""
        return f"{self.image_set}/{index}"


def _files(root: Path, names: list[str], download: bool) -> list[Path]:
    for folder in (root / BINARY, root / PYTHON, root):
        for suffix in (".bin", ""):
            paths = [folder / f"{name}{suffix}" for name in names]
            if any(is_file(path) for path in paths):
                missing = [path for path in paths if not is_file(path)]
                if missing:
                    raise UserError(f"{missing[0]} is missing; unpack the archive of CIFAR-10 again")
                return paths
    if not download:
        raise UserError(
            f"{root} has neither {BINARY} nor {PYTHON}: unpack CIFAR-10 there, see data/README.md, "
            "or set download=True in the config's data sets"
        )
    _download(root)
    return _files(root, names, download=False)


def _download(root: Path) -> None:
    from torchvision.datasets import CIFAR10  # imported here: only the download needs it

    try:
        CIFAR10(str(root), download=True)
    except (OSError, RuntimeError) as error:
        raise UserError(f"CIFAR-10 could not be downloaded to {root} ({error}); get the archive elsewhere") from error


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pixels uint8 [10000, 3072] and labels [10000] of one file."""
    images, labels = _read_binary(path) if path.suffix == ".bin" else _read_python(path)
    if images.shape != (BATCH, PIXELS) or labels.shape != (BATCH,):
        raise UserError(f"{path} holds {len(images)} images, not {BATCH:,}: copy it again")
    if labels.min() < 0 or labels.max() >= len(CLASSES):
        raise UserError(f"{path} has labels from {labels.min()} to {labels.max()}: this is not CIFAR-10's file")
    return images, labels


def _read_binary(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Records of one byte for the label and 3,072 for the pixels, channel by channel."""
    data = np.frombuffer(read_bytes(path), np.uint8)
    if data.size % (PIXELS + 1):
        raise UserError(f"{path} has {data.size:,} bytes, no multiple of {PIXELS + 1}: it is truncated; copy it again")
    records = data.reshape(-1, PIXELS + 1)
    return records[:, 1:], records[:, 0]


def _read_python(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        batch = read_pickle(io.BytesIO(read_bytes(path)))
        return np.asarray(to_array(batch["data"]), np.uint8), np.asarray(to_array(batch["labels"]), np.int64)
    except UserError:
        raise
    except Exception as error:  # a damaged file can fail in any way
        raise UserError(
            f"{path} cannot be read as a batch of CIFAR-10 ({str(error)[:LONGEST_QUOTE]}); copy it again"
        ) from error
