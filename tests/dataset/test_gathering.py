"""One copy from map to batch is the sampler's first form bit for bit, whole or in shares."""

from dataclasses import replace

import numpy as np
import pytest
from support import sampler_oracle
from support.random_data import EQUAL, RAGGED, arrays_of

from agentic.dataset import ChainSampler, SamplerConfig
from agentic.errors import AgenticError
from agentic.hindsight import gather


@pytest.mark.parametrize("data", [EQUAL, RAGGED], ids=["equal", "ragged"])
@pytest.mark.parametrize("count", ["fixed", "uniform"])
@pytest.mark.parametrize("completion", ["target", "done"])
def test_every_batch_is_that_of_the_slow_sampler_bit_for_bit(data, count, completion):
    for n, batch, fraction in [(1, 3, 1.0), (5, 4, 0.3), (7, 1, 1.0)]:
        config = SamplerConfig(
            trajectories=n, batch_size=batch, seed=11, count=count, best_fraction=fraction,
            completion=completion,
        )  # fmt: skip
        sampler = ChainSampler(data, config)
        for step in range(6):
            expected = sampler_oracle.sample(data, config, step)
            for ours, theirs in zip(sampler(step), expected, strict=True):
                assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
                assert ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("options", [{}, {"window": 4}, {"stride": 3}, {"count": "uniform"}])
@pytest.mark.parametrize("processes", [1, 2, 3, 6])
def test_the_shares_of_all_processes_are_the_whole_batch(options, processes):
    options = {"trajectories": 3, "batch_size": 6, "seed": 2, **options}
    whole = ChainSampler(RAGGED, **options)(5)
    shares = [
        ChainSampler(RAGGED, process_index=i, process_count=processes, **options)(5)
        for i in range(processes)
    ]
    for expected, *parts in zip(*map(arrays_of, [whole, *shares]), strict=True):
        assert all(len(part) == 6 // processes for part in parts)
        np.testing.assert_array_equal(np.concatenate(parts), expected)


class Watched(np.ndarray):
    """An array [N, T, ...] that notes which rows are asked for."""

    def __getitem__(self, key):
        rows = key[0] if isinstance(key, tuple) else key
        self.read.update(np.atleast_1d(rows).ravel().tolist())
        return np.asarray(super().__getitem__(key))


@pytest.mark.parametrize("data", [EQUAL, RAGGED], ids=["equal", "ragged"])
@pytest.mark.parametrize("window", [None, 4])
def test_a_share_reads_no_episode_of_another(data, window):
    options = {"trajectories": 2, "batch_size": 4, "best_fraction": 1.0, "window": window}
    drawn, _ = ChainSampler(data, **options).draw(0)
    names = ("observations", "actions", "rewards")
    watched = {name: getattr(data, name).view(Watched) for name in names}
    for array in watched.values():
        array.read = set()
    data = replace(data, **watched, known_returns=data.returns)
    ChainSampler(data, process_index=1, process_count=2, **options)(0)
    assert [array.read for array in watched.values()] == [set(drawn[2:].ravel().tolist())] * 3


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"process_index": 2, "process_count": 2},
         r"process_index is 2; with process_count 2 it must lie in 0\.\.1\."),
        ({"process_index": -1}, r"process_index is -1; with process_count 1"),
        ({"batch_size": 3, "process_count": 2},
         r"batch_size is 3 chains, to be shared by 2 processes; take a multiple of 2, such as 4\."),
    ],
)  # fmt: skip
def test_shares_that_cannot_be_are_one_sentence(options, sentence):
    with pytest.raises(AgenticError, match=sentence):
        ChainSampler(RAGGED, trajectories=2, **options)


def test_gathering_fills_with_zeros_and_leaves_its_source_alone():
    source = np.arange(1, 1 + 3 * 5 * 2, dtype=np.float32).reshape(3, 5, 2)
    source.flags.writeable = False
    episodes, first = np.array([[2, 0], [1, 1]]), np.array([[0, 3], [4, 0]])
    counts = np.array([[4, 2], [1, 0]])
    result = gather(source, episodes, first, counts, 4)
    assert result.shape == (2, 2, 4, 2)
    for place in np.ndindex(2, 2):
        k, at, count = episodes[place], first[place], counts[place]
        np.testing.assert_array_equal(result[place][:count], source[k, at : at + count])
        assert not result[place][count:].any()
    whole = gather(source, episodes, np.zeros_like(first), np.full((2, 2), 5), 5)
    np.testing.assert_array_equal(whole, source[episodes])
    whole[:] = 0
    assert source.all()
