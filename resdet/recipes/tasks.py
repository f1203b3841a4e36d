"""Train and evaluate from Python, as the commands `train-cls`, `train-det`, `train-loc` and `eval-*` do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resdet.detection.inference import InferenceSettings
from resdet.engine.config import Config, build_call
from resdet.engine.precision import Precision
from resdet.engine.run import Run, RunOptions, start_run
from resdet.errors import UserError
from resdet.recipes.classification.evaluate import evaluate_classifier
from resdet.recipes.classification.training import train_classifier
from resdet.recipes.detection.alternating import train_alternating
from resdet.recipes.detection.inference import detect_with
from resdet.recipes.detection.onnx_detector import precision_of
from resdet.recipes.detection.score import score
from resdet.recipes.detection.trainer import train_jointly
from resdet.recipes.localization.build import build_localization_data
from resdet.recipes.localization.evaluate import evaluate_localizer
from resdet.recipes.localization.inference import InferenceMode
from resdet.recipes.localization.training import train_localizer
from resdet.recipes.sections import load_config, resolve, task_of
from resdet.recipes.trained import given_nets
from resdet.weights.folder import folder_of


def train(
    config: str | Path | Config,
    work_dir: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    init_from: str | Path | None = None,
    resume: str | None = None,
    device: str = "auto",
    precision: Precision | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Train a classifier, a detector or a localizer; write checkpoints, the log and page.html into a folder.

    Examples:
        >>> figures = resdet.train("mine.py", "runs/mine", options={"schedule.steps": 2}, device="cpu")
        >>> list(figures)[0], "last.pth" in os.listdir("runs/mine")
        ('val/mAP50', True)

    Args:
        config: a config, its file, or the name of one that comes with resdet.
        work_dir: the folder; None: runs/CONFIG.
        options: values of the config to change: {"schedule.steps": 100}.
        init_from: weights to start from; None: those that the config names.
        resume: "auto" (the folder's last checkpoint) or the path of a checkpoint to go on from; None: a new training.
        device: "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:1".
        precision: None: bf16 where the device computes it faster than fp32.
        seed: of all random numbers.

    Returns:
        The figures of the last validation by name: "val/mAP50" of a detector, in 0..1; "test/top1_error" of a
        classifier and "test/localization_error" of a localizer, in percent.

    Raises:
        UserError: the config, the data or the weights do not fit; the message says what to do.
    """
    cfg = resolve(config, options) if isinstance(config, Config) else load_config(config, options)
    run_options = RunOptions(
        device, precision, seed, resume=resume, backends=tuple(cfg.get("log_backends") or ()),
        init_from=str(init_from or cfg.get("init_from") or "") or None,
    )  # fmt: skip
    run = start_run(work_dir or Path("runs") / Path(cfg.filename).stem, run_options, exclusive=True)
    if task_of(cfg) == "classifier":
        return train_classifier(cfg, run)
    if task_of(cfg) == "localizer":
        return train_localizer(cfg, run)
    return (train_alternating if cfg.get("alternating") else train_jointly)(cfg, run).logged


def evaluate(
    config: str | Path | Config,
    checkpoint: str | Path | Sequence[str | Path] = (),
    options: Mapping[str, Any] | None = None,
    device: str = "auto",
    precision: Precision | None = None,
) -> dict[str, float]:
    """Test a trained classifier, detector or localizer on its config's test set.

    Examples:
        >>> figures = resdet.evaluate("runs/mine/last.pth", device="cpu")
        >>> 0 <= figures["mAP50"] <= 1
        True

    Args:
        config: a checkpoint or a detector's .onnx file, which keep the config of the training; or a config, its file,
            or the name of one that comes with resdet.
        checkpoint: beside a config: the weights, ours or another project's; several are an ensemble.
        options: values of the config to change, also against the training: {"data.test.image_set": "val"}.
        device: "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:1".
        precision: None: bf16 where the device computes it faster than fp32. An .onnx file has its own.

    Returns:
        The figures by name: "mAP50" of a detector first, in 0..1, by the rule of its config; "center/top1_error" of a
        classifier, by the centre crop, and the rows of a localizer, by 1-crop, in percent.

    Raises:
        UserError: the checkpoint, the config and the data do not fit.
    """
    nets = given_nets(config, checkpoint, options)
    if not nets:
        raise UserError(f"which weights? give evaluate({str(config)!r}, checkpoint), or a checkpoint alone")
    cfg, first = nets[0]
    precision = precision_of([path for _, path in nets], precision)
    run = start_run(folder_of(first), RunOptions(device, precision), log="eval")
    if task_of(cfg) == "classifier":
        return evaluate_classifier(cfg, run, nets, ["center"]).figures()
    if task_of(cfg) == "localizer":
        data = build_localization_data(cfg, train=False)
        return _numbers(evaluate_localizer(data, run, nets, [InferenceMode()]).figures())
    return _detector_figures(nets, run)


def _detector_figures(nets: Sequence[tuple[Config, Path]], run: Run) -> dict[str, float]:
    testing = build_call(InferenceSettings, nets[0][0].get("testing", {}))
    detections, data = detect_with(nets, testing, run)
    return score(detections, data.test, data.method).figures


def _numbers(figures: Mapping[str, Any], name: str = "") -> dict[str, float]:
    """Flatten nested figures: one name for each number."""
    found: dict[str, float] = {}
    for key, value in figures.items():
        path = f"{name}/{key}" if name else str(key)
        found |= _numbers(value, path) if isinstance(value, Mapping) else {path: value}
    return found
