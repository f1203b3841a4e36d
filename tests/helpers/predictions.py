"""Reads what resdet predict has written."""

from __future__ import annotations

import json
from pathlib import Path


def predictions(out: Path) -> list[dict]:
    """The records of detections.json, of apples and pears, by descending score."""
    written = json.loads((out / "detections.json").read_text())
    assert written["classes"] == ["apple", "pear"]
    for record in written["images"]:
        assert len(record["boxes"]) == len(record["scores"]) == len(record["labels"])
        assert set(record["labels"]) <= {0, 1}
        assert record["scores"] == sorted(record["scores"], reverse=True)
    return written["images"]
