"""Unusual images, broken files and noisy annotations either work or give a one-line error."""

from __future__ import annotations

import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from helpers.commands import inspect_data, train_det
from helpers.configs import DETECTOR
from resdet.cli.errors import one_line_errors
from resdet.data.detection.voc import VOCDataset
from resdet.data.detection.voc_xml import read_annotation
from resdet.data.images import read_image
from resdet.engine.log import read_scalars
from resdet.engine.run import RunOptions, start_run
from resdet.errors import UserError

XML = (
    '<?xml version="1.0"?><annotation><filename>a.jpg</filename><size><width>60</width><height>40</height></size>'
    "<object><name>apple</name><difficult>0</difficult><bndbox><xmin>3</xmin><ymin>4</ymin><xmax>30</xmax>"
    "<ymax>20</ymax></bndbox></object></annotation>"
)


def odd_images(folder: Path) -> dict[str, tuple[int, int]]:
    """Write images as scanners, phones and image editors make them. Returns {name: (width, height)}."""
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    color = Image.fromarray(noise)
    color.convert("L").save(folder / "gray.jpg")
    color.convert("CMYK").save(folder / "cmyk.jpg")
    color.convert("P").save(folder / "palette.png")
    color.convert("RGBA").save(folder / "alpha.png")
    color.convert("1").save(folder / "bits.png")
    cv2.imwrite(str(folder / "deep.png"), noise.astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[0x0112] = 6
    color.save(folder / "turned.jpg", exif=exif)
    color.crop((0, 0, 1, 1)).save(folder / "dot.png")
    color.resize((8000, 200)).save(folder / "panorama.jpg")
    sizes = dict.fromkeys(("gray", "cmyk", "palette", "alpha", "bits", "deep"), (60, 40))
    return sizes | {"turned": (40, 60), "dot": (1, 1), "panorama": (8000, 200)}


def voc_of(root: Path, sizes: dict[str, tuple[int, int]]) -> None:
    """A VOC folder of these images, each with one object that covers it, as trainval and test."""
    (root / "Annotations").mkdir(parents=True)
    (root / "ImageSets/Main").mkdir(parents=True)
    for name, (w, h) in sizes.items():
        box = f"<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>{w}</xmax><ymax>{h}</ymax></bndbox>"
        size = f"<size><width>{w}</width><height>{h}</height></size>"
        text = f"<annotation>{size}<object><name>apple</name>{box}</object></annotation>"
        (root / "Annotations" / f"{name}.xml").write_text(text)
    for image_set in ("trainval", "test"):
        (root / f"ImageSets/Main/{image_set}.txt").write_text("\n".join(sizes))


def test_unusual_images_can_be_trained_on_and_tested(tmp_path: Path) -> None:
    root = tmp_path / "devkit" / "VOCtiny"
    sizes = odd_images(root / "JPEGImages")
    voc_of(root, sizes)
    config = tmp_path / "odd.py"
    config.write_text(DETECTOR.format(root=str(tmp_path / "devkit")))
    run = ["--work-dir", str(tmp_path / "run"), "--device", "cpu", "--precision", "fp32"]
    train_det([str(config), *run, "--cfg-options", f"schedule.steps={len(sizes)}"])
    records = [r for r in read_scalars(tmp_path / "run" / "scalars.json") if "loss" in r]
    assert len(records) == len(sizes)
    assert all(math.isfinite(r["loss"]) for r in records)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_truncated_image_is_named(suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (200, 300, 3)).astype(np.uint8)
    root = tmp_path / "devkit" / "VOCtiny"
    (root / "JPEGImages").mkdir(parents=True)
    path = root / "JPEGImages" / f"half.{suffix}"
    cv2.imwrite(str(path), pixels)
    whole = path.read_bytes()
    path.write_bytes(whole + b"a camera's notes")
    assert read_image(path).shape == (200, 300, 3)
    for length in (len(whole) // 3, len(whole) - 100):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=rf"half\.{suffix}: the image is truncated; copy it again"):
            read_image(path)
    voc_of(root, {"half": (300, 200)})
    config = tmp_path / "half.py"
    config.write_text(DETECTOR.format(root=str(tmp_path / "devkit")))
    for main in (inspect_data, train_det):
        folder = ["--out"] if main is inspect_data else ["--work-dir"]
        with pytest.raises(SystemExit) as caught:
            main([str(config), *folder, str(tmp_path / "out")])
        assert caught.value.code == 2
        printed = capsys.readouterr()
        assert f"half.{suffix}: the image is truncated" in printed.out + printed.err


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=12), st.integers(0, len(XML)), st.integers(0, 40))
@example(b"\x00", 200, 1)
@example(b"<size/>", 70, 0)
def test_a_damaged_annotation_is_read_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, place: int, cut: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.xml"
    path.write_bytes(XML[:place].encode() + noise + XML[place + cut :].encode())
    try:
        annotation = read_annotation(path, ["apple"])
    except UserError as error:
        assert "fuzz.xml" in str(error)  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017
        return
    assert np.isfinite(annotation.boxes).all()
    assert len(annotation.boxes) == len(annotation.labels) == len(annotation.difficult)


