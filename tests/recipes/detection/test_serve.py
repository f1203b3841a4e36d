"""The page of a detector, used through gradio's client as a browser uses it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import resdet
from helpers.commands import error_line, serve
from resdet.recipes.detection.detector import Detector
from resdet.recipes.detection.result import ImageDetections
from resdet.recipes.detection.serve import make_app, show
from resdet.recipes.detection.serve import serve as serve_app


@pytest.fixture(scope="module")
def detector(trained: Path) -> Detector:
    """The detector."""
    return resdet.load_detector(trained, device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def client(detector: Detector) -> Iterator[Any]:
    """A client of the page, which is served on this machine."""
    pytest.importorskip("gradio", reason="gradio is not installed: pip install 'resdet[serve]'")
    from gradio_client import Client

    app = make_app(detector, "fruit", threshold=0.3)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = serve_app(app, port=port, block=False)
    assert address.startswith(f"http://127.0.0.1:{port}")
    yield Client(address, verbose=False, analytics_enabled=False)
    app.close()


def test_a_photo_gives_its_detections_and_moving_the_score_other_ones(
    client: Any, detector: Detector, photos: Path
) -> None:
    from gradio_client import handle_file

    photo = handle_file(str(photos / "wide.png"))
    expected = detector(photos / "wide.png")
    middle = round(float(expected.scores.median()), 2)
    picture, sentence, table = client.predict(photo, 0.0, api_name="/detect")
    rows = table["data"]
    assert table["headers"] == ["class", "score", "x1", "y1", "x2", "y2"]
    assert [row[0] for row in rows] == expected.names
    np.testing.assert_allclose([row[2:] for row in rows], expected.boxes, atol=0.1)
    assert f"apple: {expected.names.count('apple')}" in sentence
    assert cv2.imread(picture).shape[:2] == (60 * 9, 90 * 9)  # enlarged, so that its labels can be read
    _, _, table = client.predict(photo, middle, api_name="/draw")
    assert len(table["data"]) == len(expected.above(middle)) < len(rows)
    _, sentence, table = client.predict(photo, 1.0, api_name="/draw")
    assert (
        sentence == f"Nothing with a score of 1 or more; the best is {expected[0].name} with {expected[0].score:.2f}."
    )
    assert table["data"] == []


def test_a_photo_that_is_turned_by_its_exif_data_is_shown_upright(client: Any, tmp_path: Path) -> None:
    from gradio_client import handle_file
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    Image.fromarray(np.zeros((600, 900, 3), np.uint8)).save(tmp_path / "turned.jpg", exif=exif)
    picture, _, _ = client.predict(handle_file(str(tmp_path / "turned.jpg")), 0.0, api_name="/detect")
    assert cv2.imread(picture).shape[:2] == (900, 600)


def test_the_page_calls_no_other_machine(client: Any) -> None:
    from urllib.request import urlopen

    page = urlopen(client.src).read().decode()
    assert "fruit" in page
    assert "fonts.googleapis.com" not in page


def test_nothing_is_shown_without_a_photo_or_with_the_detections_of_the_one_before(detector: Detector) -> None:
    photo, other = np.zeros((40, 60, 3), np.uint8), np.zeros((60, 40, 3), np.uint8)
    found = detector(photo)
    assert isinstance(found, ImageDetections)
    nothing = (None, "Give a photo: its detections are shown here.", [])
    assert show(None, found, 0.5) == nothing
    assert show(other, found, 0.5) == nothing


def test_a_port_that_is_taken_is_one_line(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("gradio", reason="gradio is not installed: pip install 'resdet[serve]'")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = error_line(serve, [trained, "--device", "cpu", "--port", port], capsys)
    assert f"the page cannot be at 127.0.0.1:{port}" in line
    assert "give another --port" in line


def test_without_gradio_it_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    line = error_line(serve, ["none.pth"], capsys)
    assert "the page needs gradio" in line
    assert "pip install 'resdet[serve]'" in line


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_page_with_its_code(trained: Path, number: signal.Signals, code: int) -> None:
    pytest.importorskip("gradio", reason="gradio is not installed: pip install 'resdet[serve]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "resdet", "serve", str(trained), "--device", "cpu", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any("the page is at" in line for line in process.stdout)
        process.send_signal(number)
        assert process.wait(timeout=30) == code
