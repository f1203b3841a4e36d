"""Shrink a config for a dry run, which runs the whole job in seconds on generated data, before the real data exist.

    cfg = make_small(load_config("coco_r101"), Path("dry/data"))
    train_jointly(cfg, run)         # a few steps, the evaluation, the page

The config's choices are kept: types, layouts, depths, rules, optimizer, kind of schedule. The sizes of images and nets
and the numbers of images, steps, anchors and regions are reduced. Pretrained weights are not loaded, as they do not fit
narrow nets. The resulting figures are meaningless.
"""

from __future__ import annotations

import inspect
import logging
from pathlib import Path
from typing import Any

from resdet.data.classification.cifar import Cifar10
from resdet.data.classification.settings import ResidentData
from resdet.dry_run.classification_files import FewOfCifar10
from resdet.dry_run.files import data_sets, generate, is_generated
from resdet.engine.checkpoint import LAST
from resdet.engine.config import Config, require
from resdet.engine.distributed import gather_objects, get_world_size, is_main_process
from resdet.errors import UserError
from resdet.localization.class_rpn import ClassRPN
from resdet.nets.vgg import VGG
from resdet.recipes.localization.build import is_localizer

STEPS, MILESTONE = 3, 1
WIDTH = 1 / 16  # factor of the widths of ResNets and VGGs; CIFAR's nets are narrow already
SHORT = 64  # short side of a detector's input in pixels
CROP = 32  # side of a classifier's and localizer's crops; VGG keeps 224, the only size that its fc6 accepts
FEW = 8  # images of CIFAR-10, and for BN statistics
PROPOSALS = {"train_pre_nms": 200, "train_post_nms": 50, "test_pre_nms": 100, "test_post_nms": 20}
FEW_PROPOSALS, ANY_IOU = 20, 0.1  # of the R-CNN stage; so that some proposals of an untrained net are positive
REQUIRED = {
    "detector": ("model.net", "data.resizer"),
    "classifier": ("net",),
    "localizer": ("model.net", "data.train_view", "data.test_view"),
}
IMAGES = {"detector": 2, "classifier": 4, "localizer": 4}  # per process and pass

logger = logging.getLogger("resdet")


def make_small(cfg: Config, folder: Path) -> Config:
    """Shrink a config for a dry run, in place, and write its data into `folder`.

    Call it on every process after the process group was made: one process writes, the others wait.

    Args:
        cfg: a detector's, classifier's or localizer's resolved config (`load_config`).
        folder: missing, empty, or of generated data, which is replaced.

    Returns:
        `cfg`.

    Raises:
        UserError: the config lacks a section, `folder` has other files, or a data set has an unknown type.
    """
    kind = "classifier" if not cfg.get("model") else "localizer" if is_localizer(cfg) else "detector"
    require(cfg, f"a {kind}", "data.train", "data.test", "loop", *REQUIRED[kind])
    generate(cfg, folder, write=is_main_process())
    gather_objects([])
    images = IMAGES[kind] * cfg.loop.get("accumulate", 1) * get_world_size()
    cfg.data.images = images
    small = {"detector": _small_detector, "classifier": _small_classifier, "localizer": _small_localizer}
    small[kind](cfg)
    for section in ("schedule", "alternating", "rcnn"):
        _small_steps(cfg.get(section), images)
    validate_every = STEPS - 1 if cfg.loop.get("validate_every") else 0
    cfg.loop.update(log_every=1, checkpoint_every=STEPS, validate_every=validate_every)
    cfg.init_from, cfg.log_backends = None, []
    text = "dry run: %d steps of a small net on noise in %s; its figures mean nothing"
    logger.warning(text, STEPS, folder)
    return cfg


def refuse_other_folders(work_dir: Path) -> None:
    """Refuse a work dir whose checkpoints are those of a real run, which a dry run would replace.

    Raises:
        UserError: there is a checkpoint, and no generated data.
    """
    found = [path for path in (work_dir / LAST, *work_dir.glob(f"*/{LAST}")) if path.is_file()]
    if found and not is_generated(work_dir / "data"):
        raise UserError(f"{found[0]} is not of a dry run, which would replace it; choose another --work-dir")


