"""The ledger: results that commands record, and the page made of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from msgspec.structs import replace as replace_struct

from helpers.processes import SERVER
from resdet.errors import UserError
from resdet.ledger.measurement import Figure, Measurement, Origin, Row, read_ledger, read_measurement, write_measurement
from resdet.ledger.page import page_of
from resdet.ledger.recording import Result, record

ORIGIN = Origin("resdet eval-voc a.pth", "abc", "CPU (two cores)", "fp32", 1.5, {"torch": "2.14"}, seed=0)
RESULT = Result("fruit_r18", "config and options", {"mAP@.5": 75.0, "mAP@[.5:.95]": 44.71}, ORIGIN)


def of_seed(seed: int | None, *values: float, command: str = "resdet eval-voc b.pth") -> Result:
    figures = dict(zip(RESULT.figures, values, strict=True))
    return replace(RESULT, figures=figures, origin=replace_struct(ORIGIN, seed=seed, command=command))


def put(file: Path, *results: Result, images: str = "ids") -> None:
    record(file, results, images, "60 images")


CONTENTS = """
introduction = "What was measured."
[machines]
A = "two cores"
[[section]]
key = "recorded"
title = "Recorded"
[[section]]
key = "own"
title = "Own data"
text = "Photographs."
"""


def test_seeds_are_collected_in_one_row_and_measured_again_in_place(tmp_path: Path) -> None:
    file = tmp_path / "fruit.json"
    put(file, RESULT)
    put(file, of_seed(3, 81.0, 48.5))
    put(file, of_seed(0, 76.0, 44.9, command="resdet eval-voc a.pth"))
    found = read_measurement(file)
    assert [row.seeds for row in found.rows] == [[0, 3]]
    assert found.rows[0].figures["mAP@.5"] == Figure([76.0, 81.0])
    assert found.rows[0].figures["mAP@[.5:.95]"] == Figure([44.9, 48.5])
    assert found.commands == [origin.command for origin in found.rows[0].origins]
    assert [origin.seed for origin in found.rows[0].origins] == [0, 3]


@pytest.mark.parametrize(
    ("result", "images", "what"),
    [
        (of_seed(1, 75, 40), "other ids", "on other images"),
        (replace(RESULT, origin=replace_struct(ORIGIN, precision="bf16")), "ids", "of another precision"),
        (replace(RESULT, tested="flipped"), "ids", "of another config or of other options"),
        (replace(of_seed(1, 0, 0), figures={"AP": 30.0}), "ids", "has mAP@.5, mAP@.*, not AP"),
        (of_seed(None, 75, 40), "ids", "is of single trainings, this is not"),
    ],
)
def test_results_that_are_not_comparable_are_refused(tmp_path: Path, result: Result, images: str, what: str) -> None:
    file = tmp_path / "fruit.json"
    put(file, RESULT)
    before = file.read_bytes()
    with pytest.raises(UserError, match=rf"--record .*fruit\.json.*{what}.*give another file"):
        put(file, replace(RESULT, row="new"), result, images=images)  # the first of them could be recorded
    assert file.read_bytes() == before


def test_a_row_without_seeds_takes_no_seed_and_is_measured_again_in_place(tmp_path: Path) -> None:
    file = tmp_path / "ensemble.json"
    put(file, of_seed(None, 80, 50))
    put(file, of_seed(None, 81, 51))
    assert read_measurement(file).rows[0].figures["mAP@.5"] == Figure([81])
    with pytest.raises(UserError, match="is not of a single training, this is"):
        put(file, RESULT)


def test_what_was_written_by_hand_is_not_added_to(tmp_path: Path) -> None:
    file = tmp_path / "old.json"
    write_measurement(file, Measurement("Old", "own", [Row("fruit_r18", {"mAP@.5": Figure([70])})], "60", "test"))
    with pytest.raises(UserError, match="was written by hand"):
        put(file, RESULT, images="")


def test_a_file_may_be_edited_between_two_seeds(tmp_path: Path) -> None:
    file = tmp_path / "fruit.json"
    put(file, RESULT)
    edited = read_measurement(file)
    edited.title, edited.data, edited.choices, edited.machine = "Fruit", "photographs", "validation", "A"
    edited.rows[0].figures["mAP@.5"] = Figure([75.0], (70.0, 80.0), stated="75.0 ± 1")
    write_measurement(file, edited)
    put(file, of_seed(1, 70, 40))
    found = read_measurement(file)
    assert (found.title, found.data, found.choices, found.machine) == ("Fruit", "photographs", "validation", "A")
    assert found.rows[0].figures["mAP@.5"] == Figure([75.0, 70.0])  # interval and mean were of one value


def test_what_is_not_a_number_is_left_out_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "empty.json"
    put(file, of_seed(0, float("nan"), 3.0))
    assert read_measurement(file).rows[0].figures == {"mAP@[.5:.95]": Figure([3.0])}
    assert "mAP@.5 of fruit_r18 is not a number and is left out" in caplog.text
    put(file, replace(of_seed(0, float("nan"), float("inf")), row="nothing"))
    assert [row.name for row in read_measurement(file).rows] == ["fruit_r18"]


def _put_seed(file: Path, seed: int) -> None:
    put(file, of_seed(seed, seed, seed))


def test_processes_that_record_at_once_lose_no_seed(tmp_path: Path) -> None:
    file = tmp_path / "fruit.json"
    processes = [SERVER.Process(target=_put_seed, args=(file, seed)) for seed in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    (row,) = read_measurement(file).rows
    assert sorted(row.seeds) == list(range(8))
    assert row.figures["mAP@.5"] == Figure([float(seed) for seed in row.seeds])


def test_the_difference_of_two_systems_is_a_row_written_anew(tmp_path: Path) -> None:
    file = tmp_path / "fruit.json"
    rows = RESULT, replace(RESULT, row="torchvision")
    for mean in (1.0, -2.0):  # measured twice
        difference = Row("fruit_r18 - torchvision", {"mAP@.5": Figure([mean], (mean - 3, mean + 3))}, [0])
        record(file, rows, "ids", "60 images", [difference])
    found = read_measurement(file).rows
    assert [row.name for row in found] == ["fruit_r18", "torchvision", "fruit_r18 - torchvision"]
    assert found[2].figures == {"mAP@.5": Figure([-2.0], (-5.0, 1.0))}


def test_the_page_shows_means_spreads_intervals_and_where_figures_come_from(tmp_path: Path) -> None:
    (tmp_path / "ledger.toml").write_text(CONTENTS)
    rows = [
        Row("ours", {"mAP@.5": Figure([75.0, 80.8, 80.5]), "time": "36 min"}, [0, 1, 2], paper="76.4"),
        Row("ours - theirs", {"mAP@.5": Figure([-1.0, -1.2], (-3.7, 1.3))}, [0, 1]),
    ]
    measured = Measurement("Fruit", "own", rows, "60 images", "test", "A", ["resdet eval-voc F"], finding="It holds.")
    write_measurement(tmp_path / "fruit.json", measured)
    tried = Measurement("NMS .3", "own", rows[:1], "60 images", "test", "A", finding="4 points\nworse.", kept=False)
    write_measurement(tmp_path / "nms.json", tried)
    page = page_of(read_ledger(tmp_path))
    assert "| ours | 78.8 ± 3.3 | 36 min | 0, 1, 2 | 76.4 |" in page
    assert "| ours - theirs | -1.1 (-3.7 to +1.3) |  | 0, 1 |  |" in page
    assert "## Own data\n\nPhotographs.\n\n### Fruit\n\nIt holds." in page
    conditions = page.partition("*60 images;")[2].partition("*\n")[0]
    assert " ".join(conditions.split()) == (
        f"machine A; settings chosen on the test images (optimistic); `{tmp_path.name}/fruit.json`."
    )
    assert "\n\n```\nresdet eval-voc F\n```\n" in page
    assert "- **A**: two cores" in page
    assert f"| NMS .3 | 4 points worse. | `{tmp_path.name}/nms.json` |" in page
    assert "### NMS .3" not in page
    assert "Recorded" not in page  # a section without measurements and text


def test_the_order_of_a_section_and_brief_measurements(tmp_path: Path) -> None:
    (tmp_path / "ledger.toml").write_text(CONTENTS + 'first = ["main"]\n')
    row = Row("ours", {"mAP@.5": Figure([75.0])}, [0, 1, 2, 3])
    for name, brief in (("a", False), ("b", True), ("main", False)):
        finding = f"What {name} shows."
        one = Measurement(name, "own", [row], "60 images", "nothing", "A", ["make x"], finding=finding, brief=brief)
        write_measurement(tmp_path / f"{name}.json", one)
    page = page_of(read_ledger(tmp_path))
    assert page.index("### main") < page.index("### a") < page.index("Also measured:")
    assert f"- **b**: What b shows. (`{tmp_path.name}/b.json`)" in page
    assert page.count("| ours | 75 |") == page.count("; seeds 0 to 3; ") == page.count("make x") == 2
    (tmp_path / "main.json").unlink()
    with pytest.raises(UserError, match=r"ledger\.toml: section own has no measurement 'main'"):
        read_ledger(tmp_path)


def test_rounded_values_show_the_mean_that_was_measured(tmp_path: Path) -> None:
    """75.0, 80.8 and 80.5 are rounded: their mean is 78.77, that of the unrounded ones was 78.7."""
    (tmp_path / "ledger.toml").write_text(CONTENTS)
    file = tmp_path / "fruit.json"
    for seed, value in enumerate((75.0, 80.8, 80.5)):
        put(file, replace(of_seed(seed, 0, 0), figures={"mAP@.5": value}))
    measurement = read_measurement(file)
    measurement.rows[0].figures["mAP@.5"] = Figure([75.0, 80.8, 80.5], stated="78.7 ± 3.3")
    write_measurement(file, measurement)
    assert "| 78.7 ± 3.3 |" in page_of(read_ledger(tmp_path))
    put(file, replace(of_seed(2, 0, 0), figures={"mAP@.5": 81.5}))  # measured again
    assert "| 79.1 ± 3.6 |" in page_of(read_ledger(tmp_path))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[1]", "Expected `object`"),
        ('{"title": "a"}', "missing required field"),
        ("{", "truncated"),
        ('{"title": "a", "section": "s", "rows": [{"name": "x", "figures": {"e": {"values": []}}}], "data": "d", '
         '"choices": "nothing", "machine": "A"}', "at least one value"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_measurement_is_named(tmp_path: Path, content: str, problem: str) -> None:
    file = tmp_path / "bad.json"
    file.write_text(content)
    with pytest.raises(UserError, match=rf"bad\.json is not a measurement: .*{problem}"):
        put(file, RESULT)
    assert file.read_text() == content


def test_a_folder_that_is_no_ledger_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no measurement \(\*\.json\); give the folder of the files that --record"):
        read_ledger(tmp_path)
    (tmp_path / "ledger.toml").write_text(CONTENTS)
    put(tmp_path / "fruit.json", RESULT)
    file = tmp_path / "fruit.json"
    file.write_text(file.read_text().replace("recorded", "elsewhere"))
    with pytest.raises(UserError, match=r"fruit\.json: .*has no section 'elsewhere'"):
        read_ledger(tmp_path)


def test_recorded_files_alone_make_a_page(tmp_path: Path) -> None:
    put(tmp_path / "mine.json", replace(RESULT, row="we|ird\nname"))
    page = page_of(read_ledger(tmp_path))
    assert "## Recorded\n\n### mine\n" in page
    assert "| we\\|ird name | 75 | 44.71 |" in page


def test_a_row_whose_values_and_seeds_do_not_match_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "fruit.json"
    put(file, RESULT)
    edited = read_measurement(file)
    edited.rows[0].figures["mAP@.5"] = Figure([1.0, 2.0, 3.0])
    write_measurement(file, edited)
    with pytest.raises(UserError, match="has not one value for each seed"):
        put(file, of_seed(1, 70, 40))


def test_the_command_of_a_replaced_value_goes_with_it(tmp_path: Path) -> None:
    file = tmp_path / "fruit.json"
    put(file, RESULT)
    put(file, of_seed(0, 70, 40, command="resdet eval-voc again.pth"))
    assert read_measurement(file).commands == ["resdet eval-voc again.pth"]


def test_the_summary_and_what_is_of_earlier_code(tmp_path: Path) -> None:
    summary = '[[summary]]\nwhat = "fruit"\nresult = "75 mAP"\ncertainty = "one | seed"\nof = ["plain"]\n'
    (tmp_path / "ledger.toml").write_text(CONTENTS + summary)
    row = Row("ours", {"mAP@.5": Figure([75.0])}, [0])
    one = Measurement("Plain", "own", [row], "60 images", "nothing", "A", finding="It holds.", earlier="NMS was wrong")
    write_measurement(tmp_path / "plain.json", one)
    write_measurement(tmp_path / "brief.json", replace_struct(one, title="Brief", brief=True))
    write_measurement(tmp_path / "tried.json", replace_struct(one, title="Tried", kept=False))
    page = page_of(read_ledger(tmp_path))
    assert "| Tried | It holds. Measured with earlier code: NMS was wrong. |" in page
    assert f"| what | result | how sure | in {tmp_path.name}/ |" in page
    assert page.index("| fruit | 75 mAP | one \\| seed | `plain` |") < page.index("- **A**: two cores")
    assert "### Plain\n\nIt holds.\n\nMeasured with earlier code: NMS was wrong.\n\n| " in page
    assert "- **Brief**: It holds. *Measured with earlier code: NMS was wrong.*" in " ".join(page.split())
    (tmp_path / "plain.json").unlink()
    with pytest.raises(UserError, match=r"summary of 'fruit' names measurements that do not exist: \['plain'\]"):
        read_ledger(tmp_path)


def test_a_ledger_without_contents_is_told_so(tmp_path: Path) -> None:
    row = Row("ours", {"mAP@.5": Figure([75.0])}, [0])
    write_measurement(tmp_path / "fruit.json", Measurement("Fruit", "own", [row], "60 images", "nothing", "a CPU"))
    with pytest.raises(UserError, match=r"fruit\.json: .*ledger\.toml is missing"):
        read_ledger(tmp_path)
