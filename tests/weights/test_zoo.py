"""Weights by name: downloaded once, resumed after a cut, put in place as a whole."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torchvision

from helpers.file_server import FileServer, serve
from helpers.weights import GOLDEN, caffe2_blobs, dump, needs_golden
from resdet.errors import UserError
from resdet.recipes.sections import load_config
from resdet.weights import download
from resdet.weights.download import Download, fetch
from resdet.weights.read import read_weights
from resdet.weights.zoo import config_for, resolve

R50 = "/detectron2/ImageNetPretrained/MSRA/R-50.pkl"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A mirror with a small R-50.pkl of 200 kB; downloads go into `tmp_path`/cache."""
    monkeypatch.setattr(download, "PAUSE", 0.001)
    content = dump(caffe2_blobs() | {"noise_w": torch.rand(50_000).numpy()}, tmp_path / "R-50.pkl").read_bytes()
    with serve(FileServer({R50: content})) as running:
        monkeypatch.setenv("RESDET_MIRROR", running.url)
        monkeypatch.setenv("RESDET_CACHE", str(tmp_path / "cache"))
        yield running


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "cache" / R50[1:]


def test_a_name_is_downloaded_once(server: FileServer, target: Path) -> None:
    assert read_weights("msra://R-50").origin == "caffe2"
    assert target.read_bytes() == server.files[R50]
    assert resolve("msra://R-50") == resolve("msra:/R-50") == target  # one slash: what pathlib leaves of two
    assert len(server.asked) == 1


@pytest.mark.parametrize("version", ['"1"', ""])
def test_a_cut_transfer_goes_on_where_it_ended(version: str, server: FileServer, target: Path) -> None:
    server.version, server.cuts = version, [50_000, 1, 100_000]
    assert resolve("msra://R-50").read_bytes() == server.files[R50]
    assert [wanted for _, wanted in server.asked] == ["", "bytes=50000-", "bytes=50001-", "bytes=150001-"]
    assert server.sent == len(server.files[R50])
    assert [path.name for path in target.parent.iterdir() if not path.name.endswith(".lock")] == ["R-50.pkl"]


def test_a_later_call_goes_on_too(server: FileServer, target: Path) -> None:
    server.cuts = [50_000, 0, 0, 0, 0, 0]
    with pytest.raises(UserError, match=r"msra://R-50: cannot be downloaded \(50,000 of [\d,]+ bytes arrived\)"):
        resolve("msra://R-50")
    assert not target.exists()
    server.cuts.clear()
    assert resolve("msra://R-50").read_bytes() == server.files[R50]
    assert server.sent == len(server.files[R50])


def test_a_server_without_ranges_sends_the_whole_file_again(server: FileServer) -> None:
    server.ranges, server.cuts = False, [50_000, 100_000]
    assert resolve("msra://R-50").read_bytes() == server.files[R50]
    assert server.sent == 150_000 + len(server.files[R50])


@pytest.mark.parametrize("shorter", [0, 170_000])
def test_a_file_that_changes_on_the_server_is_not_mixed(shorter: int, server: FileServer) -> None:
    server.cuts = [50_000, 0, 0, 0, 0, 0]
    with pytest.raises(UserError):
        resolve("msra://R-50")
    server.cuts.clear()
    server.version, server.files[R50] = '"2"', bytes(reversed(server.files[R50]))[shorter:]
    assert resolve("msra://R-50").read_bytes() == server.files[R50]


def test_a_wrong_size_is_no_file(server: FileServer, target: Path) -> None:
    server.claims = 7
    with pytest.raises(UserError, match=r"cannot be downloaded \(.* bytes arrived\)"):
        resolve("msra://R-50")
    assert not target.exists()


def by_hand(server: FileServer, target: Path) -> str:
    return rf"; fetch {server.url}{R50} by hand and put it at {target}$"


@pytest.mark.parametrize(("status", "requests"), [(404, 1), (403, 1), (503, download.ATTEMPTS)])
def test_an_error_of_the_server_is_one_line(status: int, requests: int, server: FileServer, target: Path) -> None:
    server.status = status
    with pytest.raises(UserError, match=rf"answers {status} .*{by_hand(server, target)}"):
        resolve("msra://R-50")
    assert len(server.asked) == requests


def test_a_page_in_place_of_the_file_is_refused(server: FileServer, target: Path) -> None:
    server.content_type = "text/html; charset=utf-8"
    with pytest.raises(UserError, match=rf"a page, not the file.*{by_hand(server, target)}"):
        resolve("msra://R-50")
    assert not target.exists()


def test_no_network_is_one_line(monkeypatch: pytest.MonkeyPatch, server: FileServer, target: Path) -> None:
    monkeypatch.setenv("RESDET_MIRROR", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"msra://R-50: cannot be downloaded .*fetch http://127\.0\.0\.1:9/detectron2/"):
        resolve("msra://R-50")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(server.files[R50])  # fetched by hand
    assert read_weights("msra://R-50").origin == "caffe2"


def test_a_folder_that_cannot_be_written_is_one_line(
    tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RESDET_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"msra://R-50: cannot be downloaded"):
        resolve("msra://R-50")
    assert server.asked == []


