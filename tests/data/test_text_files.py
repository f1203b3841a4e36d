"""Text, csv and numbers as files have them: every cause has its own one-line error."""

from __future__ import annotations

from pathlib import Path

import pytest

from resdet.data.text_files import (
    check_class_names,
    finite_number,
    quoted,
    read_csv,
    read_lines,
    read_text,
    whole_number,
)
from resdet.errors import UserError

HEADER = ("ImageId", "PredictionString")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_is_read_in_the_encodings_that_editors_write(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_bytes("Äpfel\r\n\r\n 梨 \rlast".encode(encoding))
    assert [line for _, line in read_lines(tmp_path / "a.txt")] == ["Äpfel", "梨", "last"]
    assert [where for where, _ in read_lines(tmp_path / "a.txt")] == [f"{tmp_path}/a.txt:{n}" for n in (1, 3, 4)]


def test_a_latin_1_byte_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\n\xe4pfel\n")
    with pytest.raises(UserError, match=r"a.txt: not a UTF-8 text file \(line 2\)"):
        read_text(tmp_path / "a.txt")


def test_names_with_unicode_line_separators_stay_whole(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a\x85b\u2028c\x0bd\n", encoding="utf-8")
    assert [line for _, line in read_lines(tmp_path / "a.txt")] == ["a\x85b\u2028c\x0bd"]


@pytest.mark.parametrize("name", ["gone.txt", "n" * 300, "nul\0", "\ud800"])
def test_what_is_no_file_is_a_user_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError):
        read_text(tmp_path / name)


def test_csv_rows_have_their_lines_and_long_cells(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f'ImageId,PredictionString\na,"1 2"\n\nb,{"9 " * 100_000}\n')
    rows = list(read_csv(tmp_path / "a.csv", HEADER))
    assert [(where.rpartition(":")[2], row[0]) for where, row in rows] == [("2", "a"), ("4", "b")]
    (tmp_path / "a.csv").write_text("Image\n")
    with pytest.raises(UserError, match="the first line is not 'ImageId,PredictionString'"):
        list(read_csv(tmp_path / "a.csv", HEADER))


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "9" * 309, "1e400", "9" * 5000])
def test_what_is_no_finite_number_is_refused_with_a_short_quotation(text: str) -> None:
    with pytest.raises(UserError, match=r"a.txt:1: .* is not a number; correct it") as caught:
        finite_number(text, "a.txt:1", "correct it")
    assert len(str(caught.value)) < 130


def test_whole_numbers_fit_64_bits() -> None:
    assert [whole_number(text) for text in ("0", "007", "9" * 18)] == [0, 7, 10**18 - 1]
    assert [whole_number(text) for text in ("", "-1", "1.0", "²", "9" * 19, "9" * 5000)] == [None] * 6


def test_quotations_are_short_whatever_is_quoted() -> None:
    endless: list[object] = ["x"]
    for _ in range(100):
        endless = [endless, endless]
    values = ["x" * 10_000, 10**5000, [10**5000] * 9, endless, {"a": "y" * 500}, b"\xff" * 500]
    assert all(len(quoted(value)) <= 85 for value in values)
    assert quoted("x" * 80) == repr("x" * 80)
    assert quoted(1.5) == "1.5"


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["a", " "], "empty name"),
        (["a", "b", "a"], "'a' is there twice"),
        (["a\nb"], "cannot be printed"),
        (["\ud800"], "cannot be printed"),
        (["ä" * 76], "longer than 150 bytes"),
    ],
)
def test_class_names_that_would_fail_later_are_refused(names: list[str], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        check_class_names(names, "classes.txt")


def test_class_names_may_have_any_letters() -> None:
    check_class_names(["w/o helmet", "traffic light", "梨", "👨‍👩‍👧", "non\xa0breaking", "100%"], "classes.txt")
