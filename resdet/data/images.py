"""Image files: pixels with OpenCV, sizes from the header alone. Both honour the EXIF orientation of photos.

pixels = read_image("photo.jpg")          # uint8 [H, W, 3], RGB
height, width = image_size("photo.jpg")   # nothing is decoded: fast enough for a whole data set
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from resdet.errors import UserError

_RGB = getattr(cv2, "IMREAD_COLOR_RGB", 0)  # since OpenCV 4.11 the decoder itself can write RGB
_COLOUR = _RGB or cv2.IMREAD_COLOR
_EXIF_ORIENTATION = 0x0112  # the EXIF tag; its values 5..8 swap width and height
_ENDS = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND\xaeB`\x82"}  # how a whole JPEG or PNG, known by its start, ends


def read_image(path: str | Path, at_least: int | None = None) -> np.ndarray:
    """Decode a file to uint8 [H, W, 3], RGB; gray images are repeated, alpha is dropped, 16 bits become 8.

    at_least: decode to a half, a quarter or an eighth of the size where the short side keeps so many pixels; of a JPEG
        most of the work is saved (libjpeg decodes fewer coefficients).

    Raises:
        UserError: the file is missing, cut short, or no image that OpenCV can decode.
    """
    encoded = _read_bytes(path)
    _refuse_half_an_image(path, encoded)
    flags = _COLOUR if at_least is None else _reduction(min(image_size(path)), at_least)
    try:
        # imdecode and not imread: imread cannot open names outside the local code page on Windows.
        pixels = cv2.imdecode(encoded, flags) if encoded.size else None
    except cv2.error:
        pixels = None
    if pixels is None:
        raise UserError(f"{path}: not an image that OpenCV can decode; replace the file or take it out of the data set")
    return pixels if _RGB else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def image_size(path: str | Path) -> tuple[int, int]:
    """(height, width) that `read_image` would give, from the file's header.

    Raises:
        UserError: the file is missing, or its header is not one that Pillow knows.
    """
    from PIL import Image, UnidentifiedImageError  # lazily: only needed for data sets whose annotations lack sizes

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
    """OpenCV's flag for the smallest decoding with a short side of `at_least` pixels."""
    # Of IMREAD_REDUCED_COLOR_* the bit that says COLOR goes: OpenCV refuses it beside RGB.
    flags = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}
    found = next((flag for factor, flag in flags.items() if short // factor >= at_least), cv2.IMREAD_COLOR)
    return found - cv2.IMREAD_COLOR + _COLOUR


def _refuse_half_an_image(path: str | Path, encoded: np.ndarray) -> None:
    """OpenCV fills what is missing of a file with gray. Pillow tells, and is asked only where the end looks wrong."""
    end = _ENDS.get(encoded[:2].tobytes())
    if end is None or encoded[-len(end) :].tobytes() == end:
        return
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            image.load()  # trailing bytes, which some cameras write, are no harm
    except (UnidentifiedImageError, OSError, SyntaxError):
        raise UserError(f"{path}: the image is cut short; copy it again or take it out of the data set") from None


def _read_bytes(path: str | Path) -> np.ndarray:
    try:
        return np.fromfile(path, np.uint8)
    except FileNotFoundError:
        raise _missing(path) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None


def _missing(path: str | Path) -> UserError:
    return UserError(f"{path}: no such image; check the data set's root, or take it out of the image set")
