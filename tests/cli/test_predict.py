"""resdet predict and `Detector` on images, folders and videos."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import signal
import subprocess
import sys
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

import resdet
from helpers.commands import ON_CPU, error_line, error_of, predict
from helpers.file_server import FileServer, serve
from helpers.processes import free_port, run_processes
from resdet.data.detection.annotations import DetectionDataset
from resdet.data.detection.coco import COCODataset
from resdet.data.detection.voc import VOCDataset
from resdet.data.detection.yolo import YOLODataset
from resdet.data.images import read_image
from resdet.engine.checkpoint import save_checkpoint
from resdet.engine.run_folder import hold


def predictions(out: Path) -> list[dict]:
    written = json.loads((out / "detections.json").read_text())
    assert written["classes"] == ["apple", "pear"]
    for record in written["images"]:
        assert len(record["boxes"]) == len(record["scores"]) == len(record["labels"])
        assert set(record["labels"]) <= {0, 1}
        assert record["scores"] == sorted(record["scores"], reverse=True)
    return written["images"]


def test_predict_draws_and_writes_the_detections_of_an_image(
    det_config: Path, checkpoint: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(det_config), str(checkpoint), str(photos / "wide.png"), "--out", str(tmp_path / "out"), *ON_CPU]
    predict([*arguments, "--threshold", "0.05"])
    (record,) = predictions(tmp_path / "out")
    assert (record["file"], record["size"]) == (str(photos / "wide.png"), [60, 90])
    assert record["boxes"]
    boxes = np.array(record["boxes"])
    assert boxes.min() >= 0
    assert (boxes <= [90, 60, 90, 60]).all()
    assert read_image(tmp_path / "out" / "wide.png").size
    best, drawn = record["scores"][0], (tmp_path / "out" / "wide.png").read_bytes()
    capsys.readouterr()
    predict([*arguments, "--threshold", "1", "--overwrite"])
    assert predictions(tmp_path / "out")[0]["boxes"] == []
    assert predictions(tmp_path / "out")[0]["best_score"] == best
    assert f"nothing with a score of 1 or more in 1 of them; the best has {best:.2f}" in capsys.readouterr().out
    assert (tmp_path / "out" / "wide.png").read_bytes() != drawn


def test_predict_never_overwrites_its_source(
    det_config: Path, checkpoint: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(det_config), str(checkpoint), str(photos), "--out", str(photos), *ON_CPU]
    assert "would overwrite" in error_line(predict, arguments, capsys)


def test_a_runs_folder_in_the_place_of_its_checkpoint_is_told(
    checkpoint: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    shutil.copy(checkpoint, tmp_path / "run/last.pth")
    error = error_line(predict, [tmp_path / "run", photos, *ON_CPU], capsys)
    assert f"give its checkpoint, {tmp_path / 'run' / 'last.pth'}" in error


def test_predict_takes_a_folder(
    det_config: Path, checkpoint: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict([str(det_config), str(checkpoint), str(photos), "--out", str(tmp_path / "out"), *ON_CPU])
    records = predictions(tmp_path / "out")
    assert [Path(r["file"]).name for r in records] == ["tall.jpg", "wide.png"]
    assert (tmp_path / "out" / "wide.png").is_file()
    assert (tmp_path / "out" / "deep" / "tall.jpg").is_file()
    assert "2 pictures in" in capsys.readouterr().out


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of four frames of noise, 5 per second."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 5.0, (96, 64))
    random = np.random.default_rng(2)
    for _ in range(4):
        writer.write(random.integers(0, 256, (64, 96, 3)).astype(np.uint8))
    writer.release()
    return path


def test_predict_draws_a_video_that_browsers_play(
    det_config: Path, checkpoint: Path, clip: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = [str(det_config), str(checkpoint), str(clip), "--out", str(out), *ON_CPU]
    for _ in range(2):  # a second time it is made anew
        predict([*arguments, "--threshold", "0.05"])
        records = predictions(out)
        assert [r["frame"] for r in records] == [0, 1, 2, 3]
        assert [r["second"] for r in records] == pytest.approx([0, 0.2, 0.4, 0.6])
        assert [json.loads(line) for line in (out / "detections.jsonl").read_text().splitlines()] == records
    with av.open(str(out / "clip.mp4")) as drawn:
        (stream,) = drawn.streams
        assert (stream.codec_context.name, stream.codec_context.pix_fmt, stream.average_rate) == ("h264", "yuv420p", 5)
        frames = list(drawn.decode(stream))
    assert [frame.time for frame in frames] == pytest.approx([0, 0.2, 0.4, 0.6])
    assert f"4 frames in {out / 'clip.mp4'}, detections in" in capsys.readouterr().out
    error = error_line(predict, [*arguments, "--save-annotations", "voc"], capsys)
    assert "--save-annotations is for images" in error
    predict([str(det_config), str(checkpoint), str(photos), "--out", str(tmp_path / "images"), *ON_CPU])
    error = error_line(predict, [det_config, checkpoint, clip, "--out", tmp_path / "images", *ON_CPU], capsys)
    assert "holds detections of images" in error
    (tmp_path / "images" / "detections.jsonl").rename(tmp_path / "images" / "detections.part1.jsonl")  # of torchrun
    error = error_line(predict, [det_config, checkpoint, clip, "--out", tmp_path / "images", *ON_CPU], capsys)
    assert "holds detections of images" in error
    assert (tmp_path / "images" / "detections.part1.jsonl").is_file()


def test_predict_follows_a_stream(
    det_config: Path, checkpoint: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address, out = "/live/clip.mp4?token=1", tmp_path / "out"
    with serve(FileServer({address: clip.read_bytes()}, content_type="video/mp4")) as server:
        predict([str(det_config), str(checkpoint), f"{server.url}{address}", "--out", str(out), *ON_CPU])
        assert len(predictions(out)) == 4
        assert (out / "clip.mp4").is_file()
        start = [det_config, checkpoint]
        error = error_line(predict, [*start, f"{server.url}/none.mp4", *ON_CPU], capsys)
        assert "does the address play in another program" in error
        assert "download it" in error_line(predict, [*start, f"{server.url}/a.jpg", *ON_CPU], capsys)
    assert "is a webcam of this number there" in error_line(predict, [*start, "97", *ON_CPU], capsys)


def test_ctrl_c_ends_a_live_stream_with_whole_files(det_config: Path, checkpoint: Path, tmp_path: Path) -> None:
    """UDP has no end: the stream is followed until a signal, and what does not fit in time is left out."""
    out, url = tmp_path / "out", f"udp://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "resdet", "predict", str(det_config), str(checkpoint), url, *ON_CPU]
    running = subprocess.Popen([*command, "--out", str(out)], stderr=subprocess.PIPE, text=True)
    lines, random = out / "detections.jsonl", np.random.default_rng(3)
    try:
        with av.open(f"{url}?pkt_size=1316", "w", format="mpegts") as sender:
            stream = sender.add_stream("mpeg4", rate=20)
            stream.width, stream.height, stream.gop_size = 96, 64, 5
            until = time.monotonic() + 120
            while not (lines.exists() and lines.read_text().count("\n") > 2):
                assert running.poll() is None
                assert time.monotonic() < until
                picture = random.integers(0, 256, (64, 96, 3)).astype(np.uint8)
                sender.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
                time.sleep(0.05)
            running.send_signal(signal.SIGINT)
            error = running.communicate(timeout=120)[1]
    finally:
        running.kill()
    assert running.returncode == 130
    records = predictions(out)
    (drawn,) = out.glob("*.mp4")
    assert f"interrupted: {len(records)} frames are in {drawn}" in error
    with av.open(str(drawn)) as video:
        assert sum(1 for _ in video.decode(video=0)) == len(records) > 2
    assert [r["second"] for r in records] == sorted({r["second"] for r in records})


def test_predict_names_missing_and_empty_sources(
    det_config: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    out = ["--out", tmp_path / "out", *ON_CPU]
    for source in (tmp_path / "empty", tmp_path / "missing"):
        assert "no image or video" in error_line(predict, [det_config, checkpoint, source, *out], capsys)
    (tmp_path / "clip.mp4").write_bytes(b"no video")
    error = error_line(predict, [det_config, checkpoint, tmp_path / "clip.mp4", *out], capsys)
    assert "clip.mp4: OpenCV cannot open this video" in error


def test_an_unreadable_image_is_named_and_left_out_and_hidden_files_are_no_images(
    det_config: Path, checkpoint: Path, photos: Path, tmp_path: Path
) -> None:
    (photos / "broken.jpg").write_bytes(b"not an image")
    (photos / "._wide.png").write_bytes(b"macOS writes this")
    command = [sys.executable, "-m", "resdet", "predict", det_config, checkpoint, photos, "--out", tmp_path / "out"]
    ended = subprocess.run([*map(str, command), *ON_CPU], capture_output=True, text=True)
    assert ended.returncode == 1
    assert f"1 of 3 images could not be read and were left out (first: {photos / 'broken.jpg'})" in ended.stderr
    assert [Path(r["file"]).name for r in predictions(tmp_path / "out")] == ["tall.jpg", "wide.png"]
    (bad,) = json.loads((tmp_path / "out" / "detections.json").read_text())["unreadable"]
    assert bad["file"] == str(photos / "broken.jpg")
    assert "not an image" in bad["reason"]
    lines = (tmp_path / "out" / "detections.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == predictions(tmp_path / "out")


def test_predict_takes_several_inputs_and_patterns_and_keeps_images_of_one_name_apart(
    checkpoint: Path, det_config: Path, photos: Path, tmp_path: Path
) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        shutil.copy(photos / "wide.png", tmp_path / folder / "a.png")
        shutil.copy(photos / "wide.png", tmp_path / folder / "a.bmp")
    inputs = [tmp_path / "one", tmp_path / "two" / "*.png", photos / "deep" / "tall.jpg", tmp_path / "one" / "a.png"]
    predict([str(det_config), str(checkpoint), *map(str, inputs), "--out", str(tmp_path / "out"), *ON_CPU])
    assert len(predictions(tmp_path / "out")) == 4
    out = tmp_path / "out"
    drawn = {p.relative_to(out).as_posix() for p in out.rglob("*.*") if p.suffix not in ("", ".json")}
    assert drawn == {"a.png", "a.bmp", "two/a.png", "tall.jpg", "detections.jsonl"}


def test_predict_goes_on_with_what_is_missing(
    det_config: Path, checkpoint: Path, photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    arguments = [str(det_config), str(checkpoint), str(photos), "--out", str(out), *ON_CPU]
    predict(arguments)
    whole, lines = (out / "detections.json").read_text(), (out / "detections.jsonl").read_text()
    kept = (out / "deep" / "tall.jpg").stat().st_mtime_ns
    # As after a crash: the second line is cut, the file of all is not there.
    (out / "detections.jsonl").write_text(lines[: len(lines) - 9])
    (out / "detections.json").unlink()
    (out / "wide.png").unlink()
    caplog.clear()
    predict(arguments)
    assert "1 of 2 images are done" in caplog.text
    assert (out / "detections.json").read_text() == whole
    assert (out / "detections.jsonl").read_text() == lines
    assert (out / "wide.png").is_file()
    assert (out / "deep" / "tall.jpg").stat().st_mtime_ns == kept
    shutil.copy(photos / "deep" / "tall.jpg", photos / "wide.png")  # another image of the same name
    predict(arguments)
    assert predictions(out)[1]["size"] == [90, 50]


def keep(out: Path, held: Event, done: Event) -> None:
    """Runs in a child process: writes to the folder, as another predict."""
    lock = hold(out, "--out")
    held.set()
    done.wait(60)
    del lock


def test_two_commands_do_not_mix_their_detections(
    det_config: Path, checkpoint: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fork = multiprocessing.get_context("fork")
    held, done = fork.Event(), fork.Event()
    other = fork.Process(target=keep, args=(tmp_path, held, done))
    other.start()
    assert held.wait(60)
    words: list[object] = [det_config, checkpoint, photos, "--out", tmp_path, *ON_CPU]
    error = error_line(predict, words, capsys)
    assert f"is in use by process {other.pid} on" in error
    assert "wait until it ends, or choose another --out" in error
    assert not list(tmp_path.glob("detections*"))
    done.set()
    other.join()
    predict([str(word) for word in words])
    assert len(predictions(tmp_path)) == 2


def test_images_of_an_earlier_command_stay_until_their_picture_is_replaced(
    det_config: Path, checkpoint: Path, photos: Path, tmp_path: Path
) -> None:
    def files() -> list[str]:
        return [json.loads(line)["file"] for line in (tmp_path / "out" / "detections.jsonl").read_text().splitlines()]

    (tmp_path / "other").mkdir()
    shutil.copy(photos / "wide.png", tmp_path / "other" / "wide.png")
    start, out = [str(det_config), str(checkpoint)], ["--out", str(tmp_path / "out"), *ON_CPU]
    predict([*start, str(photos), *out])
    predict([*start, str(tmp_path / "other"), *out])
    assert [Path(r["file"]) for r in predictions(tmp_path / "out")] == [tmp_path / "other" / "wide.png"]
    assert files() == [str(photos / "deep" / "tall.jpg"), str(tmp_path / "other" / "wide.png")]


def test_predict_refuses_to_mix_detections_of_other_weights_or_settings(
    det_config: Path, checkpoint: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "out"), *ON_CPU]
    predict([str(det_config), str(checkpoint), str(photos), *out])
    error = error_line(predict, [det_config, checkpoint, photos, *out, "--threshold", "0.3"], capsys)
    assert "holds detections of --threshold 0.5; choose another folder with --out, or add --overwrite" in error
    error = error_line(predict, [det_config, checkpoint, photos, *out, "--tile", "64"], capsys)
    assert "holds detections of other tiling; choose" in error
    state = torch.load(checkpoint, weights_only=True)
    state["model"]["head.scores.bias"] += 1
    save_checkpoint(tmp_path / "other.pth", {"model": state["model"], "classes": ["apple", "pear"]})
    error = error_line(predict, [det_config, tmp_path / "other.pth", photos, *out], capsys)
    assert "holds detections of other weights" in error
    assert len(predictions(tmp_path / "out")) == 2
    predict([str(det_config), str(tmp_path / "other.pth"), str(photos), *out, "--overwrite"])


def test_ctrl_c_loses_nothing_that_is_done(det_config: Path, checkpoint: Path, photos: Path, tmp_path: Path) -> None:
    """SIGINT after the first line; the same command then makes the file that an undisturbed one makes."""
    for i in range(40):
        shutil.copy(photos / "wide.png", photos / f"{i:02d}.png")
    command = [sys.executable, "-m", "resdet", "predict", str(det_config), str(checkpoint), str(photos), *ON_CPU]
    out = tmp_path / "out"
    running = subprocess.Popen([*command, "--out", str(out)], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    lines = out / "detections.jsonl"
    try:
        until = time.monotonic() + 120
        while not (lines.exists() and lines.read_text().count("\n") > 2):
            assert running.poll() is None
            assert time.monotonic() < until
            time.sleep(0.01)
        running.send_signal(signal.SIGINT)
        error = running.communicate(timeout=120)[1]
    finally:
        running.kill()
    assert running.returncode == 130
    assert "of 42 images are done; the same command goes on" in error
    before = lines.read_text()
    assert 2 < before.count("\n") < 42
    predict([*command[4:], "--out", str(out)])
    assert lines.read_text().startswith(before)
    assert len(predictions(out)) == 42


def test_several_processes_share_the_images_and_go_on_with_what_is_missing(
    det_config: Path, checkpoint: Path, photos: Path, tmp_path: Path
) -> None:
    for i in range(7):
        shutil.copy(photos / "wide.png", photos / f"{i}.png")
    start, alone, out = [str(det_config), str(checkpoint), str(photos)], tmp_path / "alone", tmp_path / "out"
    predict([*start, "--out", str(alone), *ON_CPU])
    run_processes(2, "predict", *start, "--out", out)
    for name in ("detections.json", "detections.jsonl", "predict.json"):
        assert (out / name).read_text() == (alone / name).read_text()
    # As after an interruption: each process has written some lines of its own, the last one is cut.
    lines = (out / "detections.jsonl").read_text().splitlines(keepends=True)
    (out / "detections.json").unlink()
    (out / "detections.jsonl").write_text("")
    (out / "detections.part0.jsonl").write_text("".join(lines[:5:2]))
    (out / "detections.part1.jsonl").write_text(lines[1] + lines[3][:20])
    kept = (out / lines_picture(lines[1])).stat().st_mtime_ns
    run_processes(2, "predict", *start, "--out", out)
    assert (out / "detections.json").read_text() == (alone / "detections.json").read_text()
    assert (out / lines_picture(lines[1])).stat().st_mtime_ns == kept
    assert not list(out.glob("*.part*"))


def lines_picture(line: str) -> str:
    return json.loads(line)["picture"]


@pytest.mark.parametrize("form", ["voc", "coco", "yolo"])
def test_saved_annotations_are_read_back(
    form: str, det_config: Path, checkpoint: Path, photos: Path, tmp_path: Path
) -> None:
    shutil.copy(photos / "deep" / "tall.jpg", photos / "wide.jpg")  # beside wide.png
    out = tmp_path / "out"
    arguments = [str(det_config), str(checkpoint), str(photos), "--out", str(out), *ON_CPU, "--threshold", "0.05"]
    predict([*arguments, "--save-annotations", form])
    classes = ("apple", "pear")
    dataset: DetectionDataset
    if form == "voc":
        dataset = VOCDataset(out / "voc", [("", "all")], classes=classes)
    elif form == "coco":
        dataset = COCODataset(out / "coco", [("images", "annotations.json")])
    else:
        dataset = YOLODataset(out / "yolo", ".")
    assert tuple(dataset.classes) == classes
    found = {Path(record["file"]): record for record in predictions(out)}
    expected = [found[photos / name] for name in ("deep/tall.jpg", "wide.jpg", "wide.png")]
    samples = sorted((dataset[i] for i in range(3)), key=lambda sample: sample.image_id)
    for sample, record in zip(samples, expected, strict=True):
        assert torch.equal(sample.image, torch.from_numpy(read_image(record["file"])))
        wide = [i for i, (x1, y1, x2, y2) in enumerate(record["boxes"]) if min(x2 - x1, y2 - y1) > 2]
        assert len(sample.boxes) >= len(wide) > 0
        for i in wide:
            near = (sample.boxes - torch.tensor(record["boxes"][i])).abs().amax(1) <= (1 if form == "voc" else 0.01)
            assert record["labels"][i] in sample.labels[near].tolist()


@pytest.mark.parametrize(("form", "corrected"), [("voc", "Annotations/wide.xml"), ("yolo", "labels/wide.txt")])
def test_corrected_annotations_are_never_overwritten(
    form: str,
    corrected: str,
    det_config: Path,
    checkpoint: Path,
    photos: Path,
    clip: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    arguments = [str(det_config), str(checkpoint), str(photos), "--out", str(out), *ON_CPU]
    predict([*arguments, "--save-annotations", form])
    (out / form / corrected).write_text("corrected by hand")
    shutil.copy(photos / "wide.png", photos / "new.png")
    error = error_line(predict, [*arguments, "--save-annotations", form], capsys)
    assert f"{out / form} holds annotations that may have been corrected by hand: move it away, or add --ov" in error
    assert (out / form / corrected).read_text() == "corrected by hand"
    assert not (out / "new.png").exists()  # refused before anything is computed
    predict(arguments)  # without annotations it goes on
    assert (out / "new.png").is_file()
    predict([*arguments, "--save-annotations", "coco", "--overwrite"])
    (older,) = out.glob(f"{form}.old-*")
    assert (older / corrected).read_text() == "corrected by hand"
    assert not (out / form).exists()  # no mixture of old and new
    error = error_line(predict, [*arguments, "--save-annotations", "coco"], capsys)
    assert f"{out / 'coco'} holds annotations" in error
    predict([*arguments, "--save-annotations", form])
    assert {path.stem for path in (out / form / corrected).parent.glob("*")} == {"deep", "new", "wide"}
    predict([str(det_config), str(checkpoint), str(clip), "--out", str(out), *ON_CPU, "--overwrite"])
    assert not (out / form).exists()
    assert len(list(out.glob(f"{form}.old-*"))) == 2


def test_videos_and_earlier_outputs_in_a_folder_are_told_and_left_out(
    det_config: Path,
    checkpoint: Path,
    photos: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    start = [str(det_config), str(checkpoint)]
    predict([*start, str(photos / "wide.png"), "--out", str(photos / "drawn"), *ON_CPU])
    for name in ("b.mp4", "a.MOV", ".hidden.mp4"):
        (photos / name).write_bytes(b"a video")
    (photos / "film").mkdir()
    for name in ("film.mp4", "detections.json", "detections.jsonl"):  # a drawn video is no new one
        (photos / "film" / name).write_bytes(b"")
    for inputs in (photos, photos / "*"):
        caplog.clear()
        predict([*start, str(inputs), "--out", str(tmp_path / "out"), *ON_CPU])
        assert [Path(r["file"]).name for r in predictions(tmp_path / "out")] == ["tall.jpg", "wide.png"]
        assert f"2 videos were left out (first: {photos / 'a.MOV'}): a video is given alone" in caplog.text
        assert f"{photos / 'drawn'}: what predict has drawn there was left out" in caplog.text
    caplog.clear()
    predict([*start, str(photos / "drawn"), "--out", str(tmp_path / "asked"), *ON_CPU])
    assert [Path(r["file"]) for r in predictions(tmp_path / "asked")] == [photos / "drawn" / "wide.png"]
    assert "left out" not in caplog.text
    error = error_line(predict, [*start, photos / "*.mp4", *ON_CPU], capsys)
    assert f"no image there, but videos; give one alone, by its name: {photos / 'b.mp4'}" in error


def test_tiles_that_make_no_sense_are_refused_before_weights_are_read(
    det_config: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = [det_config, tmp_path / "none.pth", photos, *ON_CPU]
    assert "give --tile too" in error_line(predict, [*start, "--overlap", "0.3"], capsys)
    error = error_line(predict, [*start, "--tile", "1", "--overlap", "0.9"], capsys)
    assert "a tile's side of 1 (--tile): give at least 64 pixels; smaller tiles show hardly an object whole" in error
    for overlap in ("-0.1", "nan", "0.95"):
        error = error_of(predict, [*start, "--tile", "64", f"--overlap={overlap}"], capsys)
        assert "at most 0.9" in error


def test_the_python_interface_detects_in_three_lines(det_config: Path, checkpoint: Path, photos: Path) -> None:
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
