"""Files of predictions and solutions: both formats round-trip, and errors are named with their line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from resdet.data.localization.files import (
    read_excluded,
    read_ilsvrc,
    read_kaggle,
    read_predictions,
    read_solution,
    write_ilsvrc,
    write_kaggle,
)
from resdet.errors import UserError
from resdet.metrics.localization_error import NO_GUESS, Guesses, localization_error

CLASSES = ("n01440764", "n01443537", "n01484850")
CLASS_IDS = np.array([449, 450, 12])  # not in the synsets' order
IDS = ["ILSVRC2012_val_00000001", "ILSVRC2012_val_00000002", "ILSVRC2012_val_00000003"]
HEADER = "ImageId,PredictionString\n"


@pytest.fixture
def guesses() -> Guesses:
    """Five, two and no guesses; float32 corners, some outside the image."""
    labels = np.array([[0, 1, 2, 0, 1], [2, 0, *[NO_GUESS] * 3], [NO_GUESS] * 5])
    boxes = np.random.default_rng(0).uniform(-3, 500, (3, 5, 4)).astype(np.float32)
    boxes[0, 0] = [0, 10, 64, 59]
    return Guesses(labels, np.where(labels[..., None] >= 0, boxes, 0))


def same(one: Guesses, other: Guesses) -> bool:
    boxes = other.boxes.astype(np.float32)
    return np.array_equal(one.labels, other.labels) and np.array_equal(one.boxes.astype(np.float32), boxes)


def refusal(call: object, *arguments: object) -> str:
    with pytest.raises(UserError) as caught:
        call(*arguments)  # type: ignore[operator]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_kaggles_csv_round_trips(tmp_path: Path, guesses: Guesses) -> None:
    path = tmp_path / "predictions.csv"
    write_kaggle(path, guesses, IDS, CLASSES)
    lines = path.read_text().splitlines()
    assert lines[0] == "ImageId,PredictionString"
    assert lines[1].startswith("ILSVRC2012_val_00000001,n01440764 0 10 63 58 n01443537 ")  # inclusive pixels
    assert lines[3] == "ILSVRC2012_val_00000003,"
    assert same(read_kaggle(path, IDS, CLASSES), guesses)
    assert same(read_predictions(path, IDS, CLASSES), guesses)


def test_ilsvrcs_submission_round_trips(tmp_path: Path, guesses: Guesses) -> None:
    path = tmp_path / "predictions.txt"
    write_ilsvrc(path, guesses, CLASS_IDS)
    rows = np.loadtxt(path)
    assert rows.shape == (3, 25)  # five groups in each line, as the kit reads it
    assert rows[0, :5].tolist() == [449, 0, 10, 63, 58]
    assert rows[1, [0, 5, 10, 15, 20]].tolist() == [12, 449, 0, 0, 0]
    assert same(read_ilsvrc(path, 3, CLASS_IDS), guesses)
    assert same(read_predictions(path, IDS, CLASSES, CLASS_IDS), guesses)
    assert "has ILSVRC's form" in refusal(read_predictions, path, IDS, CLASSES)


def test_lines_may_have_fewer_guesses(tmp_path: Path) -> None:
    path = tmp_path / "predictions.txt"
    path.write_text("450 1 2 3 4\n12 1 2 3 4 449 5 6 7.5 8\n\n")
    guesses = read_ilsvrc(path, 3, CLASS_IDS)
    assert guesses.labels.tolist() == [[1, *[NO_GUESS] * 4], [2, 0, *[NO_GUESS] * 3], [NO_GUESS] * 5]
    assert guesses.boxes[1, 1].tolist() == [5, 6, 8.5, 9]


def test_rows_may_have_any_order_trailing_blanks_and_quotes(tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    path.write_text(f'\ufeff{HEADER}{IDS[2]},\n{IDS[1]},"n01443537 1 2 3 4 "\n\n{IDS[0]},n01440764 0 0 9 9 \n')
    guesses = read_kaggle(path, IDS, CLASSES)
    assert guesses.labels[:, 0].tolist() == [0, 1, NO_GUESS]
    assert guesses.boxes[0, 0].tolist() == [0, 0, 10, 10]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "p.csv: the first line is not 'ImageId,PredictionString'"),
        ("id,guess\n", "p.csv: the first line is not 'ImageId,PredictionString'"),
        (f"{HEADER}a,n01440764 0 0 9 9\n", "p.csv:2: image 'a' is not in the list"),
        (f"{HEADER}{IDS[0]},\n{IDS[2]},\n", f"p.csv: has no row for image '{IDS[1]}'"),
        (f"{HEADER}{IDS[0]},\n{IDS[0]},\n", f"p.csv:3: image '{IDS[0]}' has two rows"),
        (f"{HEADER}{IDS[0]}\n", f"p.csv:2: '{IDS[0]}' is not 'ImageId,PredictionString'"),
        (f"{HEADER}{IDS[0]},n01440764 0 0 9\n", "p.csv:2: 4 words are not groups of 'class xmin ymin xmax ymax'"),
        (f"{HEADER}{IDS[0]},n01440764 0 0 9 nine\n", "p.csv:2: 'nine' is not a number"),
        (f"{HEADER}{IDS[0]},n01440764 0 0 9 nan\n", "p.csv:2: 'nan' is not a number"),
        (f"{HEADER}{IDS[0]},n00000000 0 0 9 9\n", "p.csv:2: class 'n00000000' is not one of the 3 known"),
        (f"{HEADER}{IDS[0]},{'n01440764 0 0 9 9 ' * 6}\n", "p.csv:2: 6 guesses, but only 5 are allowed"),
    ],
)
def test_an_error_in_a_csv_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "p.csv"
    path.write_text(text)
    assert message in refusal(read_kaggle, path, IDS, CLASSES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("449 0 0 9 9\n", "p.txt: 1 lines for 3 images"),
        ("\n449 0 0 9 9\n450 0 0 9\n", "p.txt:3: 4 words are not groups"),
        ("\n\n1 0 0 9 9\n", "p.txt:3: class '1' is not one of the 3 known"),
        ("\n449 0 x 9 9\n\n", "p.txt:2: 'x' is not a number"),
        (f"{'449 0 0 9 9 ' * 6}\n\n\n", "p.txt:1: 6 guesses, but only 5 are allowed"),
    ],
)
def test_an_error_in_a_submission_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "p.txt"
    path.write_text(text)
    assert message in refusal(read_ilsvrc, path, 3, CLASS_IDS)


def test_unreadable_and_unwritable_files_are_named(tmp_path: Path, guesses: Guesses) -> None:
    assert "no such file" in refusal(read_predictions, tmp_path / "none.csv", IDS, CLASSES)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    assert "not a UTF-8 text file" in refusal(read_ilsvrc, tmp_path / "binary", 3, CLASS_IDS)
    assert "cannot be written" in refusal(write_kaggle, tmp_path / "no" / "p.csv", guesses, IDS, CLASSES)
    assert "cannot be written" in refusal(write_ilsvrc, tmp_path / "no" / "p.txt", guesses, CLASS_IDS)


def test_a_solution_csv_is_the_ground_truth_for_a_file_of_predictions(tmp_path: Path) -> None:
    solution, predictions = tmp_path / "LOC_val_solution.csv", tmp_path / "p.csv"
    # A second object of another class, an inverted box; the rows are in no order.
    solution.write_text(
        f"{HEADER}{IDS[1]},n01443537 0 0 9 9 n01440764 50 50 59 59 n01443537 20 20 19 30 \n{IDS[0]},n01440764 5 5 5 9\n"
    )
    rows = read_solution(solution, CLASSES)
    truth = rows.truth()
    assert rows.ids == [IDS[1], IDS[0]]
    assert (truth.labels.tolist(), truth.image.tolist()) == ([1, 0], [0, 1])
    assert truth.boxes.tolist() == [[0, 0, 10, 10], [5, 5, 6, 10]]
    predictions.write_text(f"{HEADER}{IDS[0]},n01443537 5 5 5 9\n{IDS[1]},n01440764 50 50 59 59 n01443537 0 0 9 4\n")
    result = localization_error(read_predictions(predictions, rows.ids, CLASSES), truth)
    assert result.wrong.tolist() == [False, True]
    solution.write_text(f"{HEADER}{IDS[0]},\n")
    assert f"csv:2: image '{IDS[0]}' has no 'class xmin" in refusal(read_solution, solution, CLASSES)


def test_excluded_images_are_numbers_of_the_list_or_ids(tmp_path: Path) -> None:
    path = tmp_path / "blacklist.txt"
    path.write_text(f"3\n\n{IDS[0]}\n")
    assert read_excluded(path, IDS).tolist() == [True, False, True]
    path.write_text("")
    assert read_excluded(path, IDS).tolist() == [False, False, False]
    for line in ("4", "0", "-1", "1 2", "ILSVRC2012_val_00000004"):
        path.write_text(f"1\n{line}\n")
        assert f"blacklist.txt:2: '{line}' is neither a number from 1 to 3" in refusal(read_excluded, path, IDS)
    assert "no such file" in refusal(read_excluded, tmp_path / "none.txt", IDS)
