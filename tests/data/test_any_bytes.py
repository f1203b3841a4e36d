"""Whatever bytes a file of a data set holds, its reader gives a result or a UserError of one line.

A few hundred files per format; `pytest -m heavy` tries 20,000.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resdet.data.classification.cifar import Cifar10
from resdet.data.classification.imagenet import ImageNetDataset
from resdet.data.detection.comp4 import read_comp4
from resdet.data.detection.imagenet_det import read_classes, read_list
from resdet.data.detection.voc import VOCDataset
from resdet.data.detection.voc_xml import read_annotation
from resdet.data.detection.yolo import YOLODataset
from resdet.data.images import image_size, read_image
from resdet.data.localization.files import read_excluded, read_kaggle, read_predictions, read_solution
from resdet.errors import UserError

FEW, MANY = 120, 20_000
CLASSES = ("cat", "dog")
XML = (
    "<annotation><size><width>60</width><height>40</height></size><object><name>cat</name><difficult>0</difficult>"
    "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object></annotation>"
)
CSV = "ImageId,PredictionString\nval_1,cat 1 2 30 40 dog 1 2 3 4\nval_2,dog 5 6 7 8\n"
# Pieces that have broken readers of this field: numbers without end, other encodings, names that are no names.
PIECES = [
    b"9" * 309, b"9" * 5000, b"-1", b"1e309", b"nan", b"NaN", b"inf", b"1_0", "²".encode(), "٣".encode(), b"0x10", b"",
    b"\xe4", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\0", b"\r", b"\x85", b"\n\n", b"\t", b" ", b'"', b"'",
    b",", b"<", b">", b"&#xD800;", b"&lol;", b"<!DOCTYPE a>", b"</object>", b"<object>", b"../..", b"\\", b"/", b":",
    b"a" * 300, b"{", b"}", b"[", b"]", b"- ", b"&a ", b"*a", b"!!python/object:os.system ", b"2024-02-31", b"? ",
    b"%", b"true", b"~", b"cat", b"-0", b"0 .5 .5 .5 .5", b"xmin", b"1e308", b"2147483648", b"18446744073709551616",
]  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, sound: bytes) -> bytes:
    """A sound file with some bytes replaced by such a piece, taken away, or repeated; or any bytes at all."""
    if draw(st.integers(0, 19)) == 0:
        return draw(st.binary(max_size=200))
    content = sound
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.sampled_from([0, 0, 1, 2, 4, 8, 40, 10_000])))
        piece = draw(st.one_of(st.sampled_from(PIECES), st.binary(max_size=4), st.just(content[start:end] * 2)))
        content = content[:start] + piece + content[end:]
    return content


def write_photo(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.zeros((40, 60, 3), np.uint8))


def voc_xml(root: Path) -> tuple[Path, bytes, Callable[[], object]]:
    path = root / "a.xml"
    return path, XML.encode(), lambda: read_annotation(path, CLASSES)


def voc_set(root: Path) -> tuple[Path, bytes, Callable[[], object]]:
    for name in ("a", "b c"):
        write_photo(root / f"VOCx/JPEGImages/{name}.jpg")
        (root / "VOCx/Annotations").mkdir(exist_ok=True)
        (root / f"VOCx/Annotations/{name}.xml").write_text(XML)
    (root / "VOCx/ImageSets/Main").mkdir(parents=True)
    return root / "VOCx/ImageSets/Main/t.txt", b"a\nb c\n", lambda: VOCDataset(root, [("x", "t")], None)


def voc_whole(root: Path) -> tuple[Path, bytes, Callable[[], object]]:
    voc_set(root)[0].write_text("a\nb c\n")
    return root / "VOCx/Annotations/a.xml", XML.encode(), lambda: VOCDataset(root, [("x", "t")], None)[0]


def yolo_labels(root: Path) -> tuple[Path, bytes, Callable[[], object]]:
    write_photo(root / "images/t/a.jpg")
    (root / "labels/t").mkdir(parents=True)
    lines = b"0 .5 .5 .25 .25\n1 0.1 0.1 0.9 0.1 0.9 0.9\n"
    return root / "labels/t/a.txt", lines, lambda: YOLODataset(root, "t", CLASSES)


def yolo_yaml(root: Path) -> tuple[Path, bytes, Callable[[], object]]:
    yolo_labels(root)
    content = b"path: ../x\ntrain: images/t\nnc: 2\nnames:\n  0: cat\n  '1': dog\n"
    return root / "data.yaml", content, lambda: YOLODataset(root, "t")


def yolo_names(root: Path) -> tuple[Path, bytes, Callable[[], object]]:
    yolo_labels(root)
    return root / "classes.txt", b"cat\ntraffic light\n", lambda: YOLODataset(root, "t")


def yolo_list(root: Path) -> tuple[Path, bytes, Callable[[], object]]:
    yolo_labels(root)[0].write_text("0 .5 .5 .25 .25\n")
    write_photo(root / "images/t/b.jpg")
    return root / "some.txt", b"images/t/a.jpg\n./images/t/b.jpg\n", lambda: YOLODataset(root, "some.txt", CLASSES)


def comp4(root: Path) -> tuple[Path, bytes, Callable[[], object]]:
    lines = b"a 0.5 1 2 30 40\nb c 0.25 1.5 2 3 4\n"
    return root / "comp4_det_t_cat.txt", lines, lambda: read_comp4(root, "t", ["cat"], ["a", "b c"])


def solution(root: Path) -> tuple[Path, bytes, Callable[[], object]]:
    return root / "a.csv", CSV.encode(), lambda: read_solution(root / "a.csv", CLASSES).truth()


def predictions(root: Path) -> tuple[Path, bytes, Callable[[], object]]:
    return root / "a.csv", CSV.encode(), lambda: read_kaggle(root / "a.csv", ["val_1", "val_2"], CLASSES)


def ilsvrc(root: Path) -> tuple[Path, bytes, Callable[[], object]]:
    ids = np.array([7, 9])
    content = b"7 1 2 30 40 9 1 2 3 4\n0 0 0 0 0\n"
    return root / "a.txt", content, lambda: read_predictions(root / "a.txt", ["val_1", "val_2"], CLASSES, ids)


def excluded(root: Path) -> tuple[Path, bytes, Callable[[], object]]:
    return root / "a.txt", b"1\nval_2\n", lambda: read_excluded(root / "a.txt", ["val_1", "val_2"])


def cls_loc(root: Path, name: str, content: bytes) -> tuple[Path, bytes, Callable[[], object]]:
    lists = root / "ILSVRC/ImageSets/CLS-LOC"
    lists.mkdir(parents=True)
    files = {
        "LOC_synset_mapping.txt": b"cat tench, Tinca\ndog fish\n",
        "LOC_val_solution.csv": CSV.encode(),
        "ILSVRC/ImageSets/CLS-LOC/val.txt": b"val_1 1\nval_2 2\n",
    }
    for path, text in files.items():
        (root / path).write_bytes(text)
    for stem in ("val_1", "val_2"):
        write_photo(root / f"ILSVRC/Data/CLS-LOC/val/{stem}.jpg")
        (root / f"ILSVRC/Data/CLS-LOC/val/{stem}.jpg").rename(root / f"ILSVRC/Data/CLS-LOC/val/{stem}.JPEG")
    return root / name, content or files[name], lambda: ImageNetDataset(root, "val")


def cls_loc_kit(root: Path, name: str) -> tuple[Path, bytes, Callable[[], object]]:
    """image-net.org's archives of 2012: no lists and no CSV; val's classes in the kit or in xml files."""
    numbers, answers = "map_clsloc.txt", "ILSVRC2012_validation_ground_truth.txt"
    xmls = "ILSVRC/Annotations/CLS-LOC/val"
    stems = [f"ILSVRC2012_val_0000000{i}" for i in (1, 2)]
    files = {numbers: b"cat 1 tench\ndog 2 fish\n", answers: b"2\n1\n"}
    files |= {f"{xmls}/{stem}.xml": b"<annotation><object><name>cat</name></object></annotation>" for stem in stems}
    (root / xmls).mkdir(parents=True)
    for path, text in files.items():
        if path != answers or ".xml" not in name:
            (root / path).write_bytes(text)
    for stem in stems:
        write_photo(root / f"ILSVRC/Data/CLS-LOC/val/{stem}.jpg")
        (root / f"ILSVRC/Data/CLS-LOC/val/{stem}.jpg").rename(root / f"ILSVRC/Data/CLS-LOC/val/{stem}.JPEG")
    return root / name, files[name], lambda: ImageNetDataset(root, "val")


def det_classes(root: Path) -> tuple[Path, bytes, Callable[[], object]]:
    return root / "map_det.txt", b"n01 1 accordion\nn02 2 ant\n", lambda: read_classes(root / "map_det.txt")


def det_list(root: Path) -> tuple[Path, bytes, Callable[[], object]]:
    return root / "val.txt", b"ILSVRC/a 1\nILSVRC/b 2\n", lambda: read_list(root, str(root / "val.txt"))


def cifar_binary(root: Path) -> tuple[Path, bytes, Callable[[], object]]:
    return root / "test_batch.bin", bytes(3073 * 2), lambda: Cifar10(root, "test")


def cifar_python(root: Path) -> tuple[Path, bytes, Callable[[], object]]:
    import pickle

    content = pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [1, 2]}, protocol=2)
    return root / "test_batch", content, lambda: Cifar10(root, "test")


def image(root: Path, suffix: str) -> tuple[Path, bytes, Callable[[], object]]:
    path = root / f"a{suffix}"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (12, 16, 3)).astype(np.uint8))
    return path, path.read_bytes(), lambda: (_either(image_size, path), read_image(path))


def _message_of(read: Callable[[], object]) -> str:
    try:
        read()
    except UserError as error:
        return str(error)
    return ""


def _either(read: Callable[[Path], object], path: Path) -> object:
    try:
        return read(path)
    except UserError:
        return None


def _file(name: str) -> Callable[[Path], tuple[Path, bytes, Callable[[], object]]]:
    return functools.partial(cls_loc, name=name, content=b"")


FORMATS: dict[str, Callable[[Path], tuple[Path, bytes, Callable[[], object]]]] = {
    "VOC xml": voc_xml,
    "VOC list": voc_set,
    "VOC set": voc_whole,
    "YOLO labels": yolo_labels,
    "YOLO yaml": yolo_yaml,
    "YOLO names": yolo_names,
    "YOLO list": yolo_list,
    "comp4": comp4,
    "LOC solution": solution,
    "LOC predictions": predictions,
    "ILSVRC predictions": ilsvrc,
    "excluded images": excluded,
    "CLS-LOC mapping": _file("LOC_synset_mapping.txt"),
    "CLS-LOC solution": _file("LOC_val_solution.csv"),
    "CLS-LOC list": _file("ILSVRC/ImageSets/CLS-LOC/val.txt"),
    **{
        f"CLS-LOC kit {Path(name).suffix} {name[:4]}": functools.partial(cls_loc_kit, name=name)
        for name in (
            "map_clsloc.txt",
            "ILSVRC2012_validation_ground_truth.txt",
            "ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_00000002.xml",
        )
    },
    "DET classes": det_classes,
    "DET list": det_list,
    "CIFAR binary": cifar_binary,
    "CIFAR pickle": cifar_python,
    **{
        f"image {suffix}": functools.partial(image, suffix=suffix)
        for suffix in (".jpg", ".png", ".bmp", ".tif", ".webp", ".jp2", ".avif", ".ppm")
    },
}


def read_damaged(name: str, root: Path, cases: int) -> None:
    path, sound, read = FORMATS[name](root)

    @settings(
        max_examples=cases, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True
    )
    @given(content=damaged(sound))
    def try_it(content: bytes) -> None:
        path.write_bytes(content)
        message = _message_of(read).replace(str(root), "")
        assert "\n" not in message
        assert len(message) < 600

    try_it()


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_end_in_one_line(name: str, tmp_path: Path) -> None:
    read_damaged(name, tmp_path, FEW)


@pytest.mark.heavy
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.filterwarnings("ignore")
def test_many_damaged_files_end_in_one_line(name: str, tmp_path: Path) -> None:
    read_damaged(name, tmp_path, MANY)
