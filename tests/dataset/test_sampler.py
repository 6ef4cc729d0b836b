"""Laws of the sampler: a batch is a function of (seed, step), and its chains are hindsight's."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from agentic.dataset import ChainSampler, Dataset, SamplerConfig
from agentic.errors import AgenticError
from agentic.hindsight import append, begin, chain_of_hindsight
from agentic.trajectory import Trajectory

LENGTHS = (3, 5, 1, 4, 5, 2, 5, 3, 4, 5, 1, 2)
# Ties within, and a best episode that is neither first, nor last, nor longest.
RETURNS = (2.0, 1.0, 3.0, 3.0, 0.5, 4.0, 1.0, 3.0, 0.25, 2.0, 3.5, 1.0)


def made_up() -> Dataset:
    """Return read-only ragged episodes; every observation names its episode and its time."""
    episodes = []
    for index, (steps, total) in enumerate(zip(LENGTHS, RETURNS, strict=True)):
        names = np.stack([np.full(steps, index), np.arange(steps)], axis=1)
        # Eighths of the return, the rest on the last step: sums are exact and grow to the end.
        rewards = np.full(steps, total / 8)
        rewards[-1] += total - rewards.sum()
        arrays = names, names[:, :1] / 100, rewards
        episodes.append(Trajectory(*(array.astype(np.float32) for array in arrays)))
    data = Dataset.from_trajectories("made_up", episodes)
    for array in (data.observations, data.actions, data.rewards):
        array.flags.writeable = False
    return data


DATA = made_up()
# The laws hold for what is asked here, whichever values the defaults have.
PLAIN = {"batch_size": 8, "count": "uniform", "top_fraction": 1.0, "best_fraction": 1.0}


def drawn(chain) -> list[list[int]]:
    """Return the episodes of every chain, as their observations name them."""
    counts = chain.mask.any(-1).sum(-1)
    names = chain.observations[..., 0, 0].astype(int)
    return [row[:n].tolist() for row, n in zip(names, counts, strict=True)]


def many(steps: int = 40, **options) -> list[list[int]]:
    """Return the episodes of all chains in `steps` batches of 16."""
    sampler = ChainSampler(DATA, **{**PLAIN, "batch_size": 16, **options})
    return [episodes for step in range(steps) for episodes in drawn(sampler(step))]


def digest(seed: int, step: int) -> str:
    """Return the sha256 over all bytes of a batch."""
    chain = ChainSampler(DATA, **{**PLAIN, "best_fraction": 0.3}, trajectories=4, seed=seed)(step)
    return hashlib.sha256(b"".join(array.tobytes() for array in chain)).hexdigest()


def test_seed_and_step_determine_every_byte_in_another_process_too():
    pairs = [(0, 0), (0, 1), (1, 0), (2**40, 10**6)]
    here = [digest(*pair) for pair in pairs]
    assert len(set(here)) == 4, "another seed or step is another batch"
    # Asked in another order: nothing is carried from call to call.
    assert [digest(*pair) for pair in reversed(pairs)] == here[::-1]
    script = (
        "import sys; from dataset.test_sampler import digest; "
        "print(*[digest(*pair) for pair in eval(sys.argv[1])])"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, repr(pairs)],
        env={**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert result.stdout.split() == here


def test_shapes_are_the_same_in_every_batch_whatever_was_drawn():
    sampler = ChainSampler(DATA, **{**PLAIN, "batch_size": 2}, trajectories=3)
    shapes = {tuple(array.shape for array in sampler(step)) for step in range(20)}
    lead = (2, 3, 5)
    assert shapes == {((*lead, 2), (*lead, 1), lead, lead, lead, lead)}


@pytest.mark.parametrize("count", ["fixed", "uniform"])
def test_chains_are_drawn_without_replacement(count):
    everything = many(trajectories=len(DATA), count=count)
    assert all(len(set(episodes)) == len(episodes) for episodes in everything)
    assert any(len(episodes) == len(DATA) for episodes in everything)


def test_every_episode_and_every_pair_is_drawn_equally_often():
    chains = many(trajectories=3, count="fixed", steps=200)
    together = np.zeros((12, 12))
    for episodes in chains:
        together[np.ix_(episodes, episodes)] += 1
    expected, of_pairs = len(chains) * 3 / 12, len(chains) * (3 * 2) / (12 * 11)
    assert np.abs(np.diag(together) - expected).max() < 4 * np.sqrt(expected)
    pairs = together[~np.eye(12, dtype=bool)]
    assert np.abs(pairs - of_pairs).max() < 4 * np.sqrt(of_pairs)


def test_uniform_counts_cover_one_to_all_inclusive():
    counts = np.bincount([len(episodes) for episodes in many(trajectories=4)], minlength=5)
    assert counts[0] == 0 and len(counts) == 5
    assert np.abs(counts[1:] - 160).max() < 4 * np.sqrt(160)


def test_fixed_counts_take_all():
    assert {len(episodes) for episodes in many(trajectories=4, count="fixed")} == {4}


def test_chains_ascend_and_equal_returns_keep_the_order_of_the_data():
    for episodes in many(trajectories=6):
        keys = [(RETURNS[index], index) for index in episodes]
        assert keys == sorted(keys)


@pytest.mark.parametrize(
    ("fraction", "kept"),
    [
        (1.0, set(range(12))),
        # Of the two with return 2 the first comes in as the sixth; then of those with 1, the first.
        (0.5, {5, 10, 2, 3, 7, 0}),
        (8 / 12, {5, 10, 2, 3, 7, 0, 9, 1}),
        (0.25, {5, 10, 2}),
        (0.001, {5}),
    ],
)
def test_top_fraction_keeps_the_best_part_with_ties_by_index(fraction, kept):
    chains = many(trajectories=1, top_fraction=fraction)
    assert {index for episodes in chains for index in episodes} == kept


def test_best_fraction_puts_one_of_the_best_into_every_chain_and_draws_the_others_from_all():
    best = {5, 10, 2}
    chains = many(trajectories=3, best_fraction=0.25, steps=100)
    assert all(best & set(episodes) for episodes in chains)
    assert {len(episodes) for episodes in chains} == {1, 2, 3}
    assert {index for episodes in chains for index in episodes} == set(range(12))
    alone = [episodes[0] for episodes in chains if len(episodes) == 1]
    assert set(alone) == best
    plain = many(trajectories=3, steps=100)
    assert not all(best & set(episodes) for episodes in plain)
    # The best part is that of the data set, even where the pool is a part of it.
    both = many(trajectories=1, best_fraction=0.25, top_fraction=0.5)
    assert {episodes[0] for episodes in both} == best
    narrow = many(trajectories=1, best_fraction=0.5, top_fraction=0.25)
    assert {episodes[0] for episodes in narrow} == best


@pytest.mark.parametrize("completion", ["target", "done"])
def test_a_sampled_chain_is_hindsight_over_its_trajectories(completion):
    """The trajectories enter hindsight alone and in the order of the data."""
    chain = ChainSampler(DATA, **PLAIN, trajectories=6, seed=3, completion=completion)(0)
    assert len({len(episodes) for episodes in drawn(chain)}) > 1, "chains of several sizes"
    for row, episodes in enumerate(drawn(chain)):
        chosen = [DATA[index] for index in sorted(episodes)]
        alone = Dataset.from_trajectories("made_up", chosen)
        every = np.arange(len(chosen))
        expected = chain_of_hindsight(alone, every, every >= 0, completion)
        n, steps = expected.mask.shape
        for ours, theirs in zip(chain, expected, strict=True):
            np.testing.assert_array_equal(ours[row, :n, :steps], theirs)
            assert not ours[row, n:].any() and not ours[row, :, steps:].any(), "padding is zero"


@pytest.mark.parametrize("completion", ["target", "done"])
def test_a_sampled_chain_is_what_acting_would_have_built(completion):
    chain = ChainSampler(DATA, **PLAIN, trajectories=6, seed=3, completion=completion)(1)
    for row, episodes in enumerate(drawn(chain)):
        progress = begin(np.array([max(RETURNS[index] for index in episodes)]))
        for place, index in enumerate(episodes):
            rewards = DATA[index].rewards
            for t, reward in enumerate(rewards):
                to_go, done = progress.return_to_go, t + 1 == len(rewards)
                progress, marks = append(progress, np.array([reward]), np.array([done]), completion)
                assert chain.returns_to_go[row, place, t] == to_go[0]
                assert chain.completions[row, place, t] == marks[0]


def test_a_configuration_and_keywords_say_the_same_and_keywords_win():
    config = SamplerConfig(trajectories=2, batch_size=3, seed=5)
    batches = [
        ChainSampler(DATA, config)(0),
        ChainSampler(DATA, trajectories=2, batch_size=3, seed=5)(0),
        ChainSampler(DATA, SamplerConfig(trajectories=2, batch_size=3, seed=9), seed=5)(0),
    ]
    for other in batches[1:]:
        for ours, theirs in zip(other, batches[0], strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"trajectories": 0}, "trajectories is 0; it must be at least 1"),
        ({"batch_size": -2}, "batch_size is -2; it must be at least 1"),
        ({"seed": -1}, "seed is -1; it must be at least 0"),
        ({"top_fraction": 0}, r"top_fraction is 0; it must lie in \(0, 1\]"),
        ({"best_fraction": 1.5}, r"best_fraction is 1\.5; it must lie in \(0, 1\]"),
        ({"best_fraction": float("nan")}, r"best_fraction is nan; it must lie in \(0, 1\]"),
        ({"count": "uniforn"}, r"count is 'uniforn'; did you mean 'uniform'\?"),
        ({"completion": "target "}, r"completion is 'target '; did you mean 'target'\?"),
        ({"trajectories": 13}, "trajectories is 13; .* at most 12, the number of episodes"),
        ({"trajectories": 4, "top_fraction": 0.25}, "trajectories is 4; .* at most 3, "),
    ],
)
def test_a_bad_option_is_one_sentence_with_the_value_and_the_rule(options, sentence):
    with pytest.raises(AgenticError, match=f"^{sentence}") as error:
        ChainSampler(DATA, **options)
    assert str(error.value).endswith(".") and "\n" not in str(error.value)
