"""The commands as people use them: from files to figures, and one line with exit code 2 for every mistake."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import resdet
from resdet.cli import benchmark, complexity, copy_configs, eval_voc, inspect_data, predict, train_cls, train_det
from resdet.data.detection.voc import VOC_CLASSES, read_comp4
from resdet.data.images import read_image
from resdet.engine.checkpoint import read_checkpoint, save_checkpoint
from resdet.engine.config import build, load_config
from resdet.engine.log import read_scalars
from tiny import DETECTOR, write_class_folders, write_classifier_config, write_voc

ROOT = Path(__file__).resolve().parents[1]
ON_CPU = ["--device", "cpu", "--precision", "fp32"]
Main = Callable[[list[str] | None], None]


def refused(main: Main, arguments: list[object], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command says on stderr when it refuses."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main([str(a) for a in arguments])
    assert caught.value.code == 2
    return capsys.readouterr().err


def one_line(main: Main, arguments: list[object], capsys: pytest.CaptureFixture[str]) -> str:
    error = refused(main, arguments, capsys)
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


# Files ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoint(det_config: Path) -> Path:
    """A detector with random weights."""
    torch.manual_seed(0)
    model = build(load_config(det_config).model)
    path = det_config.parent / "random.pth"
    save_checkpoint(path, {"model": model.state_dict(), "classes": ["apple", "pear"]})
    return path


# Training ------------------------------------------------------------------------------------------------------------


def test_train_cls_trains_prints_figures_and_resumes(
    tmp_path: Path, cls_config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work_dir, figures = tmp_path / "run", tmp_path / "out" / "figures.json"
    arguments = [str(cls_config), "--work-dir", str(work_dir), *ON_CPU]
    train_cls.main([*arguments, "--cfg-options", "schedule.steps=4", "--json", str(figures)])
    printed = capsys.readouterr().out
    written = json.loads(figures.read_text())
    assert f"test/top1_error {written['test/top1_error']:.2f}" in printed
    assert f"checkpoint {work_dir / 'last.pth'}" in printed
    state = read_checkpoint(work_dir / "last.pth")
    assert (state["step"], state["classes"], state["precise_bn"]) == (4, ["dark", "light"], 12)
    assert "steps=4" in state["config"]
    assert [r["step"] for r in read_scalars(work_dir / "scalars.json") if "loss" in r] == [2, 4]

    train_cls.main([*arguments, "--resume"])
    log = (work_dir / "run.log").read_text()
    assert re.search(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d .* resumed at step 4 of 6$", log, re.MULTILINE)
    state = read_checkpoint(work_dir / "last.pth")
    assert (state["step"], state["precise_bn"]) == (6, 12)  # the statistics are computed anew after more steps
    assert [r["step"] for r in read_scalars(work_dir / "scalars.json") if "loss" in r] == [2, 4, 6]


def test_train_cls_s_page_shows_errors_accuracies_and_mistakes(tmp_path: Path, cls_config: Path) -> None:
    untrained = ["--cfg-options", "schedule.steps=1", "optimizer.lr=0", "precise_bn.images=0"]
    train_cls.main([str(cls_config), "--work-dir", str(tmp_path / "run"), "--seed", "3", *ON_CPU, *untrained])
    page = (tmp_path / "run" / "page.html").read_text()
    figures = read_scalars(tmp_path / "run" / "scalars.json")[-1]
    assert f"{figures['test/top1_error']:.2f} %" in page
    accuracy = [
        float(v) for v in re.findall(r'<td class="number">([\d.]+)</td><td class="number objects">4</td>', page)
    ]
    assert 100 - sum(accuracy) / 2 == pytest.approx(figures["test/top1_error"])  # two classes of four images
    assert 0 < figures["test/top1_error"] < 100
    names = sorted(path.name for path in (tmp_path / "run" / "pictures").iterdir())
    assert names == ["most_certain_mistakes.jpg", "test_images.jpg"]


def test_train_cls_starts_from_another_run_s_weights(tmp_path: Path, cls_config: Path) -> None:
    once = [*ON_CPU, "--cfg-options", "schedule.steps=1", "precise_bn.images=0"]
    train_cls.main([str(cls_config), "--work-dir", str(tmp_path / "a"), *once])
    start = str(tmp_path / "a" / "last.pth")
    train_cls.main([str(cls_config), "--work-dir", str(tmp_path / "b"), "--init-from", start, *once, "optimizer.lr=0"])
    models = [read_checkpoint(tmp_path / n / "last.pth")["model"] for n in "ab"]
    weights = [n for n in models[0] if n.endswith(("conv.weight", "bn.bias"))]
    assert weights
    assert all(torch.equal(models[0][n], models[1][n]) for n in weights)


def test_train_det_trains_evaluates_and_its_comp4_files_score_the_same(
    tmp_path: Path, det_config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work_dir, comp4 = tmp_path / "run", tmp_path / "comp4"
    train_det.main([str(det_config), "--work-dir", str(work_dir), *ON_CPU, "--json", str(tmp_path / "train.json")])
    printed = capsys.readouterr().out
    assert "mAP@.5" in printed
    assert read_checkpoint(work_dir / "last.pth")["step"] == 4
    assert (work_dir / "page.html").is_file()
    records = [r for r in read_scalars(work_dir / "scalars.json") if "loss" in r]
    assert [r["step"] for r in records] == [1, 2, 3, 4]
    assert {"loss_rpn_objectness", "loss_rpn_box", "loss_class", "loss_box"} <= records[0].keys()

    last = str(work_dir / "last.pth")
    low = ["--cfg-options", "model.head.score_floor=0.0", "--write-detections", str(comp4)]
    eval_voc.main([str(det_config), "--checkpoint", last, *ON_CPU, *low, "--json", str(tmp_path / "a.json")])
    files = ["--detections", str(comp4), "--voc-root", str(det_config.parent / "devkit"), "--year", "tiny"]
    eval_voc.main([*files, "--image-set", "test", "--json", str(tmp_path / "b.json")])
    a, b = (json.loads((tmp_path / n).read_text()) for n in ("a.json", "b.json"))
    assert a == b
    assert (a["images"], list(a["per_class"])) == (2, ["apple", "pear"])
    assert a["detections"] > 0


def test_a_set_without_answers_is_detected_in_and_packed_for_the_server(
    tmp_path: Path, det_config: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As VOC 2012 test."""
    shutil.copytree(det_config.parent / "devkit", tmp_path / "devkit")
    shutil.rmtree(tmp_path / "devkit/VOCtiny/Annotations")
    options = [f"data.test.root={tmp_path / 'devkit'}", "data.test.annotated=False", "model.head.score_floor=0.0"]
    arguments = ["--write-submission", str(tmp_path / "results.tar.gz"), *ON_CPU, "--cfg-options", *options]
    eval_voc.main([str(det_config), "--checkpoint", str(checkpoint), *arguments])
    assert "nothing to score" in capsys.readouterr().out
    with tarfile.open(tmp_path / "results.tar.gz") as archive:
        names = sorted(name for name in archive.getnames() if name.endswith(".txt"))
        archive.extractall(tmp_path / "unpacked", filter="data")
    assert names == [f"results/VOCtiny/Main/comp4_det_test_{name}.txt" for name in ("apple", "pear")]
    found = read_comp4(tmp_path / "unpacked/results/VOCtiny/Main", "test", ("apple", "pear"), ["d", "e"])
    assert len(found) > 0


