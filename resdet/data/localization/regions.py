"""Batches for the R-CNN stage (App. C): warped crops of cached proposals, drawn over ALL training images (RoI-centric).

    sampler = RegionSampler(train, cache, 256, run.seed, model.settings, start=loop.step)
    loop(region_loader(train, sampler, workers=2))            # RegionBatch, the input of LocalizationRCNN; endless

A draw is a function of (seed, step, slot) alone: a resumed run continues with the same draws, and processes and
accumulated passes are parts of one step.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from resdet.boxes.coding import encode
from resdet.boxes.geometry import gather_boxes
from resdet.boxes.region_sampling import ChosenRegions, RegionPools, label_regions, sample_regions
from resdet.boxes.targets import NEGATIVE, POSITIVE
from resdet.data.loading import make_loader
from resdet.data.localization.crops import MEAN_COLOUR, warped_crop
from resdet.data.localization.dataset import LocalizationDataset, LocalizedImage
from resdet.data.sampling import Draw, StepShare
from resdet.data.unreadable import UnreadableImages
from resdet.draws import draw_seeds, random_keys
from resdet.errors import UserError
from resdet.structures import RegionBatch

FLIP_STREAM = 5  # of random_keys (resdet/draws.py): which regions are mirrored
LABELLED = 1000  # images whose proposals are labelled at once; limits the memory of the IoU matrices


@dataclass(frozen=True)
class ProposalCache:
    """R proposals for each of I images, by descending score; read by recipes/localization/proposal_files.py."""

    boxes: Tensor  # float32 [I, R, 4], in pixels of the image files; zero in padding
    scores: Tensor  # float32 [I, R], probabilities
    valid: Tensor  # bool [I, R], False in padding
    sizes: Tensor  # int64 [I, 2], (height, width) of each image file; 0 where it could not be read


class RegionSettings(Protocol):
    """Settings of the regions and their crops: those fields of RCNNSettings (localization/rcnn.py)."""

    @property
    def size(self) -> int:
        """Side of the crops in pixels."""
        ...

    @property
    def context(self) -> float:
        """Pixels of image context around the region, in a 224-pixel crop."""
        ...

    @property
    def positive_iou(self) -> float:
        """IoU with an object from which a region is positive."""
        ...

    @property
    def positive_fraction(self) -> float:
        """Fraction of positives in a batch."""
        ...

    @property
    def delta_weights(self) -> tuple[float, float, float, float]:
        """Factors of the regression targets (dx, dy, dw, dh)."""
        ...


@dataclass(frozen=True)
class RegionDraw(Draw):
    """One region of one step: `index` is its image, `epoch` the step, `seed` keys the random draws for its crop."""

    box: tuple[float, ...]  # x1, y1, x2, y2 in pixels of the file
    target: tuple[float, ...]  # deltas to its object, mirrored if `flip`; undefined if not positive
    positive: bool
    valid: bool  # False where all images together have no region of the wanted kind
    flip: bool


class RegionSampler:
    """Endless lists of draws, one list per pass; `share.accumulate` lists make a step.

    Args:
        dataset: the training images, in the order of the proposals.
        proposals: boxes of every image.
        regions: regions per step, over all processes and accumulated passes.
        seed: of the run.
        settings: the R-CNN stage's.
        share: this process's part of a step.
        start: the first step, for resuming.

    Raises:
        UserError: no proposal is positive; `regions` is not divisible by passes x processes; the proposals are of
            another number of images.
    """

    def __init__(
        self,
        dataset: LocalizationDataset,
        proposals: ProposalCache,
        regions: int,
        seed: int,
        settings: RegionSettings,
        share: StepShare | None = None,
        start: int = 0,
    ) -> None:
        self.settings, self.share = settings, share or StepShare()
        if regions % (self.share.accumulate * self.share.world):
            parts = f"{self.share.accumulate * self.share.world} passes (loop.accumulate x processes)"
            raise UserError(f"{regions} regions per step cannot be shared evenly by {parts}")
        if len(dataset) != len(proposals.boxes):
            raise UserError(
                f"proposals of {len(proposals.boxes)} images for a data set of {len(dataset)}: "
                "use the proposals made for this data set"
            )
        self.dataset, self.proposals = dataset, proposals
        self.regions, self.seed, self.start = regions, seed, start
        self.pools = RegionPools(_label_proposals(dataset, proposals, self.settings.positive_iou))
        if not self.pools.count(POSITIVE):
            raise UserError(
                f"of {self.pools.count(NEGATIVE)} proposals none has an IoU of {self.settings.positive_iou:g} with an "
                "object, there is nothing to learn; train the per-class RPN longer, or check its localization error"
            )

    def __iter__(self) -> Iterator[list[RegionDraw]]:
        share = self.share
        count = self.regions // (share.accumulate * share.world)
        for step in itertools.count(self.start):
            draws = self.step(step)
            for number in range(share.accumulate):
                first = (number * share.world + share.rank) * count
                yield draws[first : first + count]

    def step(self, step: int) -> list[RegionDraw]:
        """All regions of a step, over all processes and passes."""
        seeds = draw_seeds(self.seed, step, torch.arange(self.regions))
        chosen = sample_regions(self.pools, seeds, self.settings.positive_fraction)
        boxes = self.proposals.boxes[chosen.image, chosen.region]  # [B, 4]
        flip = random_keys(seeds, 1, FLIP_STREAM).squeeze(1) < 0.5
        targets = _mirror_deltas(self._targets(chosen, boxes), flip)
        columns = (chosen.image, seeds, boxes, targets, chosen.positive, chosen.valid, flip)
        return [
            RegionDraw(image, step, key, tuple(box), tuple(target), *flags)
            for image, key, box, target, *flags in zip(*(column.tolist() for column in columns), strict=True)
        ]

    def _targets(self, chosen: ChosenRegions, regions: Tensor) -> Tensor:
        """Deltas [B, 4] from each region to the object it overlaps most."""
        boxes, mask = _true_boxes(self.dataset, chosen.image, self.proposals.sizes[chosen.image])
        every = torch.ones(len(regions), 1, dtype=torch.bool)
        objects = label_regions(regions[:, None], every, boxes, mask, self.settings.positive_iou).gt_index  # [B, 1]
        learned = gather_boxes(boxes, objects).squeeze(1)
        return encode(learned, regions, self.settings.delta_weights)


def region_loader(
    dataset: LocalizationDataset,
    sampler: RegionSampler,
    workers: int = 2,
    pin: bool = False,
    skip_unreadable: bool = False,
) -> DataLoader[Any]:
    """Endless training batches (`RegionBatch`) in the sampler's order, whatever the number of workers.

    Args:
        dataset: the sampler's.
        sampler: the regions of each pass.
        workers, pin: see data/loading.make_loader.
        skip_unreadable: make the slots of an image that cannot be read invalid, with a warning (data/unreadable.py).
            Such an image became unreadable after its proposals were made; without proposals it is never drawn.
    """
    crops = _RegionItems(dataset, sampler.settings.size, sampler.settings.context, skip_unreadable)
    return make_loader(crops, cast(Iterable[list[Draw]], sampler), collate_regions, workers, pin)


def _label_proposals(dataset: LocalizationDataset, proposals: ProposalCache, positive_iou: float) -> Tensor:
    """int8 [I, R]: 1 positive, 0 negative, -1 ignored. No image is read."""
    labels = []
    for first in range(0, len(dataset), LABELLED):
        images = torch.arange(first, min(first + LABELLED, len(dataset)))
        part = slice(first, first + len(images))
        boxes, mask = _true_boxes(dataset, images, proposals.sizes[part])
        found = label_regions(proposals.boxes[part], proposals.valid[part], boxes, mask, positive_iou)
        labels.append(found.labels)
    return torch.cat(labels)


def _true_boxes(dataset: LocalizationDataset, images: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes [N, G, 4] that training uses (LocalizationDataset.boxes_in) and their mask, bool [N, G].

    Args:
        dataset: holds the boxes.
        images: indices, int64 [N].
        sizes: (height, width) of their files, int64 [N, 2].
    """
    found = []
    for index, (height, width) in zip(images.tolist(), sizes.tolist(), strict=True):
        found.append(dataset.boxes_in(index, (height, width)))
    slots = max(1, *map(len, found)) if found else 1
    padded, mask = torch.zeros(len(found), slots, 4), torch.zeros(len(found), slots, dtype=torch.bool)
    for i, boxes in enumerate(found):
        padded[i, : len(boxes)], mask[i, : len(boxes)] = torch.from_numpy(boxes), True
    return padded, mask


