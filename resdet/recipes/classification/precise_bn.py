"""BN statistics over the training set (App. A), at the end of a training or for any classifier's checkpoint.

    compute_precise_bn(PreciseBN(images=25_000), classifier, data, run)

In a config: ``precise_bn = dict(images=25_000)``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch import Tensor, nn

from resdet.classification.classifier import Classifier
from resdet.data.classification.settings import Data
from resdet.engine.distributed import add_up, get_rank, get_world_size
from resdet.engine.precision import precision_context
from resdet.engine.run import Run
from resdet.errors import UserError
from resdet.nets.precise_bn import PreciseBN, compute_statistics, compute_statistics_by_layer


def compute_precise_bn(settings: PreciseBN, model: Classifier, data: Data, run: Run) -> int:
    """Set the net's BN statistics to those of training images in the test view, in place, over all processes.

    Args:
        settings: number of images and method.
        model: on the run's device.
        data: the training set.
        run: device, precision, and the seed by which images are drawn.

    Returns:
        The number of images used.

    Raises:
        UserError: the net has no BN, or there are fewer batches than processes.
    """
    assert data.train is not None
    if not any(isinstance(layer, nn.BatchNorm2d) for layer in model.modules()):
        raise UserError("this net has no BN to compute statistics of; set precise_bn.images=0")
    count = min(settings.images, len(data.train))
    count -= data.images > 1 and count % data.images == 1
    order = np.random.default_rng(run.seed).permutation(len(data.train))[
        :count
    ]  # so that every batch has images of all classes
    batches = [order[i : i + data.images] for i in range(0, count, data.images)]
    if len(batches) < get_world_size():
        raise UserError(f"{count} images are {len(batches)} batches: too few for {get_world_size()} processes")
    own = np.concatenate([order[:0], *batches[get_rank() :: get_world_size()]])

    def read() -> Iterator[Tensor]:
        for batch in data.statistics(own, run.device):
            yield model.net.preprocess(batch.images.to(run.device))

    with precision_context(run.precision, run.device):
        if settings.by_layer:
            compute_statistics_by_layer(model.net, read, count, add_up)
        else:
            compute_statistics(model.net, read(), count, add_up)
    return count
