"""The rows of the paper's tables: each has its config, its figure in the config's head and in docs/PAPER.md, commands
that the parser takes, and files that a command before them has written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from helpers.commands import Main, call, error_line, reproduce, table
from helpers.paths import CONFIGS, ROOT
from resdet.cli.main import build_parser
from resdet.engine.config import read_config
from resdet.paper.markdown import updated
from resdet.paper.needs import configs_of, needs_of
from resdet.paper.rows import FIGURES, PLACES, TABLES, Row, all_rows, commands_of, find_row, rows_of, words_of
from resdet.recipes.sections import load_config

ROWS = all_rows()


def test_every_table_and_figure_has_rows_and_every_row_a_name_of_its_own() -> None:
    assert {row.place for row in ROWS} == set(PLACES)
    assert len({row.id for row in ROWS}) == len(ROWS) == 68
    assert len(PLACES) == len(TABLES) + len(FIGURES) == 18


def test_all_commands_of_a_row_come_in_an_order_in_which_each_finds_what_it_reads() -> None:
    """A checkpoint or a run's folder below runs/ is read after the training that writes it."""
    for row in ROWS:
        written: set[str] = set()
        for command in commands_of(row):
            words = words_of(command)
            folders = [Path(w).parts[1] for w in words if w.startswith("runs/")]
            if not words[0].startswith("train-"):
                assert set(folders) <= written, (row.id, command)
                continue
            args = build_parser(words[0]).parse(words[1:])
            written.add(args.work_dir.name if args.work_dir else args.config)
            source = read_config(args.config).get("init_from") or ""
            if str(source).startswith("runs/"):
                assert Path(source).parts[1] in written, (row.id, command)


@pytest.mark.parametrize("place", PLACES)
def test_the_configs_of_all_rows_are_built(place: str) -> None:
    for row in rows_of(place):
        for name in configs_of(row):
            load_config(name)


# The paper's figures are in the heads of the configs, too: two people wrote them down.
ELSEWHERE = ("Table 1", "Table 5", "Figure")


@pytest.mark.parametrize("row", [r for r in ROWS if not r.place.startswith(ELSEWHERE)], ids=lambda r: r.id)
def test_a_rows_figures_are_those_of_its_configs_head(row: Row) -> None:
    heads = [CONFIGS / f"{row.config}.py", *(CONFIGS / f"{name}.py" for name in configs_of(row))]
    text = " ".join(path.read_text().partition('"""\n\n')[0] for path in heads)
    for figure in re.findall(r"\d+\.\d+", row.paper):
        assert re.search(rf"(?<![\d.]){re.escape(figure)}(?!\d)", text), figure


def test_what_was_measured_is_in_the_results() -> None:
    results = (ROOT / "docs/RESULTS.md").read_text()
    measured = [row for row in ROWS if row.measured]
    assert len(measured) == 6
    for row in measured:
        for figure in re.findall(r"\d+\.\d+", row.measured):
            assert figure in results, (row.id, figure)


def test_rows_that_a_server_scores_write_the_file_it_takes() -> None:
    """Table 5's 3.57, Table 9's test-dev, Tables 12's and 14's test sets: only the servers have the answers."""
    rows = [row for row in ROWS if "server scores" in row.note]
    assert {row.place for row in rows} == {f"Table {n}" for n in (5, 7, 9, 11, 12, 14)}
    for row in rows:
        assert re.search(r"--(submission|write-submission|write-results|write-predictions) ", row.measure[-1]), row.id


@pytest.mark.parametrize("page", ["README.md", "docs/PAPER.md"])
def test_the_tables_of_the_pages_are_those_of_the_rows(page: str) -> None:
    text = (ROOT / page).read_text()
    assert "<!-- rows: " in text
    assert updated(text) == text, f"python -m resdet.paper {page}"


def test_every_row_is_in_the_paper_page() -> None:
    text = (ROOT / "docs/PAPER.md").read_text()
    assert [row.id for row in ROWS if f"| `{row.id}` |" not in text] == []


# The commands ---------------------------------------------------------------------------------------------------------


def output(capsys: pytest.CaptureFixture[str], command: Main, *arguments: object) -> str:
    """What a command prints."""
    call(command, *arguments)
    return capsys.readouterr().out


