"""A detector as one .safetensors file: it is used as its checkpoint is, and what is not as we write it is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import resdet
from helpers.commands import ON_CPU, error_line, eval_voc, export, predict, train_det
from resdet.errors import UserError
from resdet.weights.safetensors_file import write_safetensors

OPTIONS = ["schedule.steps=2", "data.resizer.short=48", "model.head.score_floor=0.0"]


@pytest.fixture(scope="module")
def trained(det_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose training differs from its config file."""
    folder = tmp_path_factory.mktemp("trained")
    train_det([str(det_config), "--work-dir", str(folder), *ON_CPU, "--cfg-options", *OPTIONS])
    return folder / "last.pth"


@pytest.fixture(scope="module")
def exported(trained: Path) -> Path:
    """Its export, beside it."""
    export([str(trained), "--to", "safetensors"])
    return trained.with_suffix(".safetensors")


def rewritten(path: Path, target: Path, **changes: str | None) -> Path:
    """A copy of a file with other metadata; None removes an entry."""
    with safe_open(path, "pt") as file:
        metadata = {**file.metadata(), **changes}
    save_file(load_file(path), target, {name: text for name, text in metadata.items() if text is not None})
    return target


def test_it_detects_and_scores_as_the_checkpoint_does(
    trained: Path, exported: Path, photos: Path, tmp_path: Path
) -> None:
    found = [resdet.load_detector(path, device="cpu", precision="fp32") for path in (trained, exported)]
    one, other = (detector(photos / "wide.png") for detector in found)
    assert len(one) > 0
    assert torch.equal(one.boxes, other.boxes)
    assert torch.equal(one.scores, other.scores)
    assert found[0].classes == found[1].classes == ["apple", "pear"]
    for path in (trained, exported):
        eval_voc([str(path), *ON_CPU, "--json", str(tmp_path / f"{path.suffix}.json")])
        predict([str(path), str(photos), "--threshold", "0", "--out", str(tmp_path / path.suffix[1:]), *ON_CPU])
    assert (tmp_path / ".pth.json").read_text() == (tmp_path / ".safetensors.json").read_text()
    pages = [json.loads((tmp_path / form / "detections.json").read_text()) for form in ("pth", "safetensors")]
    assert pages[0] == pages[1]


def test_it_holds_the_config_of_the_training_the_classes_and_no_state_of_the_optimizer(
    trained: Path, exported: Path
) -> None:
    with safe_open(exported, "pt") as file:
        metadata = file.metadata()
        assert metadata["format"] == "resdet"
        assert json.loads(metadata["classes"]) == ["apple", "pear"]
        assert {"net.preprocess.mean", "net.preprocess.std"} <= set(file.keys())
    assert resdet.load_config(exported).data.resizer.short == 48
    assert exported.stat().st_size < 0.7 * trained.stat().st_size


def test_another_training_starts_from_it(exported: Path, det_config: Path, tmp_path: Path) -> None:
    options = ["--init-from", str(exported), "--cfg-options", "schedule.steps=1"]
    train_det([str(det_config), "--work-dir", str(tmp_path / "run"), *ON_CPU, *options])
    log = (tmp_path / "run/run.log").read_text()
    assert "tensors of conv1..conv5, rpn, head matched" in log


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": "apple"}, "its metadata 'classes' are no list of names (apple)"),
        ({"classes": '{"0": "apple"}'}, "are no list of names"),
        ({"classes": "[1, 2]"}, "are no list of names"),
        ({"classes": '["apple", "apple"]'}, "name a class twice"),
        ({"classes": "[" * 100_000}, "are no list of names ([[["),
        ({"classes": '["apple"]'}, "has 1 classes"),
        ({"config": None}, "keeps no config that can be read"),
        ({"config": "import os; os.system('touch executed')"}, "keeps no config that can be read"),
        ({"config": "model = open('/etc/passwd')"}, "keeps no config that can be read"),
        ({"config": "(" * 1000}, "keeps no config that can be read"),
        ({"config": "a = [" + "1," * 600_000 + "]"}, "keeps no config that can be read"),
        ({"config": "from os import system\nmodel = dict(type=system, command='true')"}, "model"),
        ({"format": "pt"}, "not a net that resdet knows"),
    ],
)
def test_metadata_that_resdet_did_not_write_are_refused(
    changes: dict[str, str | None], message: str, exported: Path, tmp_path: Path
) -> None:
    path = rewritten(exported, tmp_path / "changed.safetensors", **changes)
    with pytest.raises(UserError) as refused:
        resdet.load_detector(path, device="cpu")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_more_classes_than_the_weights_have_are_refused_before_memory_is_asked_for(
    exported: Path, tmp_path: Path
) -> None:
    with safe_open(exported, "pt") as file:
        config = file.metadata()["config"].replace("num_classes=2", "num_classes=2000000000")
    path = rewritten(exported, tmp_path / "changed.safetensors", config=config)
    with pytest.raises(UserError, match=r"has 2 classes, .* has 2000000000"):
        resdet.load_detector(path, device="cpu")


def test_a_file_of_another_project_says_what_is_wrong_with_its_mean(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_file({"conv1.weight": torch.zeros(64, 3, 7, 7)}, path, {"mean": '"grey"', "std": "[1, 1, 1]"})
    with pytest.raises(UserError, match="its metadata 'mean' are no three numbers"):
        resdet.load_detector(path, device="cpu")


def test_the_form_is_told_by_the_name_or_asked_for(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "which form?" in error_line(export, [trained], capsys)
    words = [trained, "--out", tmp_path / "a.bin"]
    assert "exported are .onnx, .pt2, .safetensors" in error_line(export, words, capsys)
    words = [trained, "--to", "onnx", "--out", tmp_path / "a.safetensors"]
    assert "does not end in .onnx" in error_line(export, words, capsys)


def test_the_weights_are_those_of_the_checkpoint_and_not_of_one_that_gives_the_config(
    trained: Path, tmp_path: Path
) -> None:
    state = torch.load(trained, weights_only=True)
    state["model"]["head.scores.bias"] += 1
    torch.save(state, tmp_path / "other.pth")
    export([str(tmp_path / "other.pth"), "--config", str(trained), "--out", str(tmp_path / "d.safetensors")])
    written = load_file(tmp_path / "d.safetensors")
    assert torch.equal(written["head.scores.bias"], state["model"]["head.scores.bias"])


def test_a_file_that_cannot_be_written_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"x\.safetensors cannot be written"):
        write_safetensors(tmp_path / "missing/x.safetensors", {"a": torch.zeros(3)}, {})
    assert list(tmp_path.iterdir()) == []
