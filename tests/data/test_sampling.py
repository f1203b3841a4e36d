"""Which images make a training step: epochs, groups by aspect, processes, resuming."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from helpers.samples import indices
from resdet.data.sampling import TrainSampler, aspect_groups, image_seeds


def test_an_epoch_has_every_image_once_up_to_the_remainder() -> None:
    sampler = TrainSampler(23, images=4, seed=0)
    first, second = indices(sampler, 10)[:5], indices(sampler, 10)[5:]
    for epoch in (first, second):
        flat = [index for step in epoch for index in step]
        assert len(flat) == len(set(flat)) == 20
        assert set(flat) <= set(range(23))
    assert first != second


@pytest.mark.parametrize("world", [2, 3, 6])
def test_the_shares_of_all_processes_make_up_the_step_of_one_process(world: int) -> None:
    alone = list(islice(TrainSampler(50, images=6, seed=3), 20))
    shares = [list(islice(TrainSampler(50, images=6, seed=3, rank=r, world=world), 20)) for r in range(world)]
    for step, whole in enumerate(alone):
        parts = [shares[r][step] for r in range(world)]
        assert {len(part) for part in parts} == {6 // world}
        assert sorted((d for p in parts for d in p), key=str) == sorted(whole, key=str)  # seeds and epochs too


@pytest.mark.parametrize("start", [1, 5, 7, 16])
def test_a_resumed_sampler_continues_where_it_stopped(start: int) -> None:
    groups = np.arange(23) % 2
    whole = list(islice(TrainSampler(23, images=4, seed=0, groups=groups), 24))
    resumed = islice(TrainSampler(23, images=4, seed=0, groups=groups, start=start), 24 - start)
    assert list(resumed) == whole[start:]


def test_a_step_takes_its_images_from_one_group_and_only_leftovers_are_mixed() -> None:
    ratios = np.array([1.5] * 13 + [0.7] * 10)
    groups = aspect_groups(ratios)
    assert groups.tolist() == [0] * 13 + [1] * 10
    epoch = TrainSampler(23, images=4, seed=1, groups=groups).epoch_steps(0)
    assert epoch.shape == (5, 4)
    assert len(np.unique(epoch)) == 20
    mixed = [len(set(groups[step])) == 2 for step in epoch]
    assert sum(mixed) <= 1  # 13 = 3 x 4 + 1 and 10 = 2 x 4 + 2: the three left over do not fill a step
    assert sum(groups[step].sum() == 4 for step in epoch) == 2


@pytest.mark.parametrize(("seed", "epoch"), [(0, 0), (7, 90), (2**32 - 1, 1), (2**32, 2), (2**63, 3), (2**130, 4)])
def test_the_seeds_of_images_are_those_of_numpys_seed_sequences(seed: int, epoch: int) -> None:
    """A run's figures depend on them: they are the same in all versions."""
    order = np.array([[0, 1, 5], [1_281_166, 2**31, 2**32 - 1]])
    expected = [[int(np.random.SeedSequence([seed, epoch, i]).generate_state(1, np.uint64)[0] >> np.uint64(1))
                 for i in row] for row in order.tolist()]  # fmt: skip
    assert image_seeds(seed, epoch, order).tolist() == expected


def test_square_images_count_as_landscape() -> None:
    assert aspect_groups(np.array([1.0, 0.999, 1.001])).tolist() == [0, 1, 0]


def test_the_seed_changes_order_and_augmentation() -> None:
    a, b = (list(islice(TrainSampler(50, images=5, seed=s), 10)) for s in (0, 1))
    assert [[d.index for d in batch] for batch in a] != [[d.index for d in batch] for batch in b]
    seed_of = [{d.index: d.seed for batch in plan for d in batch} for plan in (a, b)]
    assert all(seed_of[0][i] != seed_of[1][i] for i in range(50))


def test_the_augmentation_of_an_image_differs_between_epochs() -> None:
    draws = [d for batch in islice(TrainSampler(6, images=3, seed=0), 8) for d in batch]
    assert len({d.seed for d in draws}) == 24
    assert [d.epoch for d in draws] == [0] * 6 + [1] * 6 + [2] * 6 + [3] * 6


def test_a_dataset_smaller_than_a_step_is_repeated_to_fill_it() -> None:
    (step,) = indices(TrainSampler(3, images=7, seed=0), 1)
    assert len(step) == 7
    assert set(step) == {0, 1, 2}


def test_images_that_processes_cannot_share_evenly_are_refused() -> None:
    with pytest.raises(ValueError, match=r"5 images .* 2 processes"):
        TrainSampler(50, images=5, seed=0, world=2)
