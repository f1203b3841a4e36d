"""Image files: pixels by OpenCV, sizes from the header by Pillow. Both apply the EXIF orientation of photos.

    pixels = read_image("photo.jpg")          # uint8 [H, W, 3], RGB
    height, width = image_size("photo.jpg")   # without decoding: fast enough for a whole data set

No image of more than `most_pixels()` is decoded: a small file can claim a size that no memory holds.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from resdet.data.text_files import quoted, quoted_path
from resdet.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Exif, Image

LIMIT_NAME = "RESDET_MAX_MEGAPIXELS"  # an environment variable, so that loader workers and all commands have it
MOST_MEGAPIXELS = 600  # satellite scenes, slides and panoramas are below; decoded such an image takes 1.8 GB
OPENCV_LIMIT = 2**30  # pixels that OpenCV decodes at most

_RGB = getattr(cv2, "IMREAD_COLOR_RGB", 0)  # from OpenCV 4.11 on the decoder can write RGB
_COLOUR = _RGB or cv2.IMREAD_COLOR
_EXIF_ORIENTATION = 0x0112  # the EXIF tag
_TAIL = 65536  # bytes at the end of a PNG in which EXIF data behind the pixels are looked for
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257  # tags of the size as stored
_SWAPPED = (5, 6, 7, 8)  # its values that swap width and height
_ENDS = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND\xaeB`\x82"}  # JPEG and PNG: first bytes, last bytes
_REPLACE = "replace the file or leave it out"  # of a data set, or of what `predict` reads
# JPEG's markers that begin a frame, with its height and width; C4, C8 and CC are other things in between.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def most_pixels() -> int:
    """The number of pixels above which an image is refused, from `LIMIT_NAME`.

    Raises:
        UserError: the variable is set, but not to a positive number.
    """
    text = os.environ.get(LIMIT_NAME, str(MOST_MEGAPIXELS))
    try:
        pixels = int(float(text) * 1e6)
    except (ValueError, OverflowError):
        pixels = 0
    if pixels < 1:
        raise UserError(f"{LIMIT_NAME} is {quoted(text)}: give the millions of pixels that an image may have")
    return pixels


def read_image(path: str | Path, at_least: int | None = None) -> np.ndarray:
    """Decode an image file; gray is repeated to three channels, alpha is dropped, 16 bits become 8.

    Args:
        path: the file.
        at_least: decode at 1/8, 1/4 or 1/2 of the size, the smallest whose short side has at least this many pixels.
            Faster for JPEGs, of which libjpeg then decodes fewer coefficients. None: full size.

    Returns:
        uint8 [H, W, 3], RGB.

    Raises:
        UserError: the file is missing, truncated, not an image that OpenCV can decode, or has more pixels than
            `most_pixels()`.
    """
    return _decode(path, _read_bytes(path), at_least)


def decode_image(data: bytes | bytearray | memoryview, name: str = "image") -> np.ndarray:
    """Decode the content of an image file, as `read_image` does.

    Args:
        data: the content.
        name: for messages.

    Raises:
        UserError: it is truncated, not an image that OpenCV can decode, or has more pixels than `most_pixels()`.
    """
    return _decode(name, np.frombuffer(data, np.uint8), None)


def _decode(path: str | Path, encoded: np.ndarray, at_least: int | None) -> np.ndarray:
    _refuse_too_large(path, _stored_size(path, encoded))
    _refuse_truncated(path, encoded)
    flags = _COLOUR if at_least is None else _reduction(min(image_size(path)), at_least)
    pixels: np.ndarray | None
    try:
        # imdecode rather than imread, which cannot open names outside the local code page on Windows.
        pixels = cv2.imdecode(encoded, flags) if encoded.size else None
    except (cv2.error, MemoryError):
        pixels = None
    if pixels is None:
        raise UserError(f"{path}: not an image that OpenCV can decode; {_REPLACE}")
    if encoded[4:12].tobytes() == b"ftypavif":
        pixels = _turn(pixels, _header(io.BytesIO(encoded.tobytes()))[1])
    rgb: np.ndarray = pixels if _RGB else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return rgb


def image_size(path: str | Path) -> tuple[int, int]:
    """The (height, width) that `read_image` gives at full size, from the file's header.

    Raises:
        UserError: the file is missing, Pillow cannot read its header, or it has more pixels than `most_pixels()`.
    """
    (height, width), orientation = _header(path)
    _refuse_too_large(path, (height, width))
    return (width, height) if orientation in _SWAPPED else (height, width)


def is_turned(path: str | Path) -> bool:
    """Whether the EXIF orientation of a photo swaps its width and height.

    Raises:
        UserError: the file is missing, or Pillow cannot read its header.
    """
    return _header(path)[1] in _SWAPPED


def wrong_size(path: str | Path, found: tuple[int, int], written: tuple[int, int]) -> UserError:
    """The error of an image that has another size than its annotation says; its boxes would be wrong.

    Args:
        path: the image.
        found, written: (height, width) of the image, and in the annotation.
    """
    return UserError(
        f"{path}: the image is {found[1]}x{found[0]} but its annotation says {written[1]}x{written[0]}; correct the "
        "annotation, or restore the image that was annotated (EXIF rotation counts)"
    )


def _header(path: str | Path | io.BytesIO) -> tuple[tuple[int, int], int]:
    """(height, width) as stored, and the EXIF orientation, 1 if there is none."""
    try:
        with _open(path) as image:
            size = image.size[1], image.size[0]
            _refuse_too_large(str(path), size)  # before the EXIF data, for which Pillow may decode
            exif = _exif(image)
            orientation = exif.get(_EXIF_ORIENTATION)
            if image.format == "TIFF":  # newer versions of Pillow have turned its size already
                size = int(exif[_TIFF_HEIGHT]), int(exif[_TIFF_WIDTH])
            return size, orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1
    except UserError:
        raise
    except FileNotFoundError:
        raise _missing(str(path)) from None
    except PermissionError as error:
        raise UserError(f"{quoted_path(str(path))}: cannot be read ({error.strerror}); check its permissions") from None
    except MemoryError:
        raise
    except Exception:  # a damaged header can fail in any way
        raise UserError(f"{quoted_path(str(path))}: unreadable image header; {_REPLACE}") from None


def _exif(image: Image) -> Exif:
    """The EXIF data; of a PNG without decoding it, as Pillow does to find data that stand behind the pixels."""
    from PIL.ImageFile import ImageFile

    if image.format != "PNG" or "exif" in image.info or not isinstance(image, ImageFile) or image.fp is None:
        return image.getexif()
    here, end = image.fp.tell(), image.fp.seek(0, os.SEEK_END)
    image.fp.seek(max(0, end - _TAIL))
    behind = b"eXIf" in image.fp.read()
    image.fp.seek(here)
    return image.getexif() if behind else ImageFile.getexif(image)


def _open(file: str | Path | io.BytesIO) -> Image:
    """Open an image by Pillow, which only reads the header, without Pillow's own limit of pixels."""
    from PIL import Image  # imported here: only some data sets need it

    Image.MAX_IMAGE_PIXELS = None  # it refuses photographs above 179 megapixels; `most_pixels` is the one limit
    return Image.open(file)


