"""The site's pages: every document is one, its links lead to pages, and what pages say of written files is true."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
import yaml

import resdet
from helpers.commands import ON_CPU
from helpers.datasets import write_voc
from helpers.documentation import commands, words_of
from helpers.paths import ROOT
from resdet.cli.main import main


@pytest.fixture(scope="module")
def stage() -> ModuleType:
    """docs/site/stage.py."""
    spec = importlib.util.spec_from_file_location("stage", ROOT / "docs/site/stage.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def staged(stage: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the site is built from."""
    folder = tmp_path_factory.mktemp("site") / "docs"
    stage.stage(folder)
    return folder


def names_in(nav: object) -> list[str]:
    """The pages of mkdocs.yml's section nav."""
    if isinstance(nav, str):
        return [nav]
    entries = nav.values() if isinstance(nav, dict) else nav
    return [name for entry in entries for name in names_in(entry)]  # type: ignore[attr-defined]


def test_every_page_is_in_the_navigation_once(staged: Path) -> None:
    text = re.sub(r"!!python\S+", "", (ROOT / "mkdocs.yml").read_text())  # a function, which is not needed here
    listed = names_in(yaml.safe_load(text)["nav"])
    assert sorted(listed) == sorted(path.relative_to(staged).as_posix() for path in staged.rglob("*.md"))


def test_links_of_all_pages_lead_to_files_of_the_site(staged: Path, stage: ModuleType) -> None:
    links = 0
    for page in staged.rglob("*.md"):
        for link in stage.LINK.finditer(page.read_text(encoding="utf-8")):
            assert (page.parent / link["path"]).is_file(), f"{page.relative_to(staged)}: {link['path']}"
            links += 1
    assert links > 50


