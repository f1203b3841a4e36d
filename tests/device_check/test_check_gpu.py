"""`resdet check-gpu` on a CPU, as a trial of its checks, and what it does with a check that fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from helpers.commands import check_gpu, error_line
from resdet.cli.main import build_parser
from resdet.data.classification.cifar import Cifar10
from resdet.device_check.agreement import TOLERANCES, answer, difference, gradient_differences
from resdet.device_check.check import Check, Found, Kind, Setting, Skipped
from resdet.device_check.checks import CHECKS
from resdet.device_check.commands import CommandFailed, Commands
from resdet.device_check.families import detect, families
from resdet.device_check.running import run_checks
from resdet.device_check.speed import TABLES
from resdet.device_check.variants import write_cifar
from resdet.engine.config import find_config

IN_PROCESS = [check.name for check in CHECKS if check.kind == Kind.HERE and check.name != "agreement"]


def test_all_checks_in_this_process_pass_on_a_cpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_gpu(["--device", "cpu", "--out", str(tmp_path / "out"), "--only", *IN_PROCESS])
    assert f"{len(IN_PROCESS)} passed, 0 failed" in capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["machine"]["torch"] == torch.__version__
    assert [check["status"] for check in report["checks"]] == ["passed"] * len(IN_PROCESS)
    assert not report["unfinished"]
    text = (tmp_path / "out" / "report.md").read_text()
    assert all(f"## {name}: passed" in text for name in IN_PROCESS)


def test_a_check_that_fails_is_told_and_the_others_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def raises(setting: Setting, found: Found) -> None:
        found.figures["before"] = 1
        raise ValueError("a broken kernel")

    def notes(setting: Setting, found: Found) -> None:
        found.at_most("difference", float("nan"), 1e-3)
        found.try_part("part", lambda: raises(setting, found))

    def leaves_out(setting: Setting, found: Found) -> None:
        raise Skipped("no GPU here")

    def sees_a_report(setting: Setting, found: Found) -> None:
        so_far = json.loads((tmp_path / "report.json").read_text())  # a killed run leaves what it found
        assert [check["name"] for check in so_far["checks"]] == ["raises", "notes", "skips"]
        assert so_far["unfinished"] == ["last"]

    functions = {"raises": raises, "notes": notes, "skips": leaves_out, "last": sees_a_report}
    checks = [Check(name, "what it is", function) for name, function in functions.items()]
    report = run_checks(checks, torch.device("cpu"), tmp_path)
    assert [result.status for result in report.results.values()] == ["failed", "failed", "skipped", "passed"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("ValueError: a broken kernel")
    assert lines[1].endswith("difference: nan, above 0.001 (and 1 more)")
    text = (tmp_path / "report.md").read_text()
    assert "Traceback (most recent call last)" in text
    assert "| before | 1 |" in text
    assert json.loads((tmp_path / "report.json").read_text())["checks"][1]["found"]["figures"]["difference"] is None


@pytest.mark.parametrize("name", ["detector, VGG-16", "multi-scale, refinement"])
def test_a_family_in_bf16_is_near_itself_in_fp32_but_not_equal(name: str) -> None:
    (family,) = (one for one in families() if one.name == name)
    torch.manual_seed(0)
    model, cpu = family.model(), torch.device("cpu")
    exact, again, rounded = (answer(family, model, cpu, precision) for precision in ("fp32", "fp32", "bf16"))
    for key, value in exact.outputs.items():
        assert torch.equal(again.outputs[key], value)
        assert difference(rounded.outputs[key], value) < TOLERANCES["bf16"].outputs
    assert any(difference(rounded.outputs[key], value) > 1e-4 for key, value in exact.outputs.items())
    assert bool(exact.gradient) == (family.outputs is detect)


def test_differences_are_relative_to_the_norm() -> None:
    expected = {"a": torch.tensor([3.0, 4]), "b": torch.tensor([0.0, 0.0])}
    actual = {"a": torch.tensor([3.0, 4]), "b": torch.tensor([0.0, 0.05])}
    assert difference(torch.tensor([3.0, 4.5]), expected["a"]) == pytest.approx(0.1)
    assert gradient_differences(actual, expected) == pytest.approx((0.01, 1.0))  # b counts as 1 % of the whole


def test_a_command_that_fails_says_why_and_one_that_is_killed_ran_until_then(tmp_path: Path) -> None:
    commands = Commands(tmp_path, "cpu", slots=1)
    with pytest.raises(CommandFailed, match=r"^wrong ended with exit code 2 .*there is no command trian-cls"):
        commands.run("wrong", "trian-cls")
    log = tmp_path / "killed.log"
    commands.run_until("killed", lambda: "arguments" in log.read_text(), "train-cls", "--help")
    assert commands.run("help", "train-cls", "--help").output.count("usage") == 1


def test_written_cifar_files_are_read(tmp_path: Path) -> None:
    write_cifar(tmp_path)
    read = Cifar10(tmp_path, "test")
    assert len(read) == 10_000
    assert set(read.labels.tolist()) == set(range(10))


def test_an_unknown_check_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no check bokses (did you mean boxes?)" in error_line(check_gpu, ["--only", "bokses"], capsys)
    assert "no check is left" in error_line(check_gpu, ["--only", "boxes", "--skip", "boxes"], capsys)


def test_the_list_names_every_check(capsys: pytest.CaptureFixture[str]) -> None:
    check_gpu(["--list"])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [check.name for check in CHECKS]


@pytest.mark.parametrize("words", TABLES.values(), ids=list(TABLES))
def test_the_benchmarks_are_commands(words: tuple[object, ...]) -> None:
    args = build_parser("benchmark").parse(["--device=cuda", *map(str, words)])
    assert find_config(args.config)


@pytest.mark.heavy
def test_the_whole_command_passes_on_a_cpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_gpu(["--device", "cpu", "--out", str(tmp_path)])
    assert "14 passed, 0 failed, 2 skipped" in capsys.readouterr().out
    (resumed,) = (c for c in json.loads((tmp_path / "report.json").read_text())["checks"] if c["name"] == "resume")
    assert resumed["found"]["figures"]["equal bits, resumed and not interrupted"] is True