def test_a_checksum_is_verified(server: FileServer, tmp_path: Path) -> None:
    right = hashlib.sha256(server.files[R50]).hexdigest()[:8]
    good, bad = tmp_path / "good.pth", tmp_path / "bad.pth"
    fetch(Download("a net", server.url + R50, good, f"sha256:{right}"))
    assert good.is_file()
    with pytest.raises(UserError, match=rf"its sha256 begins with {right}, not 12345678"):
        fetch(Download("a net", server.url + R50, bad, "sha256:12345678"))
    assert not bad.exists()


def test_of_several_threads_one_downloads(server: FileServer) -> None:
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(resolve("msra://R-50"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(server.asked) == 1


def test_torchvisions_weights_are_shared_with_torchvision(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They lie where torchvision looks for them, and their names hold the beginning of their SHA-256."""
    monkeypatch.delenv("RESDET_CACHE")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    name = os.path.basename(torchvision.models.get_weight("ResNet18_Weights.IMAGENET1K_V1").url)
    server.files[f"/models/{name}"] = b"not the published file"
    with pytest.raises(UserError, match=r"its sha256 begins with \w{8}, not f37072fd"):
        resolve("torchvision://ResNet18_Weights.IMAGENET1K_V1")
    store = tmp_path / "hub" / "checkpoints"
    store.mkdir(parents=True, exist_ok=True)
    torch.save(torchvision.models.resnet18().state_dict(), store / name)
    for form in ("torchvision://ResNet18_Weights.IMAGENET1K_V1", "ResNet18_Weights.IMAGENET1K_V1"):
        assert resolve(form) == store / name
    assert read_weights("torchvision://ResNet18_Weights.IMAGENET1K_V1").origin == "torchvision"


def test_a_damaged_copy_is_named_with_its_place(server: FileServer, target: Path) -> None:
    server.files[R50] = server.files[R50][:-10]
    with pytest.raises(UserError, match=rf"^{target}: not a whole weights file .*\(delete this copy of msra://R-50\)"):
        read_weights("msra://R-50")


@pytest.mark.parametrize("name", ["msra://R-500", "detectron2://COCO-Detection/faster_rcnn_R_50_FPN_3x"])
def test_unknown_names_are_refused_with_a_guess(name: str) -> None:
    with pytest.raises(UserError, match=rf"^{name}: there are no such weights; did you mean \w+://"):
        resolve(name)


DETECTORS = {
    "COCO-Detection/faster_rcnn_R_50_C4_1x": "detectron2_r50_c4",
    "COCO-Detection/faster_rcnn_R_50_C4_3x": "detectron2_r50_c4",
    "COCO-Detection/faster_rcnn_R_101_C4_3x": "detectron2_r101_c4",
    "PascalVOC-Detection/faster_rcnn_R_50_C4": "detectron2_r50_c4_voc",
    "COCO-InstanceSegmentation/mask_rcnn_R_50_C4_3x": "detectron2_r50_c4",
    "COCO-InstanceSegmentation/mask_rcnn_R_101_C4_3x": "detectron2_r101_c4",
}


@pytest.mark.parametrize("name", DETECTORS)
def test_a_published_detector_has_its_config(name: str) -> None:
    """Depth and data set are in the name."""
    config = config_for(f"detectron2://{name}")
    assert config == config_for(f"detectron2:/{name}.yaml") == DETECTORS[name]
    model = load_config(config).model
    assert model.num_classes == (20 if "PascalVOC" in name else 80)
    assert model.net.depth == (101 if "R_101" in name else 50)


def test_files_have_the_configs_of_their_names() -> None:
    assert config_for("somewhere/model_final_298dad.pkl") == "detectron2_r101_c4"
    full = "detectron2://COCO-Detection/faster_rcnn_R_101_C4_3x/138204752/model_final_298dad.pkl"  # detectron2's form
    assert config_for(full) == "detectron2_r101_c4"
    assert config_for("runs/voc07_r50/last.pth") is config_for("msra://R-50") is None


@pytest.mark.parametrize(("file", "name"), [("R-101.pkl", "msra://R-101"), ("model_final_f97cb7.pkl", "detectron2://")])
def test_a_missing_file_is_named_with_what_downloads_it(file: str, name: str) -> None:
    with pytest.raises(UserError, match=rf'data/weights/{file}: no such .* give {name}.*data/README\.md, "Weights"'):
        read_weights(f"data/weights/{file}")


@needs_golden
@pytest.mark.shared
def test_the_golden_trunk_is_downloaded_and_read(server: FileServer) -> None:
    server.files[R50] = (GOLDEN / "caffe2_r50.pkl").read_bytes()
    server.cuts = [100_000]
    assert len(read_weights("msra://R-50").state) == len(read_weights(GOLDEN / "caffe2_r50.pkl").state)


def test_a_detectors_md5_is_in_its_name(server: FileServer) -> None:
    name = "detectron2://COCO-Detection/faster_rcnn_R_50_C4_1x"
    server.files["/detectron2/COCO-Detection/faster_rcnn_R_50_C4_1x/137257644/model_final_721ade.pkl"] = b"another file"
    with pytest.raises(UserError, match=rf"^{name}: .*its md5 begins with \w{{6}}, not 721ade"):
        resolve(name)
