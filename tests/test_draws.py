"""Random numbers as a function of their keys."""

from __future__ import annotations

import pytest
import torch

from resdet.draws import draw_seeds, random_keys


def test_keys_are_a_function_of_seed_stream_and_slot_alone() -> None:
    seeds = torch.tensor([0, 1, -(2**63), 2**63 - 1, 123456789])
    keys = random_keys(seeds, 100, stream=3)
    for n, seed in enumerate(seeds):
        assert torch.equal(random_keys(seed[None], 60, stream=3)[0], keys[n, :60])
    assert not (random_keys(seeds, 100, stream=4) == keys).any(dim=1).all()


def hash_in_python(seed: int, stream: int, slot: int) -> int:
    """The definition of the keys in Python integers; changing it would change the samples of a resumed run."""
    mask, golden = 2**64 - 1, 0x9E3779B97F4A7C15

    def mix(z: int) -> int:
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    assert mix(golden) == 0xE220A8397B1DCDAF  # the published first output of splitmix64 for the seed 0
    state = mix((mix((seed + golden) & mask) + (stream + 1) * 0xD1B54A32D192ED03) & mask)
    return mix((state + (slot + 1) * golden) & mask) >> 40


def test_keys_are_splitmix64() -> None:
    seeds = [0, 42, -7, 2**63 - 1, -(2**63)]
    for stream in (0, 1, 1000):
        keys = random_keys(torch.tensor(seeds), 5, stream)
        assert keys.dtype == torch.float32
        expected = [[hash_in_python(seed, stream, slot) for slot in range(5)] for seed in seeds]
        assert (keys.double() * 2**24).tolist() == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_keys_are_the_same_on_a_gpu() -> None:
    seeds = torch.tensor([0, -1, 2**62])
    assert torch.equal(random_keys(seeds.cuda(), 1000, 3).cpu(), random_keys(seeds, 1000, 3))


@pytest.mark.parametrize("consecutive", ["slots", "seeds", "streams"])
def test_keys_are_uniform_and_uncorrelated(consecutive: str) -> None:
    n = 1 << 16
    if consecutive == "slots":
        keys = random_keys(torch.tensor([5]), n, stream=0)[0]
    elif consecutive == "seeds":
        keys = random_keys(torch.arange(n), 1, stream=0)[:, 0]
    else:
        keys = torch.cat([random_keys(torch.tensor([5]), 1, stream=s)[0] for s in range(2048)])
        n = 2048
    assert keys.min() >= 0
    assert keys.max() < 1
    expected = n / 16
    chi_square = ((torch.histc(keys, 16, 0, 1) - expected) ** 2 / expected).sum()
    assert chi_square < 45  # 15 degrees of freedom: beyond 45 once in 10,000
    for lag in (1, 2, 7):
        correlation = torch.corrcoef(torch.stack([keys[:-lag], keys[lag:]]))[0, 1]
        assert correlation.abs() < 4.5 / n**0.5


def test_seeds_of_images_differ_by_run_epoch_and_image_and_by_nothing_else() -> None:
    images = torch.arange(1000)
    seeds = torch.cat([draw_seeds(run, epoch, images) for run in range(3) for epoch in range(3)])
    assert seeds.unique().numel() == 9000
    assert torch.equal(draw_seeds(1, 2, images[700:710]), draw_seeds(1, 2, images)[700:710])
    heads = random_keys(seeds, 1, stream=2)[:, 0] < 0.5
    assert abs(heads.float().mean() - 0.5) < 4.5 * 0.5 / 9000**0.5
