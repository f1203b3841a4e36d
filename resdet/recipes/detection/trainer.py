"""Joint training of Faster R-CNN; and data, model, training loop and test, which alternating training uses too.

evaluation = train_jointly(load_config("configs/voc07_r50.py"), run)
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import cast

from torch import nn

from resdet.data.detection.annotations import DetectionDataset
from resdet.data.detection.loading import detection_loader
from resdet.data.detection.settings import DetectionData
from resdet.data.detection.splitting import subset
from resdet.data.detection.usable import require_learnable
from resdet.data.sampling import TrainSampler, aspect_groups, spread_evenly
from resdet.data.transforms import build_augmentation
from resdet.detection.context import with_context_columns
from resdet.detection.faster_rcnn import FasterRCNN
from resdet.detection.inference import Inference, InferenceSettings
from resdet.engine.config import Config, build, build_call, require
from resdet.engine.distributed import gather_objects, get_rank, get_world_size, images_per_pass, is_main_process
from resdet.engine.loop import TrainLoop, Validate
from resdet.engine.loop_settings import LoopSettings
from resdet.engine.run import Run, same_classes
from resdet.engine.training import Plan, begin, metadata_of
from resdet.engine.trial import Trial
from resdet.errors import UserError
from resdet.metrics.flat import FlatDetections
from resdet.recipes.automatic import AS_CONFIGURED, Automatic, FoundValues, find_values
from resdet.recipes.detection.inference import detect_all
from resdet.recipes.detection.largest_batch import largest_batch
from resdet.recipes.detection.page import write_detector_page
from resdet.recipes.detection.score import Evaluation, logged_names, print_evaluation, score
from resdet.structures import Batch
from resdet.weights.load import load_weights
from resdet.weights.read import read_weights
from resdet.weights.weights import Weights

logger = logging.getLogger("resdet")


def train_jointly(cfg: Config, run: Run, automatic: Automatic = AS_CONFIGURED) -> Evaluation:
    """Train all parts at once (approximate joint training, Ren et al. 2015, Sect. 3.2), evaluate, write the page.

    Args:
        cfg: a detector's config.
        run: folder, device, precision and seed; checkpoints, log and page are written to its folder.
        automatic: values of the config that are found first.

    Returns:
        The last evaluation on the test set.

    Raises:
        UserError: a key is missing, the config does not fit the data, the checkpoint to resume does not fit, or a value
            was not found.
    """
    require(cfg, "a detector", "schedule")
    job = DetectorTraining(cfg, run)
    job.find_values(automatic)
    trained = job.train(job.new_model(), job.plan(job.cfg), run, job.load_pretrained, job.validate)
    return job.finish(trained, [("Training", run)])


class DetectorTraining:
    """The data and settings of a config, and the results of the last test.

    Attributes:
        data, settings, testing: the config's sections `data`, `loop` and `testing`.
        results: evaluation and detections of the last test; None before the first.

    Raises:
        UserError: the config lacks a section, `loop.best` or the schedule names no figure of the validation, or
            training and test set have different classes.
    """

    def __init__(self, cfg: Config, run: Run) -> None:
        require(cfg, "a detector", "model", "data.train", "data.test", "optimizer", "loop")
        self.cfg, self.run, self.found = cfg, run, FoundValues(cfg)
        self.data = build_call(DetectionData, cfg.data)
        self.settings = build_call(LoopSettings, cfg.loop)
        schedule = build(cfg.schedule) if "schedule" in cfg else None  # of four steps each has its own
        self.settings.check_figures(logged_names(self.data.method), schedule)
        self.testing = build_call(InferenceSettings, cfg.get("testing", {}))
        self.train_set = cast(DetectionDataset, self.data.train)
        require_learnable(self.train_set.table, "data.train")
        same_classes(self.train_set.classes, self.data.test.classes, "data.train and data.test")
        self.results: tuple[Evaluation, FlatDetections] | None = None

    def find_values(self, automatic: Automatic) -> None:
        """Find values of the config, before the training begins.

        Raises:
            UserError: a value was not found.
        """
        self.found = find_values(self.cfg, self.run, automatic, self._trial)
        self.cfg = self.found.cfg
        self.data = replace(self.data, images=self.cfg.data.images)

    def plan(self, cfg: Config) -> Plan:
        """How a config with `schedule` trains."""
        return Plan(cfg.data.images, cfg.optimizer, build(cfg.schedule), self.settings)

    def new_model(self) -> FasterRCNN:
        """The config's detector with random weights, on the CPU.

        Raises:
            UserError: its number of classes is not that of the data.
        """
        return build_detector(self.cfg, self.train_set.classes)

    def load_pretrained(self, model: FasterRCNN) -> None:
        """Load the weights of --init-from into the model.

        From a classifier, the RPN and the two output layers (`model.head`) keep their random initialization; from a
        detector of other classes, the output layers do.
        """
        if not self.run.init_from:
            if "init_from" not in self.cfg:  # a dry run sets it to None
                logger.warning("no --init-from: with BN frozen, a trunk of random weights hardly learns")
            return
        weights = _without_other_classes(read_weights(self.run.init_from), self.train_set.classes)
        columns = model.head.scores.in_features
        if model.head.settings.context and weights.is_detector:
            weights = replace(weights, state=with_context_columns(weights.state, columns))
        logger.info("%s", load_weights(model, weights, allow_missing=("rpn.", "head.")))

    def train(
        self,
        model: FasterRCNN,
        plan: Plan,
        run: Run,
        initialize: Callable[[FasterRCNN], None] | None = None,
        validate: Validate | None = None,
    ) -> FasterRCNN:
        """Train `model` in `run.work_dir`, from its last checkpoint if the run is resumed.

        Args:
            model: only its parameters that require a gradient are trained.
            plan: images per step, optimizer, schedule.
            run: of this training; in four-step training each of the four has its own, in a folder below the whole
                run's.
            initialize: loads pretrained weights; called if nothing is resumed.
            validate: model -> figures for the log, by name.

        Returns:
            The model to keep: the moving average of the weights if the config asks for one.
        """
        metadata = metadata_of(self.cfg, self.train_set.classes, model.stride_on, self.train_set.table.ids.tolist())
        loop: TrainLoop[FasterRCNN] = begin(model, plan, run, metadata, initialize)
        self.found.write(run)
        return loop.train(self.batches(plan.images, loop.passes), validate, model.net, dynamic=True)

    def _trial(self, cfg: Config) -> Trial[FasterRCNN]:
        def new_model() -> FasterRCNN:
            model = self.new_model()
            self.load_pretrained(model)
            return model

        largest = partial(largest_batch, self.train_set.table, self.data.train_resizers)
        return Trial(new_model, self.plan(cfg), partial(self.batches, passes=0), largest, len(self.train_set))

    def validate(self, model: nn.Module, images: int = 0) -> dict[str, float]:
        """Detect in the test set and compute the AP by the config's rule.

        The main process scores; all processes get the result.

        Args:
            model: the detector.
            images: number of test images, evenly spaced; 0: the whole set, whose results are kept.

        Returns:
            Figures for the log by name, "val/mAP50" first, in 0..1.
        """
        data = self.data
        test = subset(data.test, spread_evenly(len(data.test), images)) if images else data.test
        inference = Inference([cast(FasterRCNN, model)], self.testing, data.resizer.short)
        detections = detect_all(inference, test, data.resizer, self.run, data.test_images, data.workers)
        own = [score(detections, test, data.method)] if is_main_process() else []
        evaluation: Evaluation = gather_objects(own)[0]
        if not images:
            self.results = evaluation, detections
        return evaluation.logged

    def finish(self, model: FasterRCNN, curves: Sequence[tuple[str, Run]]) -> Evaluation:
        """Print the last evaluation and write the page of the run.

        Args:
            model: the trained detector; it is tested first if it was not, as after a resume at the last step.
            curves: titles and runs of the trainings whose losses are plotted.

        Returns:
            The evaluation.
        """
        if self.results is None:
            self.validate(model)
        assert self.results is not None
        evaluation, detections = self.results
        if is_main_process():
            print_evaluation(evaluation, self.data.test, detections)
            folders = [(name, run.work_dir) for name, run in curves]
            write_detector_page(model, self.cfg, self.run, self.data, evaluation, detections, folders)
        return evaluation

    def batches(self, images: int, passes: int) -> Iterable[Batch]:
        """Endless batches of training images for this process.

        Args:
            images: images per optimizer step, over all processes and accumulated passes.
            passes: forward passes already done, in the run that is resumed.
        """
        accumulate, data = self.settings.accumulate, self.data
        sampler = TrainSampler(
            len(self.train_set), images_per_pass(images, accumulate), self.run.seed,
            aspect_groups(self.train_set.table.aspect_ratios()) if data.group_aspects else None,
            get_rank(), get_world_size(), start=passes,
        )  # fmt: skip
        pin = self.run.device.type == "cuda"
        augmentation = build_augmentation(data.augment)
        return detection_loader(
            self.train_set, data.train_resizers, sampler, augmentation, data.workers, pin, data.skip_unreadable
        )


def build_detector(cfg: Config, classes: Sequence[str]) -> FasterRCNN:
    """Build the config's detector, with random weights.

    Args:
        cfg: its section `model`.
        classes: names of the data's classes.

    Raises:
        UserError: `model.num_classes` is not their number.
    """
    model: FasterRCNN = build(cfg.model)
    if model.num_classes != len(classes):
        raise UserError(
            f"model.num_classes is {model.num_classes} but the data have {len(classes)} classes "
            f"({', '.join(classes[:5])} ...): set model.num_classes={len(classes)}"
        )
    return model


def _without_other_classes(weights: Weights, classes: Sequence[str]) -> Weights:
    """Drop the weights of the head's output layers if the file is of a detector of other classes."""
    if weights.is_detector and not weights.classes:
        logger.warning("%s does not name its classes: its head is used if it has as many", weights.source)
    if not weights.is_detector or not weights.classes or weights.classes == tuple(classes):
        return weights
    logger.info("%s detects other classes: the head's output layers start from random weights", weights.source)
    return replace(weights, state={name: t for name, t in weights.state.items() if not name.startswith("head.")})
