"""RoI-centric batches (App. C): warped crops of the cached proposals, drawn over ALL training images.

    sampler = RegionSampler(train, cache, 256, run.seed, model.settings, start=loop.step)
    loop(region_loader(train, sampler, workers=2))            # endless; RegionBatch, what LocalizationRCNN takes

A draw is a function of (seed, step, slot): a run goes on at any step with the same bits, and several processes or
accumulated passes are shares of one step.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from resdet.boxes.coding import encode
from resdet.boxes.targets import NEGATIVE, POSITIVE
from resdet.data.loading import make_loader
from resdet.data.localization.crops import MEAN_COLOUR, warped_crop
from resdet.data.localization.dataset import LocalizationDataset, LocalizedImage
from resdet.data.sampling import Draw
from resdet.draws import draw_seeds, random_keys
from resdet.errors import UserError
from resdet.localization.rcnn import RCNNSettings, RegionBatch
from resdet.localization.regions import ChosenRegions, RegionPools, label_regions, sample_regions

FLIP_STREAM = 5  # of random_keys: which regions are mirrored
LABELLED = 1000  # images whose regions are labelled at once

logger = logging.getLogger("resdet")


class Proposals(Protocol):
    """What recipes/localization/rcnn_proposals.ProposalCache is, or tensors of one's own."""

    @property
    def boxes(self) -> Tensor:
        """float32 [I, R, 4], in pixels of the files."""
        ...

    @property
    def valid(self) -> Tensor:
        """Bool [I, R]."""
        ...

    @property
    def sizes(self) -> Tensor:
        """int64 [I, 2], the (height, width) of each file."""
        ...


@dataclass(frozen=True)
class RegionDraw(Draw):
    """One region of one step: `index` is its image, `epoch` the step, `seed` keys what happens to the crop."""

    box: tuple[float, ...]  # in pixels of the file
    target: tuple[float, ...]  # the deltas to its object, of the crop as it is given: mirrored where `flip`
    positive: bool
    valid: bool
    flip: bool


class RegionSampler:
    """Endless lists of draws, a list for each pass of a step.

    Args:
        dataset: the images that were proposed for, in that order.
        proposals: the cache.
        regions: a step, over all processes and accumulated passes.
        seed: of the run.
        settings: the R-CNN's, for what is positive, how many of them, and the deltas.
        accumulate: passes of a step.
        rank, world: this process takes regions/world of every pass.
        start: the first step, for resuming.

    Raises:
        UserError: no proposal is positive; regions cannot be shared evenly; proposals of other images.
    """

    def __init__(
        self,
        dataset: LocalizationDataset,
        proposals: Proposals,
        regions: int,
        seed: int,
        settings: RCNNSettings | None = None,
        accumulate: int = 1,
        rank: int = 0,
        world: int = 1,
        start: int = 0,
    ) -> None:
        if regions % (accumulate * world):
            parts = f"{accumulate * world} passes (loop.accumulate x processes)"
            raise UserError(f"{regions} regions a step cannot be shared by {parts} evenly")
        if len(dataset) != len(proposals.boxes):
            raise UserError(f"proposals of {len(proposals.boxes)} images for a set of {len(dataset)}: give its own")
        self.settings, self.dataset, self.proposals = settings or RCNNSettings(), dataset, proposals
        self.regions, self.seed, self.start = regions, seed, start
        self.accumulate, self.rank, self.world = accumulate, rank, world
        self.pools = RegionPools(label_proposals(dataset, proposals, self.settings.positive_iou))
        if not self.pools.count(POSITIVE):
            raise UserError(
                f"of {self.pools.count(NEGATIVE)} proposals none has an IoU of {self.settings.positive_iou:g} with an "
                "object, there is nothing to learn; train the per-class RPN longer, or look at its error"
            )

    def __iter__(self) -> Iterator[list[RegionDraw]]:
        share = self.regions // (self.accumulate * self.world)
        for step in itertools.count(self.start):
            draws = self.step(step)
            for of_pass in range(self.accumulate):
                first = (of_pass * self.world + self.rank) * share
                yield draws[first : first + share]

    def step(self, step: int) -> list[RegionDraw]:
        """All regions of a step."""
        seeds = draw_seeds(self.seed, step, torch.arange(self.regions))
        chosen = sample_regions(self.pools, seeds, self.settings.positive_fraction)
        boxes = self.proposals.boxes[chosen.image, chosen.region]  # [B, 4]
        flip = random_keys(seeds, 1, FLIP_STREAM).squeeze(1) < 0.5
        targets = mirror_deltas(self._targets(chosen, boxes), flip)
        columns = (chosen.image, seeds, boxes, targets, chosen.positive, chosen.valid, flip)
        return [
            RegionDraw(image, step, key, tuple(box), tuple(target), *flags)
            for image, key, box, target, *flags in zip(*(column.tolist() for column in columns), strict=True)
        ]

    def _targets(self, chosen: ChosenRegions, regions: Tensor) -> Tensor:
        """Deltas [B, 4] from each region to its object."""
        boxes, mask = true_boxes(self.dataset, chosen.image, self.proposals.sizes[chosen.image])
        every = torch.ones(len(regions), 1, dtype=torch.bool)
        objects = label_regions(regions[:, None], every, boxes, mask, self.settings.positive_iou).index  # [B, 1]
        learned = boxes.gather(1, objects[..., None].expand(-1, -1, 4)).squeeze(1)
        return encode(learned, regions, self.settings.delta_weights)


