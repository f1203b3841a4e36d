"""What composes (App. B): anything with the four functions. See docs/ARCHITECTURE.md, "Four functions".

FasterRCNN is one; MultiScale, Flipped and Ensemble are made of others. Features and vectors are whatever the same
object's other functions understand: a map, a list of maps, a list of those.
"""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor

from resdet.boxes.proposals import Proposals


class FourFunctions(Protocol):
    """N images, R regions, K classes; boxes and regions in each image's own pixels."""

    def trunk(self, views: Any) -> Any:
        """Batch or Pyramid -> features."""
        ...

    def propose(self, features: Any) -> Proposals:
        """Regions [N, R, 4]."""
        ...

    def embed(self, features: Any, regions: Tensor) -> Any:
        """What the siblings read of regions [N, R, 4]."""
        ...

    def predict(self, vectors: Any, regions: Tensor, image_sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Class probabilities [N, R, K+1] and boxes [N, R, K, 4]."""
        ...
