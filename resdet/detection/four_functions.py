"""The interface shared by FasterRCNN, MultiScale, Flipped and Ensemble.

Appendix B's improvements wrap detectors in an object with the same four functions, so that they combine freely; the
whole path is in detection/inference.py.
"""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor

from resdet.boxes.proposals import Proposals


class FourFunctions(Protocol):
    """A detector as four functions. Features and vectors can be passed only to the object that returned them.

    N images, R regions per image, K classes. Regions and boxes are in the pixels of the original images.
    """

    def trunk(self, batch: Any) -> Any:
        """Features of a Batch, or of a Pyramid where the object works at several scales."""
        ...

    def propose(self, features: Any) -> Proposals:
        """Proposals [N, R, 4]."""
        ...

    def embed(self, features: Any, regions: Tensor) -> Any:
        """Vectors of regions [N, R, 4], the input of the classification and box regression layers."""
        ...

    def predict(self, vectors: Any, regions: Tensor, image_sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Class probabilities [N, R, K+1], background last, and one box per class [N, R, K, 4], clipped to the images.

        `image_sizes` int64 [N, 2] is (height, width).
        """
        ...
