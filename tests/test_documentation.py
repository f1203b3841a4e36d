"""Every command line and Python block of the documentation can be run, and the pages have what the code has.

The commands of README.md, CONTRIBUTING.md, data/README.md, docs/, the configs' heads, the help texts and the rows of
the paper's tables are parsed by the real parser, and their configs are read with the options that the command sets.
README's way with one's own data, and the commands that need nothing, are run; `-m heavy` dry-runs every training.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from argparse import Namespace
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest
import torchvision

import resdet
from helpers.commands import ON_CPU
from helpers.configs import write_detector_config
from helpers.documentation import PAGES, Written, commands, python_blocks, words_of
from helpers.paths import CONFIGS, ROOT, shipped_configs
from resdet.cli.common.options import parse_options
from resdet.cli.main import build_parser, main
from resdet.cli.subcommands import SUBCOMMANDS
from resdet.engine.config import Config, find_config
from resdet.paper.rows import find_row, rows_of
from resdet.recipes.sections import load_config

COMMANDS, BLOCKS = commands(), python_blocks()
SOURCES = sorted({written.where.partition(":")[0] for written in COMMANDS})
# Letters that stand for a value where an option takes a number or a choice, and names that stand for a config.
LETTERS = {("--seed", "S"): "0", ("--mode", "M"): "infer", ("--precision", "P"): "bf16", ("--proposals", "N"): "300"}
FOR_CONFIG = {"eval-coco": "coco_r101", "train-cls": "imagenet_r50", "eval-cls": "imagenet_r50",
              "precise-bn": "imagenet_r50", "eval-loc": "loc_r101_rcnn"}  # fmt: skip
NEED_NOTHING = ("resdet table", "resdet table 7", "resdet table f6", "resdet copy-configs --list",
                "resdet reproduce table7-voc07_r101 --list", "resdet --help")  # fmt: skip
FOR_THE_READER = ("pip", "ln", "pre-commit")  # other people's programs
NEED_MORE = ("hf://", "serve(", "load_pt2(")  # a server, an export: tests of their own run these Python blocks
WORDS = re.compile(r"\w+_Weights\.\w+")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the configs, and a user's own: a detector as mine.py, a classifier as classes.py."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(CONFIGS, folder / "configs", ignore=shutil.ignore_patterns("__pycache__"))
    text = write_detector_config(folder).read_text()
    (folder / "configs/mine.py").write_text(text)
    (folder / "configs/classes.py").write_text((CONFIGS / "tiny_imagenet50_r18.py").read_text())
    return folder


@pytest.fixture(scope="module")
def trained(checkout: Path) -> Path:
    """The checkout with what the pages' Python lines use: runs/mine/last.pth, photo.jpg and other.jpg."""
    for name in ("photo.jpg", "other.jpg"):
        shutil.copyfile(next((checkout / "devkit").rglob("*.jpg")), checkout / name)
    if not (checkout / "runs/mine/last.pth").is_file():
        resdet.train(checkout / "configs/mine.py", checkout / "runs/mine", device="cpu", precision="fp32")
    return checkout


@cache
def config_of(path: str, options: tuple[str, ...]) -> Config:
    return load_config(path, parse_options(options))


def parsed(words: Sequence[str]) -> Namespace:
    """The arguments of a command, with values for what stands for one."""
    name, *rest = words
    for i, word in enumerate(rest):
        rest[i] = LETTERS.get((rest[i - 1], word), word) if i else word
        if word in ("CONFIG", "CONFIG2"):
            rest[i] = FOR_CONFIG.get(name, "voc07_r101")
    return build_parser(name).parse(rest)


def check(written: Written) -> None:
    """Parse a command and read what it names; an error is raised if nobody could run it."""
    words = words_of(written.text)
    if words is None:
        check_other_program(shlex.split(written.text, comments=True))
        return
    if words in (["--help"], ["--version"]):
        return
    assert words[0] in SUBCOMMANDS
    if {"ROW", "TABLE", "COMMAND", "ARGUMENTS"} & set(words):  # the form of a command
        return
    args = parsed(words)
    if words[0] == "reproduce":
        find_row(args.row)
    if words[0] == "table":
        assert all(rows_of(name) for name in args.table)
    for name in filter(WORDS.fullmatch, words):
        torchvision.models.get_weight(name)
    config = getattr(args, "config", None)
    named = config and ("/" not in config or config.startswith("detectron2:"))  # not a data set, a file of weights
    if named or str(config).endswith(".py"):
        config_of(config, tuple(getattr(args, "cfg_options", ())))
    for member in (*getattr(args, "net", ()), *getattr(args, "classifier_net", ()), *getattr(args, "classifier", ())):
        find_config(FOR_CONFIG["eval-loc"] if member and member[0] == "CONFIG2" else (member or ["imagenet_r50"])[0])


def check_other_program(words: Sequence[str]) -> None:
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif words[0] == "pytest":
        paths = [word for word in words[1:] if "/" in word]
        assert all((ROOT / path).exists() for path in paths), words
    elif words[0] == ".ci/run":
        assert (ROOT / words[0]).is_file()
    elif words[0] == "python" and words[1].endswith(".py"):  # a script that comes with resdet
        assert list((ROOT / "resdet").rglob(Path(words[1]).name)), words
    elif words[:2] == ["python", "-m"]:
        assert (ROOT / words[2].replace(".", "/") / "__main__.py").is_file()
    else:
        assert words[0] in FOR_THE_READER, f"what is {words[0]}?"


