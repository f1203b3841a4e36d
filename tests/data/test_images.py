"""Image files: one limit of pixels, and sizes that agree with the pixels in every format and orientation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from resdet.data.images import LIMIT_NAME, image_size, is_turned, read_image
from resdet.errors import UserError

COLOURS = np.zeros((32, 48, 3), np.uint8)
COLOURS[:16, :24], COLOURS[16:, :24], COLOURS[:16, 24:] = (250, 0, 0), (0, 250, 0), (0, 0, 250)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif"])
def test_every_orientation_is_applied_in_every_format(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(COLOURS).save(path, exif=exif, quality=95)
        with Image.open(path) as image:
            expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB")).astype(int)
        pixels = read_image(path).astype(int)
        assert image_size(path) == pixels.shape[:2] == expected.shape[:2]
        assert np.abs(pixels - expected).mean() < 3
        assert is_turned(path) == (orientation > 4)


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK", "I;16"])
def test_images_of_any_mode_have_three_channels(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    image = Image.fromarray(np.full((4, 5), 9000, np.uint16)) if mode == "I;16" else Image.new(mode, (5, 4))
    image.save(path)
    assert read_image(path).shape == (4, 5, 3)
    assert image_size(path) == (4, 5)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif", ".webp"])
def test_an_image_above_the_limit_is_refused_before_it_is_decoded(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"a{suffix}"
    Image.new("RGB", (1200, 1000)).save(path)
    monkeypatch.setenv(LIMIT_NAME, "1.1")
    for read in (read_image, image_size):
        with pytest.raises(UserError, match=f"1200x1000 pixels, 1 million; .*set {LIMIT_NAME}=2"):
            read(path)
    monkeypatch.setenv(LIMIT_NAME, "1.2")
    assert image_size(path) == read_image(path).shape[:2] == (1000, 1200)


def test_a_small_file_cannot_claim_the_memory_of_a_billion_pixels(tmp_path: Path) -> None:
    header = b"P5 60000 30000 255\n"
    for name, content in {"a.pgm": header, "b.png": _png(60_000, 30_000), "c.jpg": _jpeg(60_000, 30_000)}.items():
        (tmp_path / name).write_bytes(content + bytes(1000))
        for read in (read_image, image_size):
            with pytest.raises(UserError, match="60000x30000 pixels, 1800 million; cut it into parts"):
                read(tmp_path / name)


def test_photographs_above_pillows_limit_are_read(tmp_path: Path) -> None:
    Image.new("1", (20_000, 10_000)).save(tmp_path / "slide.png")
    assert image_size(tmp_path / "slide.png") == (10_000, 20_000)


def test_a_limit_that_is_no_number_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (5, 4)).save(tmp_path / "a.png")
    for text in ("many", "0", "-1", "nan", "inf"):
        monkeypatch.setenv(LIMIT_NAME, text)
        with pytest.raises(UserError, match=f"{LIMIT_NAME} is '{text}'"):
            read_image(tmp_path / "a.png")


def test_the_size_of_a_png_is_read_without_decoding_it(tmp_path: Path) -> None:
    Image.fromarray(COLOURS).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: whole.index(b"IDAT") + 8])
    assert image_size(tmp_path / "cut.png") == (32, 48)


def test_exif_data_behind_the_pixels_of_a_png_count(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(COLOURS).save(tmp_path / "a.png", exif=exif)
    whole = (tmp_path / "a.png").read_bytes()
    start = whole.index(b"eXIf") - 4
    chunk = whole[start : start + 12 + int.from_bytes(whole[start : start + 4], "big")]
    (tmp_path / "a.png").write_bytes(whole.replace(chunk, b"")[:-12] + chunk + whole[-12:])
    assert image_size(tmp_path / "a.png") == read_image(tmp_path / "a.png").shape[:2] == (48, 32)


def _png(width: int, height: int) -> bytes:
    import struct
    import zlib

    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + body
        + struct.pack(">I", zlib.crc32(body))
        + struct.pack(">I", 0)
        + b"IDAT"
    )


def _jpeg(width: int, height: int) -> bytes:
    frame = b"\xff\xc0\x00\x11\x08" + height.to_bytes(2, "big") + width.to_bytes(2, "big")
    frame += b"\x03\x01\x11\x00\x02\x11\x01\x03\x11\x01"
    scan = b"\xff\xda\x00\x0c\x03\x01\x00\x02\x11\x03\x11\x00\x3f\x00"  # without one Pillow 12.3 reads no header
    return b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(9) + frame + scan
