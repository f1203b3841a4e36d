"""The values of a config's sections `alternating` and `rcnn`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from resdet.classification.inference import TestMode
from resdet.data.localization.settings import TestCrops
from resdet.engine.schedule import Schedule
from resdet.localization.rcnn import Combine, RCNNSettings
from resdet.nets.backbone import Backbone
from resdet.ranges import Count


@dataclass(frozen=True)
class Step:
    """Training of the RPN (steps 1 and 3) or of the Fast R-CNN head (2 and 4): `alternating.rpn`, `alternating.head`.

    Args:
        images: images per optimizer step, over all processes and accumulated passes.
        reference_images: images per step for which `optimizer.lr` is given; the rate is scaled by images /
            reference_images.
        schedule: number of steps, and the learning rate at each.
    """

    images: Count
    reference_images: Count
    schedule: Schedule


@dataclass(frozen=True)
class Alternating:
    """A config's section `alternating`: the four-step training in place of the joint one.

    Args:
        rpn: of the first and the third step.
        head: of the second and the fourth step.
    """

    rpn: Step
    head: Step


@dataclass(frozen=True)
class ProposalSettings:
    """Proposals for the R-CNN stage: a config's `rcnn.proposals`.

    Args:
        count: proposals per image in training, of its true class; at test, per predicted class.
        views: "1-crop" or "dense": how the RPN is run on training images. eval-loc uses --views instead.
        flip: use mirror images of training images too. eval-loc uses --flip instead, for the R-CNN's crops too.
    """

    count: Count = 200
    views: TestCrops = "dense"
    flip: bool = False


@dataclass(frozen=True)
class ClassifierSection:
    """A localizer's section `classifier`: the nets that predict the five classes to localize (`eval-loc --classifier`).

    Args:
        nets: the config and the weights of each classifier; the probabilities of several are averaged. Images are read
            as the first config says.
        views: how they are tested.
        scales: short sides of the dense test, for crops of 224; None: the first config's `data.scales`.
    """

    nets: Sequence[tuple[str, str]] = ()
    views: TestMode = "center"
    scales: Sequence[Count] | None = None


@dataclass(frozen=True)
class RCNNSection:
    """A config's section `rcnn`.

    Args:
        schedule: of this stage.
        images: regions per optimizer step, over all processes and accumulated passes.
        optimizer: keys that replace those of the config's `optimizer`.
        proposals: see ProposalSettings.
        combine: final score at test: "odds" (of both), "replace" (the R-CNN's), "product" or "keep" (the RPN's); see
            localization/rcnn.rescore. The default chose the best boxes (docs/RESULTS.md).
        net: of the R-CNN; None: like the localizer's.
        augment: of its crops, on the device.
        settings: of the R-CNN.
    """

    schedule: Schedule
    images: Count = 256
    optimizer: Mapping[str, Any] = field(default_factory=dict)
    proposals: ProposalSettings = field(default_factory=ProposalSettings)
    combine: Combine = "odds"
    net: Backbone | None = None
    augment: nn.Module | None = None
    settings: RCNNSettings = field(default_factory=RCNNSettings)