@pytest.mark.parametrize("source", SOURCES)
def test_every_command_line_can_be_run(source: str, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout)
    failed = []
    for written in COMMANDS:
        if written.where.partition(":")[0] != source:
            continue
        try:
            check(written)
        except (Exception, SystemExit) as error:  # of all kinds: each is a command that nobody can run
            failed.append(f"{written}: {error!r}")
    assert not failed


def test_no_page_has_lost_its_commands() -> None:
    """The collector finds them in every form: fences, inline code, heads, help texts, rows."""
    assert len(COMMANDS) > 250
    assert {"README.md", "docs/PAPER.md", "docs/RESULTS.md", "data/README.md", "resdet table"} <= set(SOURCES)
    assert len([source for source in SOURCES if source.endswith("--help")]) == len(SUBCOMMANDS)


def test_torchrun_and_scripts_are_read_as_the_command_that_they_run() -> None:
    assert words_of("torchrun --nproc-per-node 8 tools/train_det.py a --resume") == ["train-det", "a", "--resume"]
    assert words_of("srun --ntasks 16 python tools/train_cls.py b  # why") == ["train-cls", "b"]
    assert words_of("torchrun --nproc-per-node 8 -m resdet eval-voc c") == ["eval-voc", "c"]
    assert words_of("make demo") is None


# Run -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", NEED_NOTHING)
def test_commands_that_need_nothing_run(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = words_of(command)
    assert words is not None
    main(words)
    assert capsys.readouterr().out


def test_readmes_way_with_ones_own_data_runs_to_its_python_lines(
    checkout: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """inspect-data, train-det, eval-voc ... export as README has them, then its Python block."""
    monkeypatch.chdir(checkout)
    shutil.copytree(photos, "photos")
    shutil.copyfile(photos / "wide.png", "photo.jpg")
    own = [w.text for w in COMMANDS if w.where == "README.md" and "mine" in w.text]
    own = [text for text in own if "new-config" not in text]  # mine.py is there: a detector of a second
    done = []
    for command in own:
        name, *words = words_of(command) or []
        done.append(name)
        if "--init-from" in words:  # a download, of another width than this net's
            del words[words.index("--init-from") : words.index("--init-from") + 2]
        main([name, *words, *([] if name in ("inspect-data", "export") else ON_CPU)])
    assert done == ["inspect-data", "train-det", "eval-voc", "errors", "predict", "export"]
    assert Path("drawn/detections.json").is_file()
    (block,) = [block for block in BLOCKS if block.where == "README.md"]
    found: dict[str, object] = {}
    exec(compile(block.text, "README.md", "exec"), found)
    assert len(found["detections"].boxes) == len(found["detections"].labels)  # type: ignore[attr-defined]


def test_every_python_block_runs(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OWN_DATA's first block is a whole config; the others that set values are parts of one, and put behind it."""
    monkeypatch.chdir(trained)
    whole = next(block.text for block in BLOCKS if "read_base" in block.text)
    kinds = []
    for number, block in enumerate(BLOCKS):
        if "load_detector" in block.text or "(Backbone)" in block.text:
            code = compile(block.text, block.where, "exec")
            if not any(word in block.text for word in NEED_MORE):
                exec(code, {})
            kinds.append("use")
            continue
        path = Path(f"configs/block_{number}.py")
        path.write_text(block.text if "read_base" in block.text else f"{whole}\n{block.text}")
        load_config(path)
        kinds.append("config")
    assert kinds.count("use") >= 2
    assert kinds.count("config") >= 4


@pytest.mark.heavy
@pytest.mark.parametrize(
    "written", [w for w in COMMANDS if (words_of(w.text) or [""])[0].startswith("train-")], ids=str
)
def test_every_training_of_the_pages_completes_a_dry_run(
    written: Written, checkout: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(checkout)
    words = words_of(written.text) or []
    args = parsed(words)
    options = ["--cfg-options", *args.cfg_options] if args.cfg_options else []
    config = [args.config] if args.config else []
    seeds = ["--runs", "2"] if getattr(args, "runs", 1) > 1 else []
    dry = ["--dry-run", "--work-dir", str(tmp_path / "run"), *ON_CPU]
    main([words[0], *config, *dry, *seeds, *options])
    assert list((tmp_path / "run").rglob("page.html"))


# What the pages say --------------------------------------------------------------------------------------------------


def test_links_of_the_pages_lead_somewhere() -> None:
    lost = []
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if "://" not in target and not (ROOT / page).parent.joinpath(target).exists():
                lost.append(f"{page}: {target}")
    assert not lost


def test_a_users_own_config_is_none_of_those_that_tests_walk() -> None:
    """`configs/mine.py` of README's own example must not be tested."""
    mine = CONFIGS / "of_a_user_of_a_test.py"
    try:
        mine.write_text("this is no config\n")
        assert mine not in shipped_configs()
        assert CONFIGS / "voc07_r101.py" in shipped_configs()
    finally:
        mine.unlink()


@pytest.mark.parametrize("folder", ["inspection", "drawn", "predictions", "runs"])
def test_what_readmes_commands_write_is_ignored_by_git(folder: str) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no repository")
    assert subprocess.run(["git", "check-ignore", "-q", f"{folder}/x"], cwd=ROOT, check=False).returncode == 0


def test_python_m_resdet_is_the_command() -> None:
    found = subprocess.run([sys.executable, "-m", "resdet", "--version"], cwd=ROOT, capture_output=True, text=True)
    assert found.stdout.startswith("resdet ")