def _mirror_deltas(deltas: Tensor, flip: Tensor) -> Tensor:
    """Negate the x shift of deltas [B, 4] where `flip`, bool [B], is true: the object is on the other side there."""
    return torch.where(flip[:, None], deltas * torch.tensor([-1.0, 1, 1, 1]), deltas)


@dataclass
class _Crop:
    image: np.ndarray  # uint8 [S, S, 3]
    label: int
    draw: RegionDraw
    image_id: str


class _RegionItems(Dataset[_Crop]):
    """Warped crops, indexed by region draw."""

    def __init__(self, images: LocalizationDataset, size: int, context: float, skip_unreadable: bool) -> None:
        self.images, self.size, self.context = images, size, context
        self.unreadable = UnreadableImages(skip_unreadable, "its regions are left out")

    def __getitems__(self, draws: Sequence[RegionDraw]) -> list[_Crop]:
        """A whole batch, so that an image with several regions in it is decoded once."""
        crops: dict[int, _Crop] = {}
        places = sorted(range(len(draws)), key=lambda place: draws[place].index)
        for index, group in itertools.groupby(places, key=lambda place: draws[place].index):
            own = list(group)
            needed = any(draws[place].valid for place in own)
            item = self.unreadable.read(self.images, index) if needed else None
            crops |= {place: self._crop(item, draws[place]) for place in own}
        return [crops[place] for place in range(len(draws))]

    def _crop(self, item: LocalizedImage | None, draw: RegionDraw) -> _Crop:
        label, image_id = int(self.images.labels[draw.index]), self.images.image_id(draw.index)
        if item is None or not draw.valid:
            blank = np.full((self.size, self.size, 3), MEAN_COLOUR, np.uint8)
            return _Crop(blank, label, replace(draw, valid=False), image_id)
        decoded = np.tile(np.array(item.image.shape[1::-1]) / item.size[::-1], 2)  # may be smaller than the file
        crop = warped_crop(item.image, np.array(draw.box) * decoded, self.size, self.context)
        return _Crop(crop[:, ::-1] if draw.flip else crop, label, draw, image_id)

    def __getitem__(self, draw: RegionDraw) -> _Crop:
        return self.__getitems__([draw])[0]

    def __len__(self) -> int:
        return len(self.images)


def collate_regions(crops: Sequence[_Crop]) -> RegionBatch:
    """Make a batch of crops of one size."""
    draws = [crop.draw for crop in crops]
    return RegionBatch(
        images=torch.from_numpy(np.stack([crop.image for crop in crops])).permute(0, 3, 1, 2),
        labels=torch.tensor([crop.label for crop in crops]),
        positive=torch.tensor([draw.positive for draw in draws]),
        targets=torch.tensor([draw.target for draw in draws]),
        valid=torch.tensor([draw.valid for draw in draws]),
        seeds=torch.tensor([draw.seed for draw in draws]),
        image_ids=[crop.image_id for crop in crops],
    )