def test_a_link_is_turned_from_the_repository_to_the_site(stage: ModuleType) -> None:
    turned = stage.site_links("[a](../data/README.md#coco) [b](https://x.org/a.md) [c](#here)", "docs/PAPER.md")
    assert turned == "[a](data/README.md#coco) [b](https://x.org/a.md) [c](#here)"
    assert stage.site_links("[a](docs/start.md)", "README.md") == "[a](start.md)"
    assert (
        stage.site_links("[a](../notebooks/own_data.ipynb)", "docs/tutorials/voc.md") == "[a](../notebooks/own_data.md)"
    )


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("page", "fault", "said"),
    [
        ("faq.md", "[x](nothere.md)", "nothere.md"),
        ("faq.md", "[x](start.md#nothere)", "#nothere"),
        ("api/index.md", "::: resdet.nothere", "resdet.nothere"),
    ],
)
def test_the_build_is_strict(page: str, fault: str, said: str, staged: Path, tmp_path: Path) -> None:
    """The command of `make docs` (which .ci/run runs too) fails for a link, an anchor and a name that lead nowhere."""
    shutil.copytree(staged, tmp_path / "docs")
    with (tmp_path / "docs" / page).open("a") as file:
        file.write(f"\n\n{fault}\n")
    text = (ROOT / "mkdocs.yml").read_text().replace("build/docs", "docs").replace('["."]', f'["{ROOT}"]')
    (tmp_path / "mkdocs.yml").write_text(text)
    found = re.search(r"mkdocs (build.*)", (ROOT / "Makefile").read_text())
    assert found is not None
    command = [sys.executable, "-m", "mkdocs", *found[1].split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert said in done.stderr


# What the pages say --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos as labelImg leaves them, and a config of a second for them."""
    from helpers.configs import write_detector_config

    folder = tmp_path_factory.mktemp("user")
    config = write_detector_config(folder)
    (folder / "configs").mkdir()
    shutil.copyfile(config, folder / "configs/mine.py")
    (folder / "photos").mkdir()
    for path in (*(folder / "devkit").rglob("*.jpg"), *(folder / "devkit").rglob("*.xml")):
        shutil.copyfile(path, folder / "photos" / path.name)
    shutil.copyfile(folder / "photos/a.jpg", folder / "photo.jpg")
    resdet.train(config, folder / "runs/mine", device="cpu", precision="fp32")
    return folder


def test_the_first_pages_commands_run_in_its_order(
    used: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """start.md from new-config to errors, by a detector of a second; the export has tests of its own."""
    monkeypatch.chdir(used)
    done = []
    for written in (one for one in commands() if one.where == "docs/start.md"):
        name, *words = words_of(written.text) or [""]
        if name in ("", "export") or "--dry-run" in words:
            continue
        done.append(name)
        if "--init-from" in words:  # a download
            del words[words.index("--init-from") : words.index("--init-from") + 2]
        if name == "new-config":
            words[words.index("--out") + 1] = "configs/new.py"  # its net takes longer than the one that is there
        main([name, *words, *(ON_CPU if name not in ("new-config", "inspect-data") else [])])
    assert done == ["new-config", "inspect-data", "train-det", "predict", "eval-voc", "errors"]
    assert "as labelImg writes it" in capsys.readouterr().out


def test_formats_names_every_key_that_is_written(used: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(used)
    main(["predict", "runs/mine/last.pth", "photos", "--out", "found", "--threshold", "0.99", *ON_CPU])
    main(["eval-voc", "runs/mine/last.pth", "--json", "figures.json", *ON_CPU])
    lines = Path("found/detections.jsonl").read_text().splitlines()
    whole = json.loads(Path("found/detections.json").read_text())
    assert whole["images"] == [json.loads(line) for line in lines]
    image = whole["images"][0]
    assert image["size"] == [80, 100]  # height, width
    lines = Path("runs/mine/scalars.json").read_text().splitlines()
    scalars = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    checkpoint = torch.load("runs/mine/last.pth", weights_only=True)
    keys = {*whole, *image, *json.loads(Path("found/predict.json").read_text()), *checkpoint}
    keys |= {*json.loads(Path("runs/mine/run.json").read_text()), *json.loads(Path("figures.json").read_text())}
    keys |= {key for record in scalars for key in record if not key.startswith("val/")} - {"loss"}
    figures = {key for key in keys if key.startswith("mAP50")}
    text = re.sub(r"```.*?```", "", (ROOT / "docs/formats.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    written = {word for span in re.findall(r"`([^`]+)`", text) for word in re.split(r"\W+", span)}
    assert keys - figures - written == set()


LAYOUTS = {"voc": "devkit", "coco": "mine", "yolo": "mine", "roboflow": "export"}


@pytest.mark.parametrize("page", LAYOUTS)
def test_a_tutorials_first_commands_run_on_its_layout(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_layout(page, tmp_path / "data" / LAYOUTS[page])
    texts = [one.text for one in commands() if one.where == f"docs/tutorials/{page}.md"]
    for text in texts[:2]:
        name, *words = words_of(text) or [""]
        main([name, *words])
    assert "a training and a test set; 3 training images" in capsys.readouterr().out


def write_layout(page: str, folder: Path) -> None:
    """Three training images and two others in the first layout of a tutorial."""
    objects = {
        "train": {"a": (10, 10, 60, 60), "b": (20, 5, 50, 70), "c": (1, 1, 90, 40)},
        "val": {"d": (5, 5, 60, 60), "e": (9, 9, 80, 70)},
    }
    sets = {name: {i: [("pear", *box)] for i, box in own.items()} for name, own in objects.items()}
    write_voc(folder, sets, "mine")
    voc = folder / "VOCmine"
    if page == "voc":
        return
    for name, own in objects.items():
        place = {"train": "train", "val": "valid" if page == "roboflow" else "val"}[name]
        pictures = folder / ("images" if page == "yolo" else "") / place
        pictures.mkdir(parents=True)
        records, boxes = [], []
        for number, (image, (x1, y1, x2, y2)) in enumerate(own.items(), 1):
            shutil.copyfile(voc / "JPEGImages" / f"{image}.jpg", pictures / f"{image}.jpg")
            records.append({"id": number, "file_name": f"{image}.jpg", "height": 80, "width": 100})
            boxes.append({"id": number, "image_id": number, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1]})
            if page == "yolo":
                label = folder / "labels" / place / f"{image}.txt"
                label.parent.mkdir(parents=True, exist_ok=True)
                label.write_text(f"0 {(x1 + x2) / 200} {(y1 + y2) / 160} {(x2 - x1) / 100} {(y2 - y1) / 80}\n")
        if page == "yolo":
            (folder / "data.yaml").write_text("names: [pear]\n")
            continue
        file = {"coco": folder / f"annotations/instances_{name}.json", "roboflow": pictures / "_annotations.coco.json"}
        file[page].parent.mkdir(exist_ok=True)
        categories = [{"id": 1, "name": "pear"}]
        file[page].write_text(json.dumps({"images": records, "annotations": boxes, "categories": categories}))
    shutil.rmtree(voc)
