"""Image files: encode an image, and write it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from resdet.errors import UserError
from resdet.report.canvas import Image
from resdet.whole_files import write_whole_file


def encode_image(image: Image, suffix: str = ".png", quality: int = 92) -> bytes:
    """Encode an image.

    Args:
        image: uint8 [H, W, 3], RGB.
        suffix: of the file type: ".png", ".jpg", ".webp" ...
        quality: of JPEG and WebP, 0..100.

    Raises:
        UserError: OpenCV cannot write this type.
    """
    bgr = np.ascontiguousarray(image[..., ::-1])
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1] if suffix in (".jpg", ".jpeg") else []
    options = [cv2.IMWRITE_WEBP_QUALITY, quality] if suffix == ".webp" else options
    try:
        done, data = cv2.imencode(suffix, bgr, options)
    except cv2.error:
        done = False
    if not done:
        raise UserError(f"'{suffix}' is not an image type that can be written: use .png, .jpg or .webp")
    return bytes(data.tobytes())


def save_image(path: str | Path, image: Image) -> None:
    """Write an image atomically; the suffix says the type; missing folders are made.

    Args:
        path: the file.
        image: uint8 [H, W, 3], RGB.

    Raises:
        UserError: the suffix is not of an image type, or the folder cannot be written.
    """
    try:
        data = encode_image(image, Path(path).suffix.lower())
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    write_whole_file(path, data)
