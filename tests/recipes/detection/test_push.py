"""A detector goes to the Hub and comes back by its name; the Hub is a server on this machine."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
import torch

import resdet
from helpers.commands import ON_CPU, error_line, eval_voc, predict, push
from helpers.hub_server import COMMIT, TOKEN, Hub, serve_hub
from resdet.errors import UserError
from resdet.recipes.detection.new_config import trunk_of

NAME = "ann/fruit"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty Hub, for a user who is logged in. Large files go the way that needs no second server."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    with serve_hub(Hub()) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("RESDET_CACHE", str(tmp_path / "cache"))
        yield server


def test_what_is_pushed_detects_as_the_checkpoint_does(
    hub: Hub, trained: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    push([str(trained), NAME, "--private", "--message", "First"])
    assert capsys.readouterr().out.endswith(f"use it with: resdet predict hf://{NAME} photo.jpg\n")
    assert hub.private == {NAME}
    assert hub.messages == ["First"]
    assert set(hub.repos[NAME]) == {"model.safetensors", "README.md"}
    card = hub.repos[NAME]["README.md"].decode()
    assert "for 2 classes: apple, pear." in card
    assert f'resdet.load_detector("hf://{NAME}")' in card
    one, other = (
        resdet.load_detector(source, device="cpu")(photos / "wide.png") for source in (trained, f"hf://{NAME}")
    )
    assert len(one) > 0
    assert torch.equal(one.boxes, other.boxes)
    assert torch.equal(one.scores, other.scores)


def test_commands_take_the_name_and_write_nothing_into_the_cache(
    hub: Hub, trained: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push([str(trained), NAME])
    monkeypatch.chdir(tmp_path)
    predict([f"hf://{NAME}", str(photos), "--out", "drawn", *ON_CPU])
    assert len(json.loads(Path("drawn/detections.json").read_text())["images"]) == 2
    for number, source in enumerate((f"hf://{NAME}", f"hf://{NAME}@{COMMIT}/model.safetensors", str(trained))):
        eval_voc([source, *ON_CPU, "--json", f"{number}.json"])
    assert Path("0.json").read_text() == Path("1.json").read_text() == Path("2.json").read_text()
    assert resdet.evaluate(f"hf://{NAME}", device="cpu").keys() >= {"mAP50"}
    cached = [path.name for path in (tmp_path / "cache/hub").rglob("snapshots/*/*")]
    assert cached == ["model.safetensors"]


def test_a_second_push_keeps_the_card_that_its_owner_has_written(hub: Hub, trained: Path) -> None:
    push([str(trained), NAME])
    hub.repos[NAME] = {"README.md": b"Ours."}
    push([str(trained), NAME])
    assert hub.repos[NAME]["README.md"] == b"Ours."
    assert "model.safetensors" in hub.repos[NAME]


def test_private_weights_do_not_go_into_a_public_repository(
    hub: Hub, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.repos[NAME] = {}
    error = error_line(push, [trained, NAME, "--private"], capsys)
    assert f"{NAME} is there already and is public; make it private on its page, or leave --private out" in error
    assert hub.repos[NAME] == {}
    hub.private.add(NAME)
    push([str(trained), NAME, "--private"])
    assert "model.safetensors" in hub.repos[NAME]


def test_the_copy_of_before_is_used_without_a_network(hub: Hub, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    push([str(trained), NAME])
    assert resdet.load_detector(f"hf://{NAME}", device="cpu").classes == ["apple", "pear"]
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert resdet.load_detector(f"hf://{NAME}", device="cpu").classes == ["apple", "pear"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("hf://ann/vegetables", "hf://ann/vegetables: there is no such repository, or it is private; check the name"),
        (f"hf://{NAME}@v9", f"hf://{NAME}@v9: the repository has no such revision"),
        (f"hf://{NAME}/best.pth", f"hf://{NAME}/best.pth: the repository has no file best.pth"),
        (f"hf://{NAME}", f"hf://{NAME}: the repository has no file model.safetensors"),
        ("hf://fruit", "hf://fruit: wanted is hf://owner/name"),
        ("hf://ann/fr it", "ann/fr it: no name of a repository"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(
    source: str, message: str, hub: Hub, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.repos[NAME] = {"README.md": b"nothing else"}
    assert message in error_line(predict, [source, photos, *ON_CPU], capsys)


def test_faults_of_the_network_and_of_the_server_are_one_line(
    hub: Hub, trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # huggingface_hub tries five times in half a minute
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "log in with 'hf auth login', or set HF_TOKEN" in error_line(push, [trained, NAME], capsys)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.status = 403
    assert "the server refuses (403 Forbidden" in error_line(push, [trained, NAME], capsys)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert f"{NAME}: the Hub cannot be reached (" in error_line(push, [trained, NAME], capsys)
    with pytest.raises(UserError, match=f"hf://{NAME}: no network .*and no earlier copy here"):
        resdet.load_detector(f"hf://{NAME}")


def test_without_the_package_it_is_named(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert f"{NAME}: the Hub needs a package: pip install 'resdet[hub]'" in error_line(push, [trained, NAME], capsys)
    with pytest.raises(UserError, match=r"resdet\[hub\]"):
        resdet.load_detector(f"hf://{NAME}")


def test_a_wrong_name_is_refused_before_the_checkpoint_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert "wanted is owner/name" in error_line(push, ["none.pth", "fruit"], capsys)


def test_another_projects_file_of_the_hub_is_refused_as_any_other(hub: Hub) -> None:
    hub.repos[NAME] = {"model.safetensors": b"<html>"}
    with pytest.raises(UserError, match="not a whole weights file"):
        resdet.load_detector(f"hf://{NAME}")


@pytest.mark.parametrize("file", ["config.py", "config.json", "config.yaml", "pytorch_model.bin"])
def test_nothing_but_weights_is_read_from_the_hub(hub: Hub, file: str) -> None:
    hub.repos[NAME] = {file: b"raise SystemExit('executed')"}
    with pytest.raises(UserError, match="only weights are read from the Hub"):
        resdet.load_config(f"hf://{NAME}/{file}")


def test_a_new_config_reads_the_net_of_published_weights(hub: Hub, trained: Path) -> None:
    push([str(trained), NAME])
    net = resdet.load_config(trained).model
    found = trunk_of(f"hf://{NAME}", None, None)
    assert (found.depth, found.crop, found.stride_on) == (net.net.depth, 16 * net.head.bins, net.net.stride_on)
