"""Arguments are declared without heavy imports, have help and defaults, and agree with the code that takes them."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from helpers.paths import ROOT
from resdet.boxes.soft_nms import Decay
from resdet.cli import arguments, commands
from resdet.cli.arguments import eval_loc, export_weights, shared, testing
from resdet.cli.commands.export_weights import DETECTRON2, FORMS
from resdet.cli.common.options import parse_options
from resdet.cli.common.run import command_line
from resdet.cli.main import build_parser, help_text, main
from resdet.cli.subcommands import GROUPS, SUBCOMMANDS, module_name
from resdet.engine.precision import Precision
from resdet.errors import UserError
from resdet.metrics.precision_recall import Method
from resdet.recipes.classification import evaluate as classification
from resdet.recipes.localization import inference as localization

HEAVY = ("torch", "torchvision", "mmengine", "cv2", "albumentations", "matplotlib", "numpy", "hotcoco", "rich")
NO_HEAVY = "import sys; found = [n for n in {heavy!r} if n in sys.modules]; assert not found, found"


def actions(subcommand: str) -> list[argparse.Action]:
    return [a for a in build_parser(subcommand)._actions if not isinstance(a, argparse._HelpAction)]


# What there is -------------------------------------------------------------------------------------------------------


def test_subcommands_modules_and_tools_are_one_set() -> None:
    modules = {module_name(subcommand) for subcommand in SUBCOMMANDS}
    assert len(SUBCOMMANDS) == len(modules)
    for folder in (Path(commands.__path__[0]), Path(arguments.__path__[0]), ROOT / "tools"):
        found = {path.stem for path in folder.glob("*.py")} - {"__init__", "numbers", "outputs", "shared", "testing"}
        assert found == modules, folder


@pytest.mark.parametrize("subcommand", SUBCOMMANDS)
def test_a_tool_runs_the_subcommand_of_its_name(subcommand: str) -> None:
    text = (ROOT / "tools" / f"{module_name(subcommand)}.py").read_text()
    assert f'run_process(["{subcommand}", *sys.argv[1:]])' in text


# Help ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["train-det", "--help"], ["eval-loc", "--help"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = f"import runpy, sys\nsys.argv = ['resdet', *{words!r}]\n"
    code += "try: runpy.run_module('resdet', run_name='__main__')\n"
    code += "except SystemExit as stop: assert not stop.code\n"
    code += NO_HEAVY.format(heavy=HEAVY)
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)


def test_no_module_of_arguments_imports_anything_heavy() -> None:
    code = f"from resdet.cli.main import build_parser\nfor name in {SUBCOMMANDS!r}: build_parser(name)\n"
    code += NO_HEAVY.format(heavy=HEAVY)
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)


@pytest.mark.parametrize("columns", [120, 80, 40])
def test_help_names_each_subcommand_in_its_group_in_the_width_of_the_terminal(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    main([])
    printed = capsys.readouterr().out
    assert printed == help_text() + "\n"
    assert max(map(len, printed.splitlines())) <= columns
    for title, group in GROUPS.items():
        entries = printed.split(f"\n{title}:\n")[1].split("\n\n")[0].splitlines()
        assert [line.split()[0] for line in entries if line[2] != " "] == list(group)


@pytest.mark.parametrize("subcommand", SUBCOMMANDS)
def test_every_subcommand_has_help_that_describes_every_argument(
    subcommand: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as caught:
        main([subcommand, "--help"])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"usage: resdet {subcommand} ")
    assert f"  resdet {subcommand}" in printed.partition("examples:\n")[2]
    described, _, examples = printed.partition("examples:\n")
    usage, _, texts = described.partition("\n\n")
    assert max(map(len, texts.splitlines())) <= 80
    assert max(map(len, usage.splitlines() + examples.splitlines())) <= 120
    assert "--cfg-\n" not in texts
    for action in actions(subcommand):
        assert action.help
        if isinstance(action.default, str | int | float | Path) and not isinstance(action.default, bool):
            assert f"(default: {action.default})" in action.help.replace("%(default)s", str(action.default)), action


# Choices and values --------------------------------------------------------------------------------------------------


def test_choices_are_those_of_the_code_that_takes_them() -> None:
    assert get_args(Precision) == shared.PRECISIONS
    assert get_args(Decay) == testing.SOFT_NMS_DECAYS
    assert get_args(Method) == testing.AP_METHODS
    assert get_args(classification.TestMode) == testing.CLASSIFIER_VIEWS
    assert get_args(localization.TestCrops) == eval_loc.VIEWS
    assert (*FORMS, DETECTRON2) == export_weights.FORMS


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ([], {}),
        (["--cfg-options", "a.b=1", "c=0.5", "d=text=more"], {"a.b": 1, "c": 0.5, "d": "text=more"}),
        (["--cfg-options", "a=1", "--cfg-options", "b=True", "a=None"], {"a": None, "b": True}),
        (["--cfg-options", "a=1,2", "b=[(3,x),[4]]", "c=(5,)"], {"a": [1, 2], "b": [(3, "x"), [4]], "c": (5,)}),
        (
            ["--cfg-options", "a=(5)", "b=[]", "c=1e-3", "d=true,x", "e=-2"],
            {"a": (5,), "b": [], "c": 1e-3, "d": [True, "x"], "e": -2},
        ),
    ],
)
def test_cfg_options_have_the_values_of_mmengines_action(words: list[str], values: dict[str, object]) -> None:
    from mmengine.config import DictAction

    reference = argparse.ArgumentParser()
    reference.add_argument("--cfg-options", nargs="+", action=DictAction, default={})
    assert reference.parse_args(words).cfg_options == values
    for _ in range(2):  # a list of one parser's defaults would grow
        assert parse_options(build_parser("train-det").parse(words).cfg_options) == values


def test_options_may_be_abbreviated_and_given_with_an_equals_sign() -> None:
    args = build_parser("train-det").parse(["--work", "a", "--init-from=b", "--", "c"])
    assert (args.work_dir, args.init_from, args.config) == (Path("a"), "b", "c")


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("/usr/bin/resdet", "resdet train-det"),
        ("/site/resdet/__main__.py", "resdet train-det"),
        ("tools/train_det.py", "python tools/train_det.py"),
    ],
)
def test_a_run_records_a_command_that_can_be_typed_again(
    program: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["my config.py", "--seed", "3"]
    monkeypatch.setattr(sys, "argv", [program, *words])
    args = build_parser("train-det").parse(words)
    args.words = ["train-det", *words]
    assert command_line(args, Path("run")) == f"{expected} 'my config.py' --seed 3"
    args.launcher = "pytorch"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    program = expected.removeprefix("python ").replace("resdet", "-m resdet")
    again = f"torchrun --standalone --nproc-per-node 8 {program} 'my config.py' --seed 3"
    assert command_line(args, Path("run")) == again


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("/data/my photos (1)", "/data/my photos (1)"),  # mmengine drops the spaces
        ("/data/a(1,2)b", "/data/a(1,2)b"),  # mmengine: RecursionError
        ("(1,2)x", "(1,2)x"),
        ("f(x)", "f(x)"),
        ("'a,b'", "a,b"),
        ("['a,b', \"c\"]", ["a,b", "c"]),
        ("{'a': (1, 2)}", {"a": (1, 2)}),
        ("1,(2,[3,x])", [1, (2, [3, "x"])]),
        ("", ""),
        ("007", "007"),
        ("it's", "it's"),
        ("a=b", "a=b"),
    ],
)
def test_brackets_spaces_and_quotes_in_a_value(text: str, value: object) -> None:
    assert parse_options([f"k={text}"]) == {"k": value}


@pytest.mark.parametrize(
    "text",
    ["(1", "[1,(2]", "[(])", "(1,2))", "1,(2", "[" * 30 + "]" * 30, "(" * 9000 + ")" * 9000, "((1)", "[a(,b]", "{"],
    ids=lambda text: text[:9],
)
def test_brackets_that_do_not_match_are_a_users_mistake(text: str) -> None:
    with pytest.raises(UserError, match=r"^--cfg-options k=.*(brackets do not match|nested deeper than 20)"):
        parse_options([f"k={text}"])


@pytest.mark.parametrize("text", ["{a: 1}", "{'a'}", "{'a': }", "{'a': 1}, 2", "{[1]: 2}"])
def test_a_bad_dict_is_a_users_mistake(text: str) -> None:
    with pytest.raises(UserError, match=r"^--cfg-options k=\{.*this is no dict of Python"):
        parse_options([f"k={text}"])
