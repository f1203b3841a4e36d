"""Pixels from every form of an image: files, bytes, arrays, tensors, Pillow images."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from resdet.data.images import decode_image, read_image
from resdet.data.text_files import quoted
from resdet.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = npt.NDArray[np.uint8]  # [H, W, 3] RGB
# A file, its content, an array [H, W, 3], [H, W, 4] or gray [H, W], a tensor of these shapes or [3, H, W], Pillow's.
Readable = Union[str, Path, bytes, bytearray, memoryview, npt.NDArray[np.uint8], Tensor, "Image"]

_CHANNELS = (1, 3, 4)
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


def to_pixels(image: Readable, name: str = "image") -> Pixels:
    """Read the pixels of an image.

    Args:
        image: a path; the content of an image file; a NumPy array uint8 [H, W, 3] RGB, [H, W, 4] whose alpha is
            dropped, or gray [H, W] or [H, W, 1]; a tensor of one of these shapes or [C, H, W], uint8, or float in
            0..1 as from torchvision's `to_tensor`; a Pillow image, which is rotated by its EXIF orientation.
        name: of the image, for messages.

    Returns:
        uint8 [H, W, 3] RGB, contiguous and writable.

    Raises:
        UserError: a file cannot be read, a URL is given, or an array has another type or shape.
    """
    if isinstance(image, str | Path):
        _refuse_url(str(image))
        return read_image(image)
    if isinstance(image, bytes | bytearray | memoryview):
        return decode_image(image, name)
    if isinstance(image, Tensor):
        return _three_channels(_channels_last(image), name)
    if hasattr(image, "getbands"):
        return _three_channels(_of_pillow(image), name)
    return _three_channels(np.asarray(image), name)


def _refuse_url(text: str) -> None:
    if _URL.match(text):
        raise UserError(f"{quoted(text)}: URLs are not fetched, so that no image leaves or enters this machine unseen; "
                        "download it and give the file, or its bytes")  # fmt: skip


def _channels_last(image: Tensor) -> npt.NDArray[Any]:
    image = image.detach().cpu()
    if image.dim() == 3 and image.shape[-1] not in _CHANNELS and image.shape[0] in _CHANNELS:
        image = image.permute(1, 2, 0)
    if image.is_floating_point() and image.numel() and image.min() >= 0 and image.max() <= 1:
        image = (image.float() * 255).round().to(torch.uint8)
    return image.float().numpy() if image.dtype == torch.bfloat16 else image.numpy()


def _of_pillow(image: Any) -> npt.NDArray[Any]:
    from PIL import ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":  # 16 bits become 8, as in `read_image`
        values = np.asarray(image)
        return (values.astype(np.int64) >> 8).clip(0, 255).astype(np.uint8) if image.mode != "F" else values
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return np.asarray(image if image.mode in ("L", "RGB", "RGBA") else image.convert("RGB"))


def _three_channels(pixels: npt.NDArray[Any], name: str) -> Pixels:
    shape = list(pixels.shape)
    right = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in _CHANNELS)
    if not right or pixels.dtype != np.uint8 or not pixels.size:
        wanted = "uint8 [H, W, 3] RGB, [H, W, 4], gray [H, W], or a tensor [3, H, W]"
        raise UserError(f"{name}: expected {wanted}, got {pixels.dtype} {shape}")
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.shape[2] == 1:
        pixels = pixels.repeat(3, axis=2)
    return np.array(pixels[:, :, :3], order="C")  # a copy: writable, as torch wants it
