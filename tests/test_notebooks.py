"""The notebooks of the documentation run from their first cell to their last, at small size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import pytest

import resdet
from helpers.paths import ROOT

NOTEBOOKS = ROOT / "docs/notebooks"
# What makes a notebook small: text that it has, and what stands there in the test.
SMALL = {
    "own_data": {
        "options = {": 'options = {"model.net.width": 0.125, ',
        "PICTURES, STEPS, SHORT = 60, 400, 256": "PICTURES, STEPS, SHORT = 6, 2, 64",
        'INIT_FROM = "ResNet18_Weights.IMAGENET1K_V1"': "INIT_FROM = None",  # a download
    },
    "appendix_b": {'image_set="test"': 'image_set="test", train=1, test=2'},
}


def cells_of(name: str) -> list[dict[str, Any]]:
    return json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]


def run(name: str) -> dict[str, Any]:
    """All code cells, one after the other in one namespace; returns it."""
    code = ["".join(cell["source"]) for cell in cells_of(name) if cell["cell_type"] == "code"]
    for text, small in SMALL[name].items():
        assert any(text in source for source in code), text
        code = [source.replace(text, small) for source in code]
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, source in enumerate(code):
        exec(compile(source, f"{name}.ipynb, code cell {number}", "exec"), names)
    return names


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    plt.close("all")


def test_own_data_runs_from_pictures_to_figures() -> None:
    names = run("own_data")
    assert tuple(names["dataset"].classes) == tuple(names["detector"].classes) == ("disc", "square")
    assert names["figures"].keys() >= {"val/mAP50"}
    assert Path("runs/generated/page.html").is_file()


def test_appendix_b_runs_on_one_picture(det_config: Path) -> None:
    resdet.train(det_config, "runs/shapes_det", device="cpu", precision="fp32")  # in the place of make demo's
    run("appendix_b")
    assert len(plt.get_fignums()) >= 5


def test_every_notebook_is_kept_without_outputs_and_is_run_here() -> None:
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(SMALL)
    for name in SMALL:
        for cell in cells_of(name):
            assert cell["cell_type"] == "markdown" or (cell["outputs"], cell["execution_count"]) == ([], None)
