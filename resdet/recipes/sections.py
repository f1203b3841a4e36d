"""The sections of a config, and the class or function that reads each of them.

cfg = load_config("configs/shapes_det.py", {"schedule.steps": 100})

What a config must have to train:

    every training       data.train, data.test   the data sets, with the classes in the same order
                         data.images             images per optimizer step, over all processes and accumulated passes
                         optimizer               arguments of engine/optimizer.build_sgd: lr, reference_images ...
                         schedule                a Schedule of engine/schedule.py, with the number of steps
                         loop                    values of engine/loop_settings.LoopSettings; may be empty
    a classifier         net                     a net of resdet/nets with a fully connected layer
                         data                    ClassificationData, or with `type` ResidentData (CIFAR-10)
    a detector           model                   detection/faster_rcnn.FasterRCNN
                         data                    DetectionData
    its four-step        alternating.rpn, .head  images, reference_images and schedule of these steps, instead of
    alternating training                         `schedule`
    a localizer          model                   ClassRPN or CropRegression of resdet/localization
                         data                    LocalizationData
    its R-CNN stage      rcnn                    the values of recipes/section_types.RCNNSection, at least a schedule

What it may have:

    init_from            weights to start from, unless --init-from names others
    log_backends         where metrics are logged besides scalars.json: "tensorboard", "wandb", "mlflow"
    augment              (classifier) augmentation on the device, a module of resdet/classification
    precise_bn           (classifier) values of PreciseBN: BN statistics computed at the end of the training
    ghost_batch          (classifier, localizer) images over which a BN layer computes its statistics in training
    testing              (detector) values of InferenceSettings: the improvements of Appendix B
    classifier           (localizer) nets, views and scales of the classifier that names the classes: ClassifierSection
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from resdet.data.classification.settings import ClassificationData
from resdet.data.detection.settings import DetectionData
from resdet.data.localization.settings import LocalizationData
from resdet.detection.inference import InferenceSettings
from resdet.engine.config import Config, plain, read_config, refuse_misspelt_sections
from resdet.engine.kept_config import is_checkpoint, kept_config
from resdet.engine.loop_settings import LoopSettings
from resdet.engine.onnx_facts import is_onnx, require_exported_detector
from resdet.engine.optimizer import build_sgd
from resdet.engine.resolved import fill, set_value, with_defaults
from resdet.engine.schedule import Schedule
from resdet.engine.typed import check, check_values
from resdet.errors import UserError
from resdet.localization.class_rpn import ClassRPN
from resdet.localization.crop_regression import CropRegression
from resdet.nets.precise_bn import PreciseBN
from resdet.ranges import Count
from resdet.recipes.section_types import Alternating, ClassifierSection, RCNNSection
from resdet.weights.hub import local_file
from resdet.weights.read import read_weights
from resdet.weights.zoo import config_for

# What each section takes that needs a `type` or is a single value.
_VALUES: dict[str, Any] = {
    "model": nn.Module, "net": nn.Module, "augment": nn.Module | None, "data": Any, "schedule": Schedule | None,
    "init_from": str | Path | None, "log_backends": Sequence[str], "ghost_batch": Count | None,
}  # fmt: skip
NAMES = (
    "model", "net", "augment", "data", "optimizer", "schedule", "loop", "init_from", "log_backends", "precise_bn",
    "ghost_batch", "alternating", "testing", "rcnn", "classifier",
)  # fmt: skip
_OPTIONAL = ("alternating", "rcnn", "classifier")  # None: there is none
_GIVEN = {"optimizer": ("model", "images")}  # parameters that no config gives
_USUAL = {"detector": ("testing",), "classifier": ("precise_bn",), "localizer": ()}  # filled in where they are left out


def load_config(path: str | Path, options: Mapping[str, Any] | None = None) -> Config:
    """Read a config, set options, fill in all defaults and check every value.

    Examples:
        >>> cfg = resdet.load_config("voc07_r50", {"schedule.steps": 100})
        >>> cfg.schedule.steps, cfg.model.head.bins
        (100, 14)

    Args:
        path: a file, the name of a config that comes with resdet ("voc07_r50"), or a checkpoint, which keeps the config
            of its training; or the name or file of a published detector ("detectron2://...", weights/zoo.py), which
            has one that comes with resdet.
        options: values by key as `--cfg-options` gives them: {"schedule.steps": 100}. Every key must exist in the
            config, or be a parameter of what reads its section.

    Returns:
        The resolved config: `cfg.schedule.steps`. Constants and variables of the file are no longer in it.

    Raises:
        UserError: there is no such config, an error in the file, a misspelt section or key, or a wrong value.
    """
    path = local_file(path)
    published = config_for(path) if is_checkpoint(path) else None
    if published or not is_checkpoint(path):
        cfg = read_config(published or path)
    elif not Path(path).is_file():
        raise UserError(f"{path}: no such checkpoint; train one, or give the path of last.pth in a run")
    elif (kept := kept_config(path)) is not None:
        cfg = kept
    elif is_onnx(path):
        require_exported_detector(path)
        again = "export it again, or give the config of its training, then this file"
        raise UserError(f"{path} keeps no config that can be read, as files of older versions: {again}")
    else:
        read_weights(path)  # raises if it is no whole file of weights
        raise UserError(f"{path} keeps no config that can be read: give the config of its training, then this file")
    refuse_misspelt_sections(cfg, NAMES)
    return resolve(cfg, options)


def resolve(cfg: Config, options: Mapping[str, Any] | None = None) -> Config:
    """Set options, fill in the defaults of everything that the config names, and check every value.

    Args:
        cfg: a config; it is not changed.
        options: values by key, as `load_config` takes them.

    Raises:
        UserError: a key does not exist, or a value is wrong.
    """
    options = options or {}
    read = plain(cfg)
    _refuse_constants(options, read)
    present = {name: read[name] for name in NAMES if name in read}
    if "log_backends" in options:  # the only section that an option may add: --tensorboard is for every config
        present.setdefault("log_backends", [])
    sections = _filled(present)
    for key, value in options.items():
        set_value(sections, key, value, section_types(sections))
    try:
        checked = _checked(_filled(sections))
    except UserError as error:
        given = any(str(error).startswith((f"{key} ", f"{key}.", f"{key}:")) for key in options)
        raise UserError(f"{'--cfg-options' if given else cfg.filename}: {error}") from None
    return Config(checked, cfg_text=cfg.text or " ", filename=cfg.filename)


def task_of(sections: Mapping[str, Any]) -> str:
    """The task of a config: "classifier", "localizer" or "detector"."""
    if "net" in sections:
        return "classifier"
    model = sections.get("model")
    target = model.get("type") if isinstance(model, Mapping) else None
    localizer = isinstance(target, type) and issubclass(target, ClassRPN | CropRegression)
    return "localizer" if localizer else "detector"


def section_types(sections: Mapping[str, Any]) -> dict[str, Callable[..., Any]]:
    """For each section that needs no `type`, the class or function that takes its values."""
    data = {"classifier": ClassificationData, "localizer": LocalizationData, "detector": DetectionData}
    own: dict[str, Callable[..., Any]] = {
        "loop": LoopSettings, "optimizer": build_sgd, "testing": InferenceSettings, "precise_bn": PreciseBN,
        "alternating": Alternating, "rcnn": RCNNSection, "classifier": ClassifierSection,
    }  # fmt: skip
    typed = isinstance(sections.get("data"), Mapping) and "type" in sections["data"]
    return own if typed else own | {"data": data[task_of(sections)]}


def _filled(sections: Mapping[str, Any]) -> dict[str, Any]:
    """The sections with all defaults, in the order of NAMES."""
    sections = {name: {} for name in _USUAL[task_of(sections)]} | dict(sections)
    targets, filled = section_types(sections), {}
    for name in NAMES:
        value = sections.get(name)
        if name in targets and isinstance(value, Mapping):
            filled[name] = with_defaults(targets[name], value, _GIVEN.get(name, ()))
        elif name in sections:
            filled[name] = fill(value, _VALUES.get(name, Any))
    return filled


def _checked(sections: Mapping[str, Any]) -> dict[str, Any]:
    """The sections with every value in its declared form."""
    targets, checked = section_types(sections), dict[str, Any]()
    for name, value in sections.items():
        if name not in targets or (value is None and name in _OPTIONAL):
            checked[name] = None if name in _OPTIONAL else check(value, _VALUES[name], name)
        elif isinstance(value, Mapping):
            checked[name] = check_values(targets[name], value, name, _GIVEN.get(name, ()))
        else:
            raise UserError(f"{name} is {value!r}; wanted: a dict of the values that {targets[name].__name__} takes")
    if checked.get("rcnn"):
        check_values(build_sgd, checked["rcnn"]["optimizer"], "rcnn.optimizer", _GIVEN["optimizer"])
    return checked


def _refuse_constants(options: Mapping[str, Any], read: Mapping[str, Any]) -> None:
    for key in options:
        first = key.partition(".")[0]
        if first.isupper() and first in read:
            raise UserError(
                f"--cfg-options {key}: {first} is a constant that was used when the file was read; set the values that "
                "were made from it, such as data.train.root and data.test.root"
            )
