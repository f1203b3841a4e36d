"""Short trainings by the real commands on small embedded sets, and tests of what they made."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import torch

from resdet.device_check.check import Found, Setting
from resdet.device_check.commands import RESDET
from resdet.engine.checkpoint import read_checkpoint

STEPS = 12


def options(setting: Setting, config: str, steps: int = STEPS) -> list[str]:
    """--cfg-options that make a config of the embedded data small: few images, drawn into the check's folder."""
    data, short = setting.folder / "data", [f"schedule.steps={steps}", "schedule.warmup=2", "loop.checkpoint_every=4"]
    if config == "shapes_det":
        root = f'"{data / "shapes"}"'
        sets = [f"data.{s}.{k}" for s in ("train", "test") for k in (f"root={root}", "train=16", "test=8")]
        size = ["data.resizer.short=240", "data.resizer.long=320"]
        return [*short, *sets, *size, "init_from=None", "optimizer.lr=0.001", "data.images=2"]
    root = f'"{data / config}"'
    sets = [f"data.{s}.{k}" for s in ("train", "test") for k in (f"root={root}", "train=128", "val=32")]
    if config == "shapes_cls":
        return [*short, *sets, "data.images=32", "optimizer.lr=0.05", "precise_bn.images=64"]
    stage = [] if config == "shapes_loc" else ["rcnn.schedule.steps=12", "rcnn.schedule.warmup=2", "rcnn.images=16"]
    return [*short, *sets, *stage, "init_from=None", "data.images=16", "optimizer.lr=0.01"]


def train(setting: Setting, config: str, name: str, *words: object, steps: int = STEPS, start: object = RESDET) -> Path:
    """Train an embedded config; returns the run's folder, `name`. Raises CommandFailed."""
    run = setting.folder / name
    setting.commands.run(name, *training(setting, config, run, steps), *words, start=start)  # type: ignore[arg-type]
    return run


def training(setting: Setting, config: str, run: Path, steps: int = STEPS) -> list[object]:
    """The words of a training command."""
    kind = {"cls": "train-cls", "det": "train-det", "loc": "train-loc"}[config.split("_")[1]]
    return [kind, config, "--work-dir", run, "--cfg-options", *options(setting, config, steps)]


def check_classifiers(setting: Setting, found: Found) -> None:
    """shapes_cls in every precision."""
    _in_precisions(setting, found, "shapes_cls")


def check_detectors(setting: Setting, found: Found) -> None:
    """shapes_det in every precision, then eval-voc and predict."""
    _in_precisions(setting, found, "shapes_det")
    run = setting.folder / "shapes_det_fp32"
    if not (run / "last.pth").is_file():
        return
    tests = {"eval-voc": _evaluate, "predict": _predict}
    setting.commands.all(*(partial(found.try_part, name, partial(t, setting, found, run)) for name, t in tests.items()))


def check_localizers(setting: Setting, found: Found) -> None:
    """shapes_loc_rcnn in every precision, its R-CNN stage included."""
    _in_precisions(setting, found, "shapes_loc_rcnn")


def _in_precisions(setting: Setting, found: Found, config: str) -> None:
    def one(precision: str) -> None:
        run = train(setting, config, f"{config}_{precision}", "--precision", precision)
        state = read_checkpoint(run / "last.pth")["model"]
        sound = all(bool(t.isfinite().all()) for t in state.values() if t.is_floating_point())
        found.expect(sound, f"{config}, {precision}: a weight is not finite after {STEPS} steps")
        found.figures[f"{config}, {precision}"] = _last_line(setting.commands.logs / f"{config}_{precision}.log")

    parts = [partial(found.try_part, f"{config}, {p}", partial(one, p)) for p in setting.trained_precisions]
    setting.commands.all(*parts)


def _evaluate(setting: Setting, found: Found, run: Path) -> None:
    def one(name: str, *improvements: object) -> None:
        figures = run / f"{name}.json"
        words = ["eval-voc", run / "last.pth", "--precision", "fp32", "--json", figures, *improvements]
        done = setting.commands.run(name, *words)
        result = json.loads(figures.read_text())
        found.figures[name] = f"mAP {result['mAP50']:.4f} of {result['images']} images in {done.seconds:.1f} s"

    improved = partial(one, "eval-voc_improved", "--refine", "--scales", 160, 240)
    setting.commands.all(partial(one, "eval-voc"), improved)


def _predict(setting: Setting, found: Found, run: Path) -> None:
    photos = setting.folder / "data" / "shapes" / "VOCshapes" / "JPEGImages"
    out = setting.folder / "predictions"
    done = setting.commands.run("predict", "predict", run / "last.pth", photos, "--out", out, "--overwrite")
    found.figures["predict"] = f"{sum(1 for p in out.rglob('*.jpg'))} pictures in {done.seconds:.1f} s"
    found.expect((out / "detections.json").is_file(), "predict: detections.json is not there")


def _last_line(log: Path) -> str:
    """The log line of the last step: losses, rate, images per second."""
    lines = log.read_text(encoding="utf-8").splitlines()
    lines = [line.split(" INFO - ")[-1] for line in lines if f"/{STEPS} " in line]
    return lines[-1].strip() if lines else ""


def check_resume(setting: Setting, found: Found) -> None:
    """A training killed after its first checkpoint and resumed, beside two that were not interrupted."""
    steps, names = 48 if setting.on_gpu else 24, ("whole", "whole_again")
    killed = setting.folder / "killed"

    def interrupted() -> None:
        words = training(setting, "shapes_det", killed, steps)
        setting.commands.run_until("killed", (killed / "last.pth").is_file, *words, "--precision", "fp32")
        at = read_checkpoint(killed / "last.pth")["step"]
        found.figures["resumed from step"] = f"{at} of {steps}"
        found.expect(at < steps, "the training was at its end before it could be killed")
        words += ["--precision", "fp32", "--resume"]
        setting.commands.run("resumed", *words)

    whole = [partial(train, setting, "shapes_det", n, "--precision", "fp32", steps=steps) for n in names]
    setting.commands.all(*whole, interrupted)
    first, second, resumed = (_weights(setting.folder / name) for name in (*names, "killed"))
    noise, apart = _largest(first, second), _largest(first, resumed)
    found.figures["largest difference of a weight, two equal runs"] = noise
    found.figures["largest difference of a weight, resumed and not interrupted"] = apart
    found.figures["equal bits, two equal runs"] = noise == 0
    found.figures["equal bits, resumed and not interrupted"] = apart == 0
    limit = 10 * noise + (1e-5 if setting.on_gpu else 0)
    found.expect(apart <= limit, f"the resumed training ends {apart:.2g} apart, above {limit:.2g}")


def _weights(run: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = read_checkpoint(run / "last.pth")["model"]
    return state


def _largest(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    return max(float((a[name].cpu().double() - b[name].cpu().double()).abs().max()) for name in a if a[name].numel())
