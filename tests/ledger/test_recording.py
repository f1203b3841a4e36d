"""The ledger: results that commands record, and the page made of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from resdet.errors import UserError
from resdet.ledger.measurement import Figure, Measurement, Row, read_ledger, read_measurement, write_measurement
from resdet.ledger.page import page_of
from resdet.ledger.recording import Result, record, record_difference

RESULT = Result(
    row="fruit_r18", figures={"mAP@.5": 75.0, "mAP@[.5:.95]": 44.71}, seed=0, command="resdet eval-voc a.pth",
    config="model = 1", data="60 images", machine="CPU (two cores)", precision="fp32", seconds=90,
)  # fmt: skip
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
    record(file, RESULT)
    record(
        file, replace(RESULT, seed=3, figures={"mAP@.5": 81.0, "mAP@[.5:.95]": 48.5}, command="resdet eval-voc b.pth")
    )
    record(file, replace(RESULT, figures={"mAP@.5": 76.0, "mAP@[.5:.95]": 44.9}))
    found = read_measurement(file)
    assert [row.seeds for row in found.rows] == [[0, 3]]
    assert found.rows[0].figures["mAP@.5"] == Figure([76.0, 81.0])
    assert found.rows[0].figures["mAP@[.5:.95]"] == Figure([44.9, 48.5])
    assert found.commands == ["resdet eval-voc a.pth", "resdet eval-voc b.pth"]
    assert found.machine == "CPU (two cores)"
    assert found.time == "1.5 min of processor time"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"data": "61 images"}, "another data"),
        ({"precision": "bf16"}, "another precision"),
        ({"config": "model = 2"}, "another config"),
        ({"seed": 1, "figures": {"AP": 30.0}}, "has mAP@.5, mAP@.*, not AP"),
    ],
)
def test_results_that_are_not_comparable_are_refused(tmp_path: Path, change: dict[str, object], what: str) -> None:
    file = tmp_path / "fruit.json"
    record(file, RESULT)
    before = file.read_bytes()
    with pytest.raises(UserError, match=rf"--record .*fruit\.json.*{what}.*give another file"):
        record(file, replace(RESULT, **change))  # type: ignore[arg-type]
    assert file.read_bytes() == before


def test_another_system_is_another_row_and_the_difference_a_third(tmp_path: Path) -> None:
    file = tmp_path / "fruit.json"
    record(file, RESULT)
    record(file, replace(RESULT, row="torchvision", config="model = 2"))
    for mean in (1.0, -2.0):  # measured twice
        record_difference(file, "fruit_r18 - torchvision", "mAP@.5", Figure([mean], (mean - 3, mean + 3)), [0])
    rows = read_measurement(file).rows
    assert [row.name for row in rows] == ["fruit_r18", "torchvision", "fruit_r18 - torchvision"]
    assert rows[2].figures == {"mAP@.5": Figure([-2.0], (-5.0, 1.0))}


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
        "machine A; settings chosen on the test images (optimistic); `results/fruit.json`."
    )
    assert "\n\n```\nresdet eval-voc F\n```\n" in page
    assert "- **A**: two cores" in page
    assert "| NMS .3 | 4 points worse. | `results/nms.json` |" in page
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
    assert "- **b**: What b shows. (`results/b.json`)" in page
    assert page.count("| ours | 75 |") == page.count("; seeds 0 to 3; ") == page.count("make x") == 2
    (tmp_path / "main.json").unlink()
    with pytest.raises(UserError, match=r"ledger\.toml: section own has no measurement 'main'"):
        read_ledger(tmp_path)


def test_rounded_values_show_the_mean_that_was_measured(tmp_path: Path) -> None:
    """75.0, 80.8 and 80.5 are rounded: their mean is 78.77, that of the unrounded ones was 78.7."""
    (tmp_path / "ledger.toml").write_text(CONTENTS)
    file = tmp_path / "fruit.json"
    record(file, replace(RESULT, figures={"mAP@.5": 75.0}))
    measurement = read_measurement(file)
    measurement.rows[0].figures["mAP@.5"] = Figure([75.0, 80.8, 80.5], stated="78.7 ± 3.3")
    measurement.rows[0].seeds = [0, 1, 2]
    write_measurement(file, measurement)
    assert "| 78.7 ± 3.3 |" in page_of(read_ledger(tmp_path))
    record(file, replace(RESULT, seed=2, figures={"mAP@.5": 81.5}))  # measured again
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
        record(file, RESULT)
    assert file.read_text() == content


def test_a_folder_that_is_no_ledger_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ledger\.toml cannot be read: .* give the folder of a ledger"):
        read_ledger(tmp_path)
    (tmp_path / "ledger.toml").write_text(CONTENTS)
    record(tmp_path / "fruit.json", RESULT)
    file = tmp_path / "fruit.json"
    file.write_text(file.read_text().replace("recorded", "elsewhere"))
    with pytest.raises(UserError, match=r"fruit\.json: .*has no section 'elsewhere'"):
        read_ledger(tmp_path)
