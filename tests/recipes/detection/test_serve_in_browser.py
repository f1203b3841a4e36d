"""The page of a detector in a headless Chromium, used with the mouse and the keyboard."""

from __future__ import annotations

import base64
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import resdet
from helpers.browser import open_browser, open_page, page_width
from resdet.recipes.detection.detector import Detector
from resdet.recipes.detection.serve import make_app, serve

NAMES = ["*apple* & <b>Яблоко</b>", "_pear_ $$x^2$$ [a](b)"]
DROP = """([element, name, data]) => {
  const files = new DataTransfer();
  files.items.add(new File([Uint8Array.from(atob(data), c => c.charCodeAt(0))], name, {type: "image/png"}));
  for (const type of ["dragenter", "dragover", "drop"])
    element.dispatchEvent(new DragEvent(type, {bubbles: true, cancelable: true, dataTransfer: files}));
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The browser."""
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def detector(trained: Path) -> Detector:
    """A detector whose classes have signs of Markdown and HTML in their names."""
    detector = resdet.load_detector(trained, device="cpu", precision="fp32")
    detector.classes[:] = NAMES
    return detector


@pytest.fixture(scope="module")
def address(detector: Detector) -> Iterator[str]:
    """The address of the page."""
    pytest.importorskip("gradio", reason="gradio is not installed: pip install 'resdet[serve]'")
    app = make_app(detector, "a_run_*of*_mine", threshold=0.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    yield serve(app, port=port, block=False)
    app.close()


def drop(page: Any, photo: Path) -> None:
    """Drop a photo as a file manager does."""
    target = page.get_by_role("button", name=re.compile("drop", re.IGNORECASE)).first
    page.evaluate(DROP, [target.element_handle(), photo.name, base64.b64encode(photo.read_bytes()).decode()])


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (400, "dark")])
def test_a_dropped_photo_shows_boxes_and_moving_the_score_fewer(
    browser: Any, address: str, detector: Detector, photos: Path, width: int, scheme: str
) -> None:
    expected = detector(photos / "wide.png")
    middle = round(float(expected.scores.median()), 2)
    with open_page(browser, width, scheme) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.get_by_role("heading", name="a_run_*of*_mine").wait_for()
        page.get_by_text(f"Finds: {', '.join(NAMES)}.").wait_for()
        page.get_by_text("Give a photo").wait_for()
        drop(page, photos / "wide.png")
        sentence = page.get_by_text(re.compile(rf"{re.escape(expected.names[0])}: \d+"))
        sentence.wait_for()
        counts = {name: expected.names.count(name) for name in dict.fromkeys(expected.names)}
        assert sentence.inner_text() == ", ".join(f"{name}: {count}" for name, count in counts.items())
        sizes = page.locator("img").evaluate_all("images => images.map(i => [i.naturalWidth, i.naturalHeight])")
        assert [90 * 9, 60 * 9] in sizes  # the drawn boxes: enlarged, so that their labels can be read
        page.get_by_label(re.compile("number input", re.IGNORECASE)).fill(str(middle))
        page.keyboard.press("Enter")
        kept = expected.above(middle)
        counts = {name: kept.names.count(name) for name in dict.fromkeys(kept.names)}
        page.get_by_text(", ".join(f"{name}: {count}" for name, count in counts.items()), exact=True).wait_for()
        assert page_width(page) == width
        assert all(url.startswith((address.rstrip("/"), "blob:", "data:")) for url in asked)
