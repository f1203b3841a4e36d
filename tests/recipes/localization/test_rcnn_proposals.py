"""The R-CNN stage's proposals on disk: contents, resuming after a kill, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.coloured_localizer import DENSE, ColourRPN, Counted, crops_of, make_cache, make_rpn
from helpers.coloured_photos import TRAIN, write_photos
from resdet.data.localization.crops import CenterCropWithBoxes
from resdet.data.localization.dataset import LocalizationDataset
from resdet.engine.run import Run
from resdet.errors import UserError
from resdet.localization.ensemble import unite
from resdet.localization.inference import class_proposals
from resdet.recipes.localization.rcnn_proposals import CacheSettings, ProposalSpec, cache_proposals


@pytest.mark.parametrize("models", [1, 2])
def test_the_cache_has_the_proposals_of_the_true_class(models: int, coloured: Path, run: Run) -> None:
    train, rpns = LocalizationDataset(coloured, "train"), [make_rpn(seed) for seed in range(models)]
    cache = cache_proposals(rpns, train, ProposalSpec(DENSE, mirrored=True, count=20), run.work_dir, run)
    assert (cache.boxes.shape, cache.boxes.dtype) == ((TRAIN, 20, 4), torch.float32)
    assert (cache.scores.shape, cache.valid.shape, cache.valid.dtype) == ((TRAIN, 20), (TRAIN, 20), torch.bool)
    for i in range(TRAIN):
        item = train[i]
        crops, labels = crops_of(item, mirrored=True), torch.tensor([[item.label]])
        found = [class_proposals(model, crops, labels, 20) for model in rpns]
        expected = unite(found, 20) if models > 1 else found[0]
        torch.testing.assert_close(cache.boxes[i], expected.boxes[0, 0], atol=1e-3, rtol=0)
        torch.testing.assert_close(cache.scores[i], expected.scores[0, 0], atol=1e-5, rtol=0)
        assert torch.equal(cache.valid[i], expected.valid[0, 0])
        assert cache.sizes[i].tolist() == list(item.size)
    assert sorted(path.name for path in run.work_dir.iterdir()) == [
        "boxes.npy", "manifest.json", "scores.npy", "sizes.npy", "valid.npy",
    ]  # fmt: skip


def test_a_killed_run_continues_with_the_missing_parts(coloured: Path, run: Run) -> None:
    _, whole = make_cache(coloured, run, "whole")
    folder, lost = run.work_dir / "proposals", coloured / Counted(coloured, "train").image_id(7)
    pixels = lost.read_bytes()
    lost.write_bytes(pixels[: len(pixels) // 2])
    with pytest.raises(UserError, match=lost.name):
        make_cache(coloured, run, part=3, batch_size=2)
    lost.write_bytes(pixels)
    assert sorted(path.name for path in folder.glob("*.npz")) == ["part-00000.npz", "part-00001.npz"]
    second = folder / "part-00001.npz"
    second.write_bytes(second.read_bytes()[:-100])  # cut short: made again
    (folder / "scores.npy").mkdir()  # not a file that can be replaced: the run dies when all parts are there
    with pytest.raises(UserError, match=r"scores.npy cannot be written: .*; finished parts are kept"):
        make_cache(coloured, run, part=3, batch_size=2)
    (folder / "scores.npy").rmdir()
    again, found = make_cache(coloured, run, part=3, batch_size=2)
    assert again.decoded == []
    for name in ("boxes", "scores", "valid", "sizes"):
        torch.testing.assert_close(getattr(found, name), getattr(whole, name))
    assert not list(folder.glob("*.npz"))
    assert make_cache(coloured, run, part=3)[0].decoded == []


def test_only_missing_parts_are_computed(coloured: Path, run: Run) -> None:
    lost = coloured / Counted(coloured, "train").image_id(7)
    pixels = lost.read_bytes()
    lost.write_bytes(pixels[: len(pixels) // 2])
    with pytest.raises(UserError):
        make_cache(coloured, run, part=3, batch_size=2)
    lost.write_bytes(pixels)
    second = run.work_dir / "proposals/part-00001.npz"
    damaged = bytearray(second.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    second.write_bytes(damaged)
    assert make_cache(coloured, run, part=3, batch_size=2)[0].decoded == [3, 4, 5, 6, 7, 8, 9]
    # An array that is cut short later is no cache.
    array = run.work_dir / "proposals/boxes.npy"
    array.write_bytes(array.read_bytes()[:-1])
    assert make_cache(coloured, run, part=3)[0].decoded == list(range(TRAIN))


def test_a_cache_of_other_settings_is_refused(coloured: Path, run: Run, tmp_path: Path) -> None:
    make_cache(coloured, run)
    train, folder = LocalizationDataset(coloured, "train"), run.work_dir / "proposals"

    def refusal(models: Any = None, dataset: Any = train, part: int = 1000, **spec: Any) -> str:
        options = {"crops": DENSE, "nms_iou": None, "count": 30} | spec
        with pytest.raises(UserError) as caught:
            cache_proposals(
                models or [ColourRPN()], dataset, ProposalSpec(**options), folder, run, CacheSettings(part=part)
            )
        message = str(caught.value)
        assert str(folder) in message
        assert message.endswith("delete it or give another folder")
        assert "\n" not in message
        return message

    assert "of another checkpoint" in refusal([ColourRPN(seed=1)])
    assert "of another checkpoint" in refusal([ColourRPN(), ColourRPN()])
    assert "of another setting (part 1000, here 7)" in refusal(part=7)
    assert "of another data set (images 10, here 5)" in refusal(dataset=LocalizationDataset(coloured, "val"))
    assert "of another setting (count 30, here 40)" in refusal(count=40)
    assert "of another setting (crops" in refusal(crops=[CenterCropWithBoxes(64)])
    assert "of another setting (mirrored False, here True)" in refusal(mirrored=True)
    assert "of another setting (decode_to" in refusal(dataset=LocalizationDataset(coloured, "train", decode_to=50))
    other = write_photos(tmp_path / "other")
    listing = other / "ILSVRC/ImageSets/CLS-LOC/train_cls.txt"
    listing.write_text("".join(reversed(listing.read_text().splitlines(keepends=True))))
    assert "of another data set (list" in refusal(dataset=LocalizationDataset(other, "train"))
    manifest = folder / "manifest.json"
    text = manifest.read_text()
    manifest.write_text(text[:50])
    assert "cannot be read" in refusal_of(folder, train, run)
    manifest.unlink()
    assert "no manifest.json" in refusal_of(folder, train, run)
    manifest.write_text(text)
    assert make_cache(coloured, run)[0].decoded == []


def refusal_of(folder: Path, train: LocalizationDataset, run: Run) -> str:
    with pytest.raises(UserError, match="or give another folder") as caught:
        cache_proposals([ColourRPN()], train, ProposalSpec(DENSE), folder, run)
    return str(caught.value)