# Scoring -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def scored(tmp_path: Path) -> list[str]:
    """Two cats to find and a difficult one, a dog that nothing finds; five detections of cats."""
    write_voc(
        tmp_path,
        {
            "val": {
                "one": [("cat", 11, 11, 50, 50), ("dog", 60, 10, 90, 40)],
                "two": [("cat", 1, 1, 40, 40), ("cat", 61, 1, 100, 40, True)],
                "three": [],
            }
        },
    )
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "comp4_det_val_cat.txt").write_text(
        "two 0.95 61 1 100 40\n"  # the difficult one: neither hit nor miss
        "one 0.9 11 11 50 50\n"  # hit
        "three 0.8 1 1 30 30\n"  # miss
        "two 0.7 1 1 40 20\n"  # 800 of 1600 pixels, IoU exactly .5: hit
        "one 0.6 12 11 50 50\n"  # found already: miss
    )
    (folder / "comp4_det_val_dog.txt").write_text("")
    return ["--detections", str(folder), "--voc-root", str(tmp_path), "--year", "tiny", "--image-set", "val"]


@pytest.mark.parametrize(
    ("method", "cat"),
    [
        ("area", 1 / 2 * 1 + 1 / 2 * 2 / 3),  # precision 1 up to recall 1/2, then 2/3
        ("11-point", (6 * 1 + 5 * 2 / 3) / 11),  # six levels up to .5, five above
    ],
)
def test_eval_voc_prints_the_hand_worked_map(
    method: str, cat: float, scored: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    eval_voc.main([*scored, "--method", method, "--json", str(tmp_path / "figures.json")])
    assert f"mAP@.5 {cat / 2:.4f} ({method})" in capsys.readouterr().out
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["mAP50"] == pytest.approx(cat / 2)
    assert figures["per_class"] == {"cat": pytest.approx(cat), "dog": 0}
    assert (figures["images"], figures["detections"]) == (3, 5)


def test_eval_voc_takes_area_by_default_and_vocs_classes_for_a_year(
    scored: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    eval_voc.main(scored)
    assert "mAP@.5 0.4167 (area)" in capsys.readouterr().out
    write_voc(tmp_path, {"val": {"one": [("cat", 11, 11, 50, 50)]}}, year="2012")
    folder = tmp_path / "of2012"
    folder.mkdir()
    for name in VOC_CLASSES:
        hit = "one 0.5 11 11 50 50\n" if name == "cat" else ""
        (folder / f"comp4_det_val_{name}.txt").write_text(hit)
    eval_voc.main(
        ["--detections", str(folder), "--voc-root", str(tmp_path), "--year", "2012", "--image-set", "val"]
    )  # nineteen classes have nothing to find and are left out of the mean
    assert "mAP@.5 1.0000" in capsys.readouterr().out


def test_eval_voc_says_what_lacks(
    scored: list[str], tmp_path: Path, det_config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--detections needs --voc-root" in one_line(eval_voc.main, scored[:2], capsys)
    assert "--image-set" in one_line(eval_voc.main, scored[:-2], capsys)
    assert "comp4_det_val_bird.txt" in one_line(eval_voc.main, [*scored, "--classes", "cat", "dog", "bird"], capsys)
    assert "which weights?" in one_line(eval_voc.main, [det_config], capsys)
    missing = one_line(eval_voc.main, [det_config, "--checkpoint", tmp_path / "none.pth"], capsys)
    assert "none.pth: no such checkpoint" in missing


def test_copied_configs_are_whole_and_nothing_is_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    copy_configs.main([str(folder)])
    assert load_config(folder / "voc07_r101.py").model.net.depth == 101  # which inherits from its neighbours
    assert "is there already" in one_line(copy_configs.main, [str(folder)], capsys)


def test_eval_voc_without_a_run_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "make demo" in one_line(eval_voc.main, [], capsys)


# Mistakes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("main", [train_cls.main, train_det.main, inspect_data.main, benchmark.main])
def test_an_unknown_config_is_one_line(main: Main, capsys: pytest.CaptureFixture[str]) -> None:
    error = one_line(main, ["voc08_r50"], capsys)
    assert "no config 'voc08_r50'" in error
    assert "voc07_r50" in error


def test_tools_end_with_code_2_and_without_a_traceback(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "tools" / "train_cls.py"), "nothing_of_this_name"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: no config 'nothing_of_this_name'")
    assert done.stderr.count("\n") == 1


def test_an_unknown_flag_ends_with_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    for main in (train_cls.main, train_det.main, eval_voc.main):
        error = refused(main, ["shapes_cls", "--wrok-dir", "x"], capsys)
        assert error.strip().endswith("unrecognized arguments: --wrok-dir x")


def test_an_unknown_option_is_one_line(cls_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [cls_config, "--work-dir", tmp_path / "run", "--cfg-options", "schedule.stepz=3"]
    assert "--cfg-options schedule.stepz: 'stepz' is not in" in one_line(train_cls.main, arguments, capsys)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("option", ["--resume", "--init-from"])
def test_an_unreadable_checkpoint_is_one_line(
    option: str, cls_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.pth").write_text("hello world")
    arguments = [cls_config, "--work-dir", tmp_path / "run", *ON_CPU, option, tmp_path / "bad.pth"]
    assert "bad.pth" in one_line(train_cls.main, arguments, capsys)
    arguments[-1] = tmp_path / "none.pth"
    assert "none.pth" in one_line(train_cls.main, arguments, capsys)


def test_predict_names_an_unreadable_checkpoint_and_the_wrong_config(
    det_config: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.pth").write_bytes(checkpoint.read_bytes()[:5000])
    assert "bad.pth" in one_line(predict.main, [det_config, tmp_path / "bad.pth", tmp_path], capsys)
    error = one_line(predict.main, ["shapes_det", checkpoint, tmp_path], capsys)
    assert "has 2 classes" in error
    assert "has 8" in error


def test_fp16_on_a_cpu_is_one_line(cls_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [cls_config, "--work-dir", tmp_path / "run", "--device", "cpu", "--precision", "fp16"]
    assert "--precision fp16 needs a GPU" in one_line(train_cls.main, arguments, capsys)


def test_a_head_with_other_classes_than_the_data_is_one_line(
    det_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [det_config, "--work-dir", tmp_path / "run", *ON_CPU, "--cfg-options", "model.num_classes=3"]
    assert "set model.num_classes=2" in one_line(train_det.main, arguments, capsys)


# Looking at data -----------------------------------------------------------------------------------------------------


def test_inspect_data_names_every_problem_in_one_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = [("apple", 10, 10, 40, 50)]
    folder = write_voc(
        tmp_path / "devkit",
        {
            "trainval": {
                "fine": good,
                "noimage": good,
                "unknown": [("plum", 1, 1, 5, 5)],
                "outside": [*good, ("pear", 90, 70, 130, 80)],
                "reversed": [("pear", 50, 20, 40, 60)],
                "twice": good,
            },
            "test": {"last": good},
        },
    )
    (folder / "JPEGImages" / "noimage.jpg").unlink()
    (folder / "JPEGImages" / "fine.jpg").write_bytes(b"no picture")
    with (folder / "ImageSets/Main/trainval.txt").open("a") as file:
        file.write("twice\n")
    config = tmp_path / "broken.py"
    config.write_text(DETECTOR.format(root=str(tmp_path / "devkit")))
    with pytest.raises(SystemExit) as caught:
        inspect_data.main([str(config), "--out", str(tmp_path / "pictures")])
    assert caught.value.code == 2
    lines = capsys.readouterr().out.splitlines()

    def found(*words: str) -> int:
        return sum(all(w in line for w in words) for line in lines)

    assert found("train: refused", "noimage.jpg", "no such image")
    assert found("train: refused", "fine.jpg", "not an image")
    assert found("train: refused", "unknown.xml", "'plum'")
    assert found("train: repaired", "outside.xml, object 2", "90 70 130 80", "clipped")
    assert found("train: repaired", "reversed.xml, object 1", "50 20 40 60", "dropped")
    assert found("train: refused", "twice.xml", "keep one")
    assert found("4 problems to mend, 2 repaired")
    assert (tmp_path / "pictures" / "test.jpg").is_file()


def test_inspect_data_names_all_of_a_classifiers_bad_images_and_counts_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = write_class_folders(tmp_path / "folders")
    config = write_classifier_config(tmp_path / "cls.py", folders)
    inspect_data.main([str(config), "--out", str(tmp_path / "sound")])
    printed = capsys.readouterr().out
    assert "0 problems to mend" in printed
    assert "8 images of 2 classes; images a class 4..4, median 4" in printed
    assert (tmp_path / "sound" / "train.jpg").is_file()

    bad = [folders / "val" / "dark" / "1.png", folders / "val" / "light" / "2.png"]
    bad[0].write_bytes(bad[0].read_bytes()[:30])
    bad[1].write_text("not an image")
    (folders / "train" / "dark").rename(folders / "train" / "dusk")
    with pytest.raises(SystemExit):
        inspect_data.main([str(config), "--out", str(tmp_path / "bad")])
    said = capsys.readouterr()
    assert all(f"test: refused: {path}" in said.out for path in bad)
    assert "train and test: refused: data.train and data.test have different classes: 'dusk' and 'dark'" in said.out
    assert "3 problems to mend" in said.out


def test_inspect_data_describes_a_sound_set(
    det_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inspect_data.main([str(det_config), "--out", str(tmp_path)])
    printed = capsys.readouterr().out
    assert "0 problems to mend, 0 repaired" in printed
    assert "images without objects 1; objects an image 1.0, most 2" in printed
    assert "width 100..100, height 80..80, portraits 0 %" in printed
    assert all(read_image(tmp_path / f"{name}.jpg").size for name in ("train", "test"))


# Predicting ----------------------------------------------------------------------------------------------------------


def predictions(out: Path) -> list[dict]:
    written = json.loads((out / "detections.json").read_text())
    assert written["classes"] == ["apple", "pear"]
    for record in written["images"]:
        assert len(record["boxes"]) == len(record["scores"]) == len(record["labels"])
        assert set(record["labels"]) <= {0, 1}
        assert record["scores"] == sorted(record["scores"], reverse=True)
    return written["images"]


def test_predict_on_an_image(det_config: Path, checkpoint: Path, photos: Path, tmp_path: Path) -> None:
    arguments = [str(det_config), str(checkpoint), str(photos / "wide.png"), "--out", str(tmp_path / "out"), *ON_CPU]
    predict.main([*arguments, "--threshold", "0.05"])
    (record,) = predictions(tmp_path / "out")
    assert (record["file"], record["size"]) == (str(photos / "wide.png"), [60, 90])
    assert record["boxes"]
    boxes = np.array(record["boxes"])
    assert boxes.min() >= 0
    assert (boxes <= [90, 60, 90, 60]).all()
    assert read_image(tmp_path / "out" / "wide.png").size
    predict.main([*arguments, "--threshold", "1.01"])
    assert predictions(tmp_path / "out")[0]["boxes"] == []


def test_predict_never_overwrites_its_source(
    det_config: Path, checkpoint: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(det_config), str(checkpoint), str(photos), "--out", str(photos), *ON_CPU]
    assert "would overwrite" in one_line(predict.main, arguments, capsys)


def test_predict_on_a_folder(
    det_config: Path, checkpoint: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict.main([str(det_config), str(checkpoint), str(photos), "--out", str(tmp_path / "out"), *ON_CPU])
    records = predictions(tmp_path / "out")
    assert [Path(r["file"]).name for r in records] == ["tall.jpg", "wide.png"]
    assert (tmp_path / "out" / "wide.png").is_file()
    assert (tmp_path / "out" / "deep" / "tall.jpg").is_file()
    assert "2 pictures in" in capsys.readouterr().out


def test_predict_on_a_video(det_config: Path, checkpoint: Path, tmp_path: Path) -> None:
    source = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(source), cv2.VideoWriter.fourcc(*"mp4v"), 5.0, (96, 64))
    random = np.random.default_rng(2)
    for _ in range(4):
        writer.write(random.integers(0, 256, (64, 96, 3)).astype(np.uint8))
    writer.release()
    arguments = [str(det_config), str(checkpoint), str(source), "--out", str(tmp_path / "out"), *ON_CPU]
    predict.main([*arguments, "--threshold", "0.05"])
    records = predictions(tmp_path / "out")
    assert [r["frame"] for r in records] == [0, 1, 2, 3]
    assert [r["second"] for r in records] == pytest.approx([0, 0.2, 0.4, 0.6])
    drawn = cv2.VideoCapture(str(tmp_path / "out" / "clip.mp4"))
    assert (drawn.get(cv2.CAP_PROP_FRAME_COUNT), drawn.get(cv2.CAP_PROP_FPS)) == (4, 5)
    drawn.release()


def test_predict_says_when_there_is_nothing_to_look_at(
    det_config: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    out = ["--out", tmp_path / "out", *ON_CPU]
    for source in (tmp_path / "empty", tmp_path / "missing"):
        assert "no image or video" in one_line(predict.main, [det_config, checkpoint, source, *out], capsys)
    (tmp_path / "clip.mp4").write_bytes(b"no video")
    error = one_line(predict.main, [det_config, checkpoint, tmp_path / "clip.mp4", *out], capsys)
    assert "clip.mp4: OpenCV cannot open this video" in error


def test_a_detector_in_three_lines(det_config: Path, checkpoint: Path, photos: Path) -> None:
    detector = resdet.load_detector(det_config, checkpoint, device="cpu", precision="fp32")
    detections = detector(photos / "wide.png")
    assert detections.boxes.shape == (len(detections), 4)
    assert len(detections) > 0
    assert {detector.classes[k] for k in detections.labels} <= {"apple", "pear"}
    assert (detections.scores.diff() <= 0).all()

    pixels = read_image(photos / "wide.png")
    for same in (pixels, torch.from_numpy(pixels), str(photos / "wide.png")):
        assert torch.equal(detector(same).boxes, detections.boxes)
    together = detector.detect([photos / "deep" / "tall.jpg", pixels])  # one is padded beside the other
    torch.testing.assert_close(together[1].boxes, detections.boxes, rtol=1e-3, atol=1e-2)
    with pytest.raises(resdet.errors.UserError, match=r"expected uint8 \[H, W, 3\]"):
        detector(pixels.astype(np.float32))


# The nets ------------------------------------------------------------------------------------------------------------


def test_complexity_prints_table_1(capsys: pytest.CaptureFixture[str]) -> None:
    complexity.main([])
    lines = capsys.readouterr().out.splitlines()
    cells = [line.split() for line in lines]
    assert ["conv4_x", "14x14", *["3x3,", "256", "3x3,", "256", "1x1,", "256", "1x1,", "256", "1x1,", "256"]] in cells
    assert ["x", "2", "x", "6", *["1x1,", "1024"] * 3] in cells
    assert ["MACs", *["1.8", "G", "3.7", "G", "3.9", "G", "7.6", "G", "11.3", "G"]] in cells
    assert ["VGG-19", "143,667,240", "19,632", "19.6", "G", "(Fig.", "3)"] in cells
