"""The sections of a config, and what reads each of them.

cfg = load_config("configs/shapes_det.py", {"schedule.steps": 100})

What a config must have to train:

    every training       data.train, data.test   the data sets, with the classes in the same order
                         data.images             images per optimizer step, over all processes and accumulated passes
                         optimizer               arguments of engine/optimizer.build_sgd: lr, reference_images ...
                         schedule                a Schedule of engine/schedule.py, with the number of steps
                         loop                    values of engine/loop.LoopSettings; may be empty
    a classifier         net                     a net of resdet/nets with a fully connected layer
                         data                    ClassificationData, or with `type` ResidentData (CIFAR-10)
    a detector           model                   detection/faster_rcnn.FasterRCNN
                         data                    DetectionData
    its four-step        alternating.rpn, .head  images, reference_images and schedule of these steps, instead of
    alternating training                         `schedule`
    a localizer          model                   ClassRPN or CropRegression of resdet/localization
                         data                    LocalizationData
    its R-CNN stage      rcnn                    schedule and what recipes/localization/rcnn_build.RCNNSection lists

What it may have:

    init_from            weights to start from, unless --init-from names others
    log_backends         where figures go besides scalars.json: "tensorboard", "wandb", "mlflow"
    augment              (classifier) augmentation on the device, a module of resdet/classification
    precise_bn           (classifier) values of PreciseBN: BN statistics computed at the end of the training
    ghost_batch          (classifier, localizer) images over which a BN layer computes its statistics in training
    testing              (detector) values of InferenceSettings: the improvements of Appendix B
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from resdet.data.classification.settings import ClassificationData
from resdet.data.detection.settings import DetectionData
from resdet.data.localization.settings import LocalizationData
from resdet.detection.inference import InferenceSettings
from resdet.engine.config import Config, read_config, refuse_misspelt_sections, set_options
from resdet.engine.loop import LoopSettings
from resdet.engine.optimizer import build_sgd
from resdet.nets.precise_bn import PreciseBN

NAMES = (
    "model", "net", "augment", "data", "optimizer", "schedule", "loop", "init_from", "log_backends", "precise_bn",
    "ghost_batch", "alternating", "testing", "rcnn",
)  # fmt: skip


def load_config(path: str | Path, options: Mapping[str, Any] | None = None) -> Config:
    """Read a config, check the names of its sections, and set options.

    Args:
        path: a file, or the name of a config that comes with resdet ("voc07_r50", "configs/voc07_r50.py").
        options: values by key as `--cfg-options` gives them: {"schedule.steps": 100}. Every key must exist in the
            config, or be a parameter of what reads its section.

    Raises:
        UserError: there is no such config, an error in the file, a misspelt section, or an option that does not exist.
    """
    cfg = read_config(path)
    refuse_misspelt_sections(cfg, NAMES)
    set_options(cfg, options or {}, section_types(cfg))
    return cfg


def section_types(cfg: Config) -> dict[str, Callable[..., Any]]:
    """For each section that needs no `type`, the class or function that takes its values."""
    return {
        "data": _data_type(cfg), "loop": LoopSettings, "optimizer": build_sgd, "testing": InferenceSettings,
        "precise_bn": PreciseBN,
    }  # fmt: skip


def _data_type(cfg: Config) -> Callable[..., Any]:
    if "net" in cfg:
        return ClassificationData
    return DetectionData if "resizer" in cfg.get("data", {}) else LocalizationData
