"""BN statistics over the training set, at the end of a training or on any classifier's checkpoint (App. A).

    PreciseBN(images=25_000).compute(classifier, data, run)

In a config: ``precise_bn = dict(images=25_000)``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from resdet.classification.classifier import Classifier
from resdet.data.settings import Data
from resdet.engine.distributed import add_up, get_rank, get_world_size
from resdet.engine.precision import precision_context
from resdet.engine.run import Run
from resdet.nets.precise_bn import compute_statistics, compute_statistics_by_layer


@dataclass(frozen=True)
class PreciseBN:
    """How the statistics are computed.

    Args:
        images: of the training set, at most; 0 keeps training's running averages.
        by_layer: one pass for each layer instead of one for all: exact (nets/precise_bn.py).
    """

    images: int = 0
    by_layer: bool = False

    def compute(self, model: Classifier, data: Data, run: Run) -> int:
        """Set the statistics, over all processes. Returns how many images were used."""
        assert data.train is not None
        count = min(self.images, len(data.train))
        order = np.random.default_rng(run.seed).permutation(len(data.train))[:count]  # every batch of all classes
        batches = [order[i : i + data.images] for i in range(0, count, data.images)]
        own = np.concatenate([order[:0], *batches[get_rank() :: get_world_size()]])

        def read() -> Iterator[Tensor]:
            for batch in data.statistics(own, run.device):
                yield model.net.preprocess(batch.images.to(run.device))

        with precision_context(run.precision, run.device):
            if self.by_layer:
                compute_statistics_by_layer(model.net, read, count, add_up)
            else:
                compute_statistics(model.net, read(), count, add_up)
        return count