def region_loader(
    dataset: LocalizationDataset, sampler: RegionSampler, workers: int = 2, pin: bool = False, skip: bool = False
) -> DataLoader:
    """Endless batches for training, in the sampler's order whatever the number of workers.

    `skip` leaves the slots of an image that cannot be read without a region, with a warning: one that could be read
    when its proposals were made, or it would have none.
    """
    crops = _Crops(dataset, sampler.settings.size, sampler.settings.context, skip)
    return make_loader(crops, cast(Iterable[list[Draw]], sampler), collate_regions, workers, pin)


def label_proposals(dataset: LocalizationDataset, proposals: Proposals, positive_iou: float) -> Tensor:
    """int8 [I, R]: 1 positive, 0 negative, -1 ignored; no image is opened."""
    labels = []
    for images in torch.arange(len(dataset)).split(LABELLED):
        part = slice(int(images[0]), int(images[-1]) + 1)
        boxes, mask = true_boxes(dataset, images, proposals.sizes[part])
        found = label_regions(proposals.boxes[part], proposals.valid[part], boxes, mask, positive_iou)
        labels.append(found.labels)
    return torch.cat(labels)


def true_boxes(dataset: LocalizationDataset, images: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
    """The boxes that these images [N] are given (LocalizationDataset.boxes_in), [N, G, 4], and a mask.

    `sizes` int64 [N, 2] of the files.
    """
    found = []
    for index, (height, width) in zip(images.tolist(), sizes.tolist(), strict=True):
        found.append(dataset.boxes_in(index, (height, width)))
    slots = max(1, *map(len, found)) if found else 1
    padded, mask = torch.zeros(len(found), slots, 4), torch.zeros(len(found), slots, dtype=torch.bool)
    for i, boxes in enumerate(found):
        padded[i, : len(boxes)], mask[i, : len(boxes)] = torch.from_numpy(boxes), True
    return padded, mask


def mirror_deltas(deltas: Tensor, flip: Tensor) -> Tensor:
    """Deltas [B, 4] as they are in the mirror where `flip` bool [B]: the object lies on the other side."""
    return torch.where(flip[:, None], deltas * torch.tensor([-1.0, 1, 1, 1]), deltas)


@dataclass
class _Crop:
    image: np.ndarray  # uint8 [S, S, 3]
    label: int
    draw: RegionDraw
    image_id: str


class _Crops(Dataset):
    def __init__(self, images: LocalizationDataset, size: int, context: float, skip: bool) -> None:
        self.images, self.size, self.context, self.skip = images, size, context, skip

    def __getitems__(self, draws: Sequence[RegionDraw]) -> list[_Crop]:
        """A batch at once, so that an image with several regions in it is decoded once."""
        crops: dict[int, _Crop] = {}
        places = sorted(range(len(draws)), key=lambda place: draws[place].index)
        for index, group in itertools.groupby(places, key=lambda place: draws[place].index):
            own = list(group)
            item = self._read(index) if any(draws[place].valid for place in own) else None
            crops |= {place: self._crop(item, draws[place]) for place in own}
        return [crops[place] for place in range(len(draws))]

    def _read(self, index: int) -> LocalizedImage | None:
        try:
            return self.images[index]
        except UserError as error:
            if not self.skip:
                raise
            logger.warning("%s; its regions are passed over", error)
            return None

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
    """Crops of one size to one batch."""
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