def _stored_size(path: str | Path, encoded: np.ndarray) -> tuple[int, int]:
    """(height, width) as stored, before the EXIF orientation; (0, 0) if the header does not tell.

    Every image of a training passes here: PNG's and JPEG's headers are read directly, in a tenth of Pillow's time.
    """
    start = encoded[:2].tobytes()
    if start == b"\x89P":
        width, height = encoded[16:24].view(">u4").tolist() if encoded.size >= 24 else (0, 0)
        return height, width
    if start == b"\xff\xd8":
        return _jpeg_size(encoded)
    try:
        with _open(io.BytesIO(encoded.tobytes())) as image:
            return image.size[1], image.size[0]
    except Exception:  # a damaged header can fail in any way; what OpenCV makes of it is seen next
        return 0, 0


def _jpeg_size(encoded: np.ndarray) -> tuple[int, int]:
    """(height, width) of a JPEG's frame; (0, 0) if there is none."""
    data, at = encoded.data, 2
    while at + 9 <= len(data):
        if data[at] != 0xFF:  # filling bytes, which decoders pass over
            ahead = np.flatnonzero(encoded[at : at + 65536] == 0xFF)
            at += int(ahead[0]) if len(ahead) else 65536
            continue
        marker = data[at + 1]
        if marker in _FRAMES:
            return data[at + 5] << 8 | data[at + 6], data[at + 7] << 8 | data[at + 8]
        if marker == 0xFF:
            at += 1
        elif marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD9:  # markers without content
            at += 2
        else:
            at += 2 + (data[at + 2] << 8 | data[at + 3])
    return 0, 0


def _refuse_too_large(path: str | Path, size: tuple[int, int]) -> None:
    pixels = size[0] * size[1]
    if pixels <= min(most_pixels(), OPENCV_LIMIT):
        return
    remedy = f"cut it into parts, make it smaller, or set {LIMIT_NAME}={-(-pixels // 10**6)} if the memory is there"
    if pixels > OPENCV_LIMIT:
        remedy = f"cut it into parts or make it smaller: OpenCV decodes up to {OPENCV_LIMIT / 1e6:.0f} megapixels"
    raise UserError(
        f"{quoted_path(path)}: the image has {size[1]}x{size[0]} pixels, {pixels / 1e6:.0f} million; {remedy}"
    )


def _turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an EXIF orientation, which OpenCV does for all formats but AVIF."""
    if orientation in _SWAPPED:
        pixels = pixels.swapaxes(0, 1)
    vertical, horizontal = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    return np.ascontiguousarray(pixels[:: -1 if vertical else 1, :: -1 if horizontal else 1])


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
    try:
        with _open(io.BytesIO(encoded.tobytes())) as image:
            image.load()  # accepts trailing bytes, which some cameras write
    except MemoryError:
        raise
    except Exception:  # a damaged file can fail in any way
        raise UserError(f"{path}: the image is truncated; copy it again or leave it out") from None


def _read_bytes(path: str | Path) -> np.ndarray:
    try:
        return np.fromfile(path, np.uint8)
    except FileNotFoundError:
        raise _missing(path) from None
    except OSError as error:
        raise UserError(
            f"{quoted_path(path)}: cannot be read ({error.strerror or error}); check its permissions"
        ) from None
    except ValueError:  # a NUL, or a lone surrogate
        raise _missing(path) from None


def _missing(path: str | Path) -> UserError:
    return UserError(f"{quoted_path(path)}: no such image; check the data set's root, or take it out of the image set")
