"""A page in the browser on which people try a detector: drop a photo, see the boxes, move the lowest score.

app = make_app(load_detector("runs/mine/last.pth"))
serve(app, port=7860)                       # http://127.0.0.1:7860, until Ctrl-C

Made with gradio (the extra `serve`). A photo is detected in once; moving the score only draws again. Photos stay on
this machine, and are deleted from its temporary folder after a day at most.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resdet.errors import UserError
from resdet.recipes.detection.detector import Detector
from resdet.recipes.detection.result import ImageDetections
from resdet.report.drawing import draw_detections

HOST, PORT = "127.0.0.1", 7860
COLUMNS = ("class", "score", "x1", "y1", "x2", "y2")
_HOUR = 3600  # seconds
_STYLE = "footer {display: none !important}"  # gradio's own links
_HINT = "Give a photo: its detections are shown here."

Picture = NDArray[np.uint8]  # [H, W, 3] RGB


def make_app(detector: Detector, title: str = "resdet", threshold: float = 0.5) -> Any:
    """The page of a detector, a `gradio.Blocks`; `serve` gives it to browsers.

    From other programs, as by gradio's client, `/detect` takes a photo and a score, `/draw` a photo that was given
    before and another score: both return the picture, a sentence and the rows of the table.

    Args:
        detector: whose detections are shown.
        title: of the page.
        threshold: the lowest score that is shown at first, 0..1.

    Raises:
        UserError: gradio is not installed.
    """
    gradio = require_gradio()
    with gradio.Blocks(title=title, analytics_enabled=False, delete_cache=(_HOUR, 24 * _HOUR)) as app:
        gradio.Markdown(f"# {_literal(title)}\n{_about(detector.classes)}")
        found = gradio.State(None)  # of the photo that is shown
        with gradio.Row():
            with gradio.Column():
                photo = gradio.Image(label="photo", type="numpy", sources=["upload", "webcam", "clipboard"])
                score = gradio.Slider(0, 1, threshold, step=0.01, label="lowest score that is shown")
            with gradio.Column():
                # Without its label, which would cover boxes, and without gradio's button that uploads the picture.
                picture = gradio.Image(
                    label="detections", show_label=False, interactive=False, format="jpeg",
                    buttons=["fullscreen", "download"],
                )  # fmt: skip
                sentence = gradio.Markdown(_HINT)
        table = gradio.Dataframe(headers=list(COLUMNS), label="detections, in pixels of the photo", interactive=False)
        shown = [picture, sentence, table]

        def detect(photo: Picture | None, score: float) -> tuple[Any, ...]:
            try:
                detections = None if photo is None else detector(photo)
            except UserError as error:
                raise gradio.Error(str(error), print_exception=False) from None
            return detections, *show(photo, detections, score)

        gradio.on([photo.change], detect, [photo, score], [found, *shown], api_name="detect")
        score.change(
            lambda photo, found, score: show(photo, found, score), [photo, found, score], shown,
            api_name="draw", show_progress="hidden", trigger_mode="always_last",
        )  # fmt: skip
    return app


def show(
    photo: Picture | None, detections: ImageDetections | None, score: float
) -> tuple[Picture | None, str, list[list[Any]]]:
    """What the page shows of a photo: the picture with boxes, a sentence in Markdown, and the rows of the table.

    Args:
        photo: None: nothing is shown.
        detections: in that photo.
        score: detections below it are left out.
    """
    if photo is None or detections is None or detections.image_size != photo.shape[:2]:
        return None, _HINT, []
    kept = detections.above(score)
    boxes, scores, labels = kept.boxes.numpy(), kept.scores.numpy(), kept.labels.numpy()
    picture = draw_detections(photo, boxes, labels, scores, kept.classes, score)
    rows = [[name, round(float(s), 3), *(round(float(v), 1) for v in box)]
            for name, s, box in zip(kept.names, scores, boxes, strict=True)]  # fmt: skip
    return picture, _sentence(kept, detections, score), rows


def serve(app: Any, host: str = HOST, port: int = PORT, block: bool = True) -> str:
    """Give a page to browsers until Ctrl-C; there is no login.

    Args:
        app: of `make_app`.
        host: the address to listen at: 127.0.0.1 for this machine alone, 0.0.0.0 for all that reach it.
        port: 1..65535.
        block: False: return at once, while the server goes on in a thread; `app.close()` ends it.

    Returns:
        The page's address.

    Raises:
        UserError: the port is taken, or the address is none of this machine.
    """
    gradio = require_gradio()
    theme = gradio.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    try:
        _, address, _ = app.launch(
            server_name=host, server_port=port, share=False, inbrowser=False, quiet=True, ssr_mode=False,
            show_error=True, prevent_thread_lock=True, theme=theme, css=_STYLE,
        )  # fmt: skip
    except OSError as error:
        raise UserError(f"the page cannot be at {host}:{port} ({error}); give another --port or --host") from None
    if block:
        print(f"the page is at {address}  (Ctrl-C ends it)", flush=True)
        try:  # gradio's own block_thread swallows Ctrl-C and SIGTERM
            threading.Event().wait()
        finally:
            app.close(verbose=False)
    return str(address)


def require_gradio() -> Any:
    """The package gradio.

    Raises:
        UserError: it is not installed.
    """
    try:
        import gradio
    except ImportError as error:
        raise UserError(f"the page needs gradio ({error}): pip install 'resdet[serve]'") from None
    return gradio


def _about(classes: Sequence[str], most: int = 30) -> str:
    more = f" and {len(classes) - most} more" if len(classes) > most else ""
    return f"Finds: {', '.join(_literal(name) for name in classes[:most])}{more}."


def _literal(name: str) -> str:
    """Markdown that shows a name as it is, whatever signs of Markdown or HTML are in it."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", name)


def _sentence(kept: ImageDetections, found: ImageDetections, score: float) -> str:
    """How many there are of each class; of an empty result, what there is below the score."""
    if len(kept):
        names = kept.names
        counts = [f"{_literal(name)}: {names.count(name)}" for name in dict.fromkeys(names)]
        return ", ".join(counts)
    if not len(found):
        return "Nothing found, at no score."
    best = _literal(found[0].name)
    return f"Nothing with a score of {score:g} or more; the best is {best} with {found[0].score:.2f}."
