"""What the joint and the alternating training of a detector share: the data, a new model, one run of the loop.

job = DetectorTraining(cfg, run)
model = job.new_model()
trained = job.train(model, run, images=2, optimizer=cfg.optimizer, schedule=build(cfg.schedule), start=job.initialise)
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

from torch import nn

from resdet.data.detection.annotations import DetectionDataset
from resdet.data.loading import detection_loader
from resdet.data.sampling import TrainSampler, aspect_groups
from resdet.data.settings import DetectionData
from resdet.data.transforms import build_augmentation
from resdet.detection.context import with_context_columns
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.detection.inference import Tester, Testing
from resdet.engine.checkpoint import find_resume
from resdet.engine.compiled import compiled
from resdet.engine.config import Config, build, build_call, require
from resdet.engine.distributed import gather_objects, get_rank, get_world_size, is_main_process
from resdet.engine.loop import LoopSettings, TrainLoop, images_a_pass
from resdet.engine.optimizer import build_sgd
from resdet.engine.run import Run, make_folder, same_classes
from resdet.engine.schedule import Schedule
from resdet.errors import UserError
from resdet.metrics.voc_ap import FlatDetections
from resdet.recipes.detection.inference import detect_all
from resdet.recipes.detection.page import write_detector_page
from resdet.recipes.detection.score import Evaluation, print_evaluation, score
from resdet.weights.weights import Weights, load_weights, read_weights

Validate = Callable[[nn.Module], dict[str, float]]
logger = logging.getLogger("resdet")


class DetectorTraining:
    """A config's data and settings, and the last evaluation.

    Raises:
        UserError: the config lacks something, or its training and test sets have different classes.
    """

    def __init__(self, cfg: Config, run: Run) -> None:
        require(cfg, "a detector", "model", "data.train", "data.test", "optimizer", "loop")
        self.cfg, self.run = cfg, run
        self.data = build_call(DetectionData, cfg.data)
        self.settings = build_call(LoopSettings, cfg.loop)
        self.testing = build_call(Testing, cfg.get("testing", {}))
        self.train_set = cast(DetectionDataset, self.data.train)
        same_classes(self.train_set.classes, self.data.test.classes, "data.train and data.test")
        self.answer: tuple[Evaluation, FlatDetections] | None = None

    def new_model(self) -> FasterRCNN:
        """The config's detector, for the data's classes, on the run's device."""
        return build_detector(self.cfg, self.train_set.classes)

    def initialise(self, model: FasterRCNN) -> None:
        """Start from --init-from, the RPN and the head anew where the file does not have them or has other classes."""
        if not self.run.init_from:
            logger.warning("no --init-from: the trunk starts from random weights with BN frozen, which hardly trains")
            return
        weights = _without_other_classes(read_weights(self.run.init_from), self.train_set.classes)
        columns = model.head.scores.in_features
        if model.head.settings.context and weights.is_detector:
            weights = replace(weights, state=with_context_columns(weights.state, columns))
        logger.info("%s", load_weights(model, weights, allow_missing=("rpn.", "head.")))

    def train(
        self,
        model: FasterRCNN,
        run: Run,
        images: int,
        optimizer: dict[str, Any],
        schedule: Schedule,
        start: Callable[[FasterRCNN], None] | None = None,
        validate: Validate | None = None,
    ) -> FasterRCNN:
        """One run of the loop in `run.work_dir`, from where it was left if the run is resumed.

        Args:
            model: only its parameters that require a gradient are trained.
            run: this training's, for its folder.
            images: in one optimizer step, over all processes.
            optimizer: as in a config.
            schedule: of the rate, from the start.
            start: called with the model if nothing is resumed.
            validate: as the loop wants it.

        Returns:
            The model to keep.
        """
        make_folder(run.work_dir)
        state = find_resume(run.work_dir, run.resume)
        if state is None and start is not None:
            start(model)
        model.to(run.device)
        classes = list(self.train_set.classes)
        facts = {"config": self.cfg.pretty_text, "classes": classes, "stride_on": model.stride_on}
        sgd = build_call(build_sgd, optimizer, model=model, images=images)
        loop = TrainLoop(model, sgd, schedule, self.settings, run, facts)
        if state is not None:
            loop.resume(state)
        with compiled(model.net, run.compile, dynamic=True):
            return cast(FasterRCNN, loop(self.batches(images, loop.step), validate))

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Evaluate on the test set by the config's rule; one process counts for all. Returns figures for the log."""
        data = self.data
        tester = Tester([cast(FasterRCNN, model)], self.testing, data.resizer.short)
        detections = detect_all(tester, data.test, data.resizer, self.run, data.test_images, data.workers)
        own = [score(detections, data.test, data.method)] if is_main_process() else []
        self.answer = gather_objects(own)[0], detections
        return self.answer[0].logged

    def finish(self, model: FasterRCNN, curves: Sequence[tuple[str, Run]]) -> Evaluation:
        """Print the last evaluation and write the page. curves: names and runs whose losses are drawn."""
        if self.answer is None:  # resumed at the end
            self.validate(model)
        assert self.answer is not None
        evaluation, detections = self.answer
        if is_main_process():
            print_evaluation(evaluation, self.data.test, detections)
            folders = [(name, run.work_dir) for name, run in curves]
            write_detector_page(model, self.cfg, self.run, self.data, evaluation, detections, folders)
        return evaluation

    def batches(self, images: int, step: int) -> Any:
        """Endless, from this step on."""
        accumulate, data = self.settings.accumulate, self.data
        sampler = TrainSampler(
            len(self.train_set), images_a_pass(images, accumulate), self.run.seed,
            aspect_groups(self.train_set.table.aspect_ratios()) if data.group_aspects else None,
            get_rank(), get_world_size(), start=step * accumulate,
        )  # fmt: skip
        pin = self.run.device.type == "cuda"
        augmentation = build_augmentation(data.augment)
        return detection_loader(self.train_set, data.train_resizers, sampler, augmentation, data.workers, pin)


def build_detector(cfg: Config, classes: Sequence[str]) -> FasterRCNN:
    """The config's detector, for these classes.

    Raises:
        UserError: the head has another number of classes.
    """
    model: FasterRCNN = build(cfg.model)
    if model.num_classes != len(classes):
        raise UserError(
            f"model.num_classes is {model.num_classes} but the data have {len(classes)} classes "
            f"({', '.join(classes[:5])} ...): set model.num_classes={len(classes)}"
        )
    return model


def _without_other_classes(weights: Weights, classes: Sequence[str]) -> Weights:
    """A detector of other classes without its two siblings, whose outputs would mean other things."""
    if weights.is_detector and not weights.classes:
        logger.warning("%s does not name its classes: its head is kept if it has as many", weights.source)
    if not weights.is_detector or not weights.classes or weights.classes == tuple(classes):
        return weights
    logger.info("%s detects other classes: the head's siblings start anew", weights.source)
    return replace(weights, state={name: t for name, t in weights.state.items() if not name.startswith("head.")})