def listed(capsys: pytest.CaptureFixture[str], row: str, *options: object) -> list[str]:
    """The commands of a row, as `resdet reproduce ROW --list` prints them."""
    return output(capsys, reproduce, row, "--list", *options).splitlines()


def test_table_prints_the_papers_figures_the_commands_and_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data/VOCdevkit/VOC2007/Annotations").mkdir(parents=True)
    Path("data/VOCdevkit/VOC2012").mkdir()  # empty: nothing was unpacked into it
    printed = output(capsys, table, "10")
    assert "85.6 mAP" in printed
    assert "$ resdet train-det coco_r101_trainval_context" in printed  # from COCO
    assert "data/VOCdevkit/VOC2007 (there)" in printed
    assert "data/VOCdevkit/VOC2012 (missing: data/README.md" in printed


def test_what_a_row_needs_is_not_what_its_own_commands_write() -> None:
    names = [need.name for need in needs_of(find_row("table10-voc07_r101_plus"))]
    assert not [name for name in names if name.startswith("runs/")]
    assert {"data/VOCdevkit/VOC2007", "data/coco/train2014"} <= set(names)


def test_an_unknown_row_or_table_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean table7-voc07_r101" in error_line(reproduce, ["table7-voc07-r101"], capsys)
    assert "give 1 to 14, or f1, f4, f6, f7" in error_line(table, ["15"], capsys)
    assert "give 1 to 14" in error_line(table, ["f2"], capsys)


def test_the_summary_has_the_best_row_of_each_table() -> None:
    """Of the trainings, not of their order in the paper: of Table 6 ResNet-110, not ResNet-1202."""
    summary = updated("<!-- rows: summary -->\n<!-- end of rows -->\n")
    assert "| Table 6 | 6 | ResNet-110, five runs | `cifar10_r110` | 6.43 (6.61 +- 0.16) error |" in summary
    assert "| `coco_r101_trainval_multiscale` | 59.0, 37.4 mAP@.5, @[.5,.95] |" in summary
    assert "| `det_r101_plus` | 63.6, 62.1 mAP |" in summary


def test_a_row_whose_data_are_missing_is_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it needs is told before anything begins; --work-dir need not exist."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        call(reproduce, "table8-coco_r101", "--processes", 8, "--work-dir", "rr")
    assert caught.value.code == 2
    told = capsys.readouterr()
    assert "needs     data/coco/train2014 (missing: data/README.md says where it is from)" in told.out
    assert "not started: 2 of the 3 folders and files that it needs are missing, first rr/data/coco/train" in told.err
    assert told.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_weights_that_are_not_there_are_downloaded_by_their_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESDET_CACHE", str(tmp_path / "cache"))
    printed = output(capsys, table, "8")
    assert "needs     VGG16_Weights.IMAGENET1K_V1 (will be downloaded)" in printed
    assert "needs     data/weights/R-101.pkl (not there: --init-from msra://R-101 downloads it)" in printed
    assert listed(capsys, "table8-coco_r101")[0] == "resdet train-det coco_r101 --init-from msra://R-101"
    for name in ("cache/vgg16-397923af.pth", "data/weights/R-101.pkl"):
        Path(name).parent.mkdir(parents=True)
        Path(name).touch()
    printed = output(capsys, table, "8")
    assert "VGG16_Weights.IMAGENET1K_V1 (there)" in printed
    assert "data/weights/R-101.pkl (there)" in printed
    assert listed(capsys, "table8-coco_r101")[0] == "resdet train-det coco_r101"


def test_with_several_processes_the_images_of_a_step_are_shared_evenly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data/weights").mkdir(parents=True)
    Path("data/weights/R-101.pkl").touch()
    train, test = listed(capsys, "table7-voc07_r101_alternating", "--processes", 8)
    torchrun = "torchrun --standalone --nproc-per-node 8 -m resdet"
    options = "--cfg-options alternating.rpn.images=8 alternating.head.images=8"
    assert train == f"{torchrun} train-det voc07_r101_alternating {options}"
    assert test.startswith(f"{torchrun} eval-voc voc07_r101_alternating --checkpoint ")
    train = listed(capsys, "table8-coco_r101", "--processes", 8)[0]
    assert train == f"{torchrun} train-det coco_r101"  # 8 images: nothing to set