corner = st.one_of(st.integers(-(10**6), 10**6), st.floats(allow_nan=False, allow_infinity=False), st.just(1e308))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(corner, corner, corner, corner), max_size=4))
@example([(0, 0, 1, 6e-148)])  # has an area in double precision only
def test_every_box_that_is_trained_on_lies_in_its_image_and_has_area(
    tmp_path: Path, boxes: list[tuple[float, float, float, float]]
) -> None:
    root = tmp_path / "VOCtiny"
    if not root.exists():
        (root / "JPEGImages").mkdir(parents=True)
        cv2.imwrite(str(root / "JPEGImages" / "a.png"), np.zeros((40, 60, 3), np.uint8))
        voc_of(root, {"a": (60, 40)})
    whole = (1, 1, 60, 40)  # so that small boxes are not taken for fractions of the image, which are refused
    objects = "".join(
        f"<object><name>apple</name><bndbox><xmin>{a!r}</xmin><ymin>{b!r}</ymin><xmax>{c!r}</xmax><ymax>{d!r}</ymax>"
        "</bndbox></object>"
        for a, b, c, d in [*boxes, whole]
    )
    size = "<size><width>60</width><height>40</height></size>"
    (root / "Annotations" / "a.xml").write_text(f"<annotation>{size}{objects}</annotation>")
    kept = VOCDataset(tmp_path, [("tiny", "test")], ["apple"])[0].boxes
    assert ((kept >= 0) & (kept <= torch.tensor([60, 40, 60, 40]))).all()
    assert (kept[:, 2:] > kept[:, :2]).all()


# Permissions ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def readable() -> Iterator[Path]:
    """A folder without write permission that contains a photo without read permission."""
    folder = Path(tempfile.mkdtemp())
    (folder / "photo.jpg").write_bytes(b"secret")
    (folder / "photo.jpg").chmod(0)
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@contextmanager
def without_privileges() -> Iterator[None]:
    """Drop root privileges for a while: permissions do not bind root."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("work_dir", ["", "run"])
def test_a_folder_that_may_not_be_written_to_is_named(
    readable: Path, work_dir: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start_run(tmp_path, RunOptions("cpu"))  # imports all that nobody may not read
    capsys.readouterr()
    with without_privileges(), pytest.raises(SystemExit) as caught, one_line_errors():
        start_run(readable / work_dir, RunOptions("cpu"))
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.match(rf"error: {readable}/.*Permission denied.*; .*choose another folder", error)


def test_an_image_that_may_not_be_read_is_named(readable: Path) -> None:
    with without_privileges(), pytest.raises(UserError, match=r"photo\.jpg: cannot be read \(Permission denied\)"):
        read_image(readable / "photo.jpg")
