"""Image files: pixels by OpenCV, sizes from the header by Pillow. Both apply the EXIF orientation of photos.

pixels = read_image("photo.jpg")          # uint8 [H, W, 3], RGB
height, width = image_size("photo.jpg")   # without decoding: fast enough for a whole data set
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from resdet.errors import UserError

_RGB = getattr(cv2, "IMREAD_COLOR_RGB", 0)  # from OpenCV 4.11 on the decoder can write RGB
_COLOUR = _RGB or cv2.IMREAD_COLOR
_EXIF_ORIENTATION = 0x0112  # the EXIF tag; its values 5..8 swap width and height
_ENDS = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND\xaeB`\x82"}  # JPEG and PNG: first bytes, last bytes


def read_image(path: str | Path, at_least: int | None = None) -> np.ndarray:
    """Decode an image file; gray is repeated to three channels, alpha is dropped, 16 bits become 8.

    Args:
        path: the file.
        at_least: decode at 1/8, 1/4 or 1/2 of the size, the smallest whose short side has at least this many pixels.
            Faster for JPEGs, of which libjpeg then decodes fewer coefficients. None: full size.

    Returns:
        uint8 [H, W, 3], RGB.

    Raises:
        UserError: the file is missing, truncated, or not an image that OpenCV can decode.
    """
    encoded = _read_bytes(path)
    _refuse_truncated(path, encoded)
    flags = _COLOUR if at_least is None else _reduction(min(image_size(path)), at_least)
    pixels: np.ndarray | None
    try:
        # imdecode rather than imread, which cannot open names outside the local code page on Windows.
        pixels = cv2.imdecode(encoded, flags) if encoded.size else None
    except cv2.error:
        pixels = None
    if pixels is None:
        raise UserError(f"{path}: not an image that OpenCV can decode; replace the file or take it out of the data set")
    rgb: np.ndarray = pixels if _RGB else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return rgb


def image_size(path: str | Path) -> tuple[int, int]:
    """The (height, width) that `read_image` gives at full size, from the file's header.

    Raises:
        UserError: the file is missing, or Pillow cannot read its header.
    """
    from PIL import Image, UnidentifiedImageError  # imported here: only some data sets need it

    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(_EXIF_ORIENTATION) in (5, 6, 7, 8)
    except FileNotFoundError:
        raise _missing(path) from None
    except (UnidentifiedImageError, OSError, SyntaxError):
        raise UserError(f"{path}: unreadable image header; replace the file or take it out of the data set") from None
    return (width, height) if turned else (height, width)


def _reduction(short: int, at_least: int) -> int:
    """OpenCV's flag for the smallest decoded size whose short side has at least `at_least` pixels."""
    # The bit IMREAD_COLOR of IMREAD_REDUCED_COLOR_* is replaced: OpenCV refuses it together with IMREAD_COLOR_RGB.
    flags = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}
    found = next((flag for factor, flag in flags.items() if short // factor >= at_least), cv2.IMREAD_COLOR)
    return int(found - cv2.IMREAD_COLOR + _COLOUR)


def _refuse_truncated(path: str | Path, encoded: np.ndarray) -> None:
    """Refuse truncated files, which OpenCV fills with gray. Pillow is asked only if the file's end looks wrong."""
    end = _ENDS.get(encoded[:2].tobytes())
    if end is None or encoded[-len(end) :].tobytes() == end:
        return
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            image.load()  # accepts trailing bytes, which some cameras write
    except (UnidentifiedImageError, OSError, SyntaxError):
        raise UserError(f"{path}: the image is truncated; copy it again or take it out of the data set") from None


def _read_bytes(path: str | Path) -> np.ndarray:
    try:
        return np.fromfile(path, np.uint8)
    except FileNotFoundError:
        raise _missing(path) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None


def _missing(path: str | Path) -> UserError:
    return UserError(f"{path}: no such image; check the data set's root, or take it out of the image set")
