"""Train Faster R-CNN (Sect. 4.3, App. A), jointly or in four alternating steps; evaluate it, write its page.

train_detector(load_config("configs/voc07_r50.py"), run)
"""

from __future__ import annotations

from resdet.engine.config import Config, build, require
from resdet.engine.run import Run
from resdet.recipes.detection.alternating import train_alternating
from resdet.recipes.detection.score import Evaluation
from resdet.recipes.detection.trainer import DetectorTraining


def train_detector(cfg: Config, run: Run) -> Evaluation:
    """Train, evaluate on the test set, write the page. Returns the last evaluation.

    A config with a section `alternating` is trained in its four steps, any other by approximate joint training.
    """
    if cfg.get("alternating"):
        return train_alternating(cfg, run)
    require(cfg, "a detector", "schedule")
    job = DetectorTraining(cfg, run)
    trained = job.train(
        job.new_model(), run, job.data.images, cfg.optimizer, build(cfg.schedule), job.initialise, job.validate
    )
    return job.finish(trained, [("Training", run)])