def _small_detector(cfg: Config) -> None:
    data, model = cfg.data, cfg.model
    resizer = data.resizer
    scale = SHORT / resizer.short
    resizer.update(short=SHORT, long=None if resizer.long is None else round(resizer.long * scale))
    data.train_scales = [round(s * scale) for s in data.train_scales]
    _small_testing(cfg.testing, scale)
    data.update(workers=0, test_images=min(2, data.test_images))
    _narrow(model.net)
    if _residual(model.net):  # frozen BN has no statistics yet: a hundred random layers would overflow
        model.net.zero_last_gamma = True
    model.rpn.update(hidden=8, scales=[s * scale for s in model.rpn.scales], **PROPOSALS)
    model.head.update(regions=16, score_floor=0.0)  # so that even an untrained net detects something


def _small_testing(testing: Any, scale: float) -> None:
    for name in ("scales", "proposal_scales"):
        testing[name] = [round(s * scale) for s in testing[name]]
    if testing.scales:
        testing.region_side *= scale


def _small_classifier(cfg: Config) -> None:
    data, net = cfg.data, cfg.net
    if data.get("type") is ResidentData:
        data.test_images = FEW
    else:
        data.workers = 0
    for node in data_sets(cfg):
        if issubclass(node["type"], Cifar10):
            node.update(type=FewOfCifar10, images=FEW)
    _small_views(data, net)
    _narrow(net)
    _small_ghosts(cfg, IMAGES["classifier"])
    one = get_world_size() == 1  # several processes would each need a batch of the few generated images
    cfg.precise_bn.images = min(FEW, cfg.precise_bn.images) if one else 0


def _small_localizer(cfg: Config) -> None:
    data, model = cfg.data, cfg.model
    crop = data.test_view.size
    data.update(workers=0, test_images=4)
    _small_views(data, model.net)
    _narrow(model.net)
    _small_ghosts(cfg, IMAGES["localizer"])
    if model.type is not ClassRPN:
        return
    settings = model.settings
    settings.scales = [s * CROP / crop for s in settings.scales]
    if settings.hidden:
        settings.hidden = 8
    if cfg.get("rcnn"):
        _small_rcnn(cfg.rcnn)


def _small_rcnn(section: Any) -> None:
    """Shrink the R-CNN stage; its `images` are set in `_small_steps`."""
    if section.net:
        _narrow(section.net)
    section.settings.update(size=CROP, positive_iou=ANY_IOU)
    section.proposals.count = FEW_PROPOSALS


def _small_views(data: Any, net: Any) -> None:
    for view in (data.get("train_view"), data.get("test_view")):
        if view and not issubclass(net.type, VGG):
            size = view.get("size")
            view.size = dict.fromkeys(size, CROP) if isinstance(size, dict) else CROP


def _small_ghosts(cfg: Config, images: int) -> None:
    if cfg.get("ghost_batch"):
        cfg.ghost_batch = min(cfg.ghost_batch, images // 2)


def _narrow(net: Any) -> None:
    if "width" in inspect.signature(net.type).parameters:
        net.width = min(WIDTH, net.get("width", 1.0))


def _residual(net: Any) -> bool:
    return "zero_last_gamma" in inspect.signature(net.type).parameters and net.get("shortcut", "B") is not None


def _small_steps(node: Any, images: int) -> None:
    """Shorten every schedule in a section, at any depth, to `STEPS` steps with the first milestone at `MILESTONE`."""
    if not isinstance(node, dict):
        return
    if "images" in node:
        node["images"] = images
    if "steps" in node:
        node["steps"] = STEPS
        if "reference_images" in node:
            node["reference_images"] = None
    if node.get("milestones"):
        node["milestones"] = tuple(range(MILESTONE, STEPS))[: len(node["milestones"])]
    if node.get("warmup"):
        node["warmup"] = 1
    for value in node.values():
        _small_steps(value, images)
