"""A window is a cut of the chain labelled whole; a stride is a data set of the same returns."""

from dataclasses import replace

import numpy as np
import pytest
from support.random_data import EQUAL, RAGGED, random_dataset

from agentic.dataset import ChainSampler, Dataset
from agentic.errors import AgenticError
from agentic.hindsight import append, begin
from agentic.trajectory import Trajectory

OPTIONS = {"trajectories": 3, "batch_size": 4, "seed": 3, "best_fraction": 1.0}
LABELS = ("observations", "actions", "rewards", "returns_to_go", "completions", "mask")
# Ends inside of a token, at its end, and at once: the last windows are partial.
UNEVEN = random_dataset([29, 40, 31, 33, 40, 36], seed=4)


@pytest.mark.parametrize("count", ["fixed", "uniform"])
@pytest.mark.parametrize(("window", "align"), [(1, 1), (7, 1), (8, 4), (12, 3), (40, 10)])
def test_a_window_is_a_cut_of_the_whole_chain_and_tells_where(count, window, align):
    whole = ChainSampler(UNEVEN, count=count, **OPTIONS)
    sampler = ChainSampler(UNEVEN, count=count, window=window, align=align, **OPTIONS)
    for step in range(12):
        cut, chain = sampler(step), whole(step)
        assert cut.start.dtype == np.int32 and (cut.start % align == 0).all()
        assert (cut.mask.any(-1) == chain.mask.any(-1)).all(), "whoever is there has a step in it"
        for row, start in enumerate(cut.start):
            for name in LABELS:
                ours, theirs = getattr(cut, name)[row], getattr(chain, name)[row]
                here = theirs[:, start : start + window]
                np.testing.assert_array_equal(ours[:, : here.shape[1]], here)
                assert not ours[:, here.shape[1] :].any() and ours.shape[1] == window


@pytest.mark.parametrize("align", [1, 3, 10])
def test_before_a_window_lies_what_the_token_before_did(align):
    """Asked step by step: the token before starts `align` steps earlier or is another's last."""
    options = {**OPTIONS, "count": "uniform"}
    whole = ChainSampler(UNEVEN, **options)
    sampler = ChainSampler(UNEVEN, window=3 * align, align=align, **options)
    kinds = set()
    for step in range(30):
        cut, chain = sampler(step), whole(step)
        for b, k in np.argwhere(chain.mask.any(-1)):
            source, first = k, cut.start[b] - align
            if cut.start[b] == 0:
                source, length = k - 1, int(chain.mask[b, k - 1].sum())
                first = (length - 1) // align * align
            kinds.add((cut.start[b] > 0, k > 0))
            for t in range(align):
                at = (b, source, first + t)
                there = source >= 0 and first + t < chain.mask.shape[-1] and chain.mask[at]
                for name in ("actions", "rewards", "completions"):
                    found = getattr(cut.before, name)[b, k, t]
                    expected = getattr(chain, name)[at] if there else np.zeros_like(found)
                    np.testing.assert_array_equal(found, expected)
    assert kinds == {(False, False), (False, True), (True, False), (True, True)}


def test_every_start_is_drawn_equally_often_and_every_step_is_seen():
    data = random_dataset([32] * 4)
    sampler = ChainSampler(data, trajectories=2, batch_size=16, window=8, align=4)
    starts = np.concatenate([sampler(step).start for step in range(60)])
    values, counts = np.unique(starts, return_counts=True)
    assert values.tolist() == [0, 4, 8, 12, 16, 20, 24]
    assert np.abs(counts - len(starts) / 7).max() < 4 * np.sqrt(len(starts) / 7)
    # A length that tokens do not divide: the last window is partial and holds the end.
    odd = ChainSampler(random_dataset([30] * 4), trajectories=2, batch_size=16, window=8, align=4)
    ends = [odd(step) for step in range(20)]
    assert max(batch.start.max() for batch in ends) == 24
    assert any(batch.completions.any() for batch in ends)


def test_the_window_leaves_the_draw_as_it_is():
    plain, cut = (ChainSampler(EQUAL, **OPTIONS, window=w) for w in (None, 5))
    for step in range(5):
        for ours, theirs in zip(plain.draw(step), cut.draw(step), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def strided(episode: Trajectory, stride: int) -> Trajectory:
    """Return every stride-th step of an episode, step by step."""
    kept = range(0, len(episode), stride)
    rewards = [sum(map(float, episode.rewards[t : t + stride])) for t in kept]
    return Trajectory(
        np.stack([episode.observations[t] for t in kept]),
        np.stack([episode.actions[t] for t in kept]),
        np.asarray(rewards, np.float32),
    )


@pytest.mark.parametrize("stride", [1, 2, 7, 300, 1000])
def test_a_strided_data_set_is_one_of_strided_episodes(stride):
    episodes = [strided(RAGGED[i], stride) for i in range(len(RAGGED))]
    expected = Dataset.from_trajectories("made_up", episodes)
    ours = RAGGED.every(stride)
    for name in ("observations", "actions", "rewards", "lengths", "returns"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(expected, name))
    for found, theirs in zip(
        ChainSampler(RAGGED, stride=stride, **OPTIONS)(1), ChainSampler(expected, **OPTIONS)(1),
        strict=True,
    ):  # fmt: skip
        np.testing.assert_array_equal(found, theirs)


def test_a_stride_keeps_returns_and_copies_no_observations():
    rng = np.random.default_rng(0)
    data = Dataset.from_trajectories("made_up", [
        Trajectory(np.zeros((n, 1), np.float32), np.zeros((n, 1), np.float32),
                   rng.integers(0, 9, n).astype(np.float32))
        for n in (10, 11, 4)
    ])  # fmt: skip
    kept = data.every(3)
    np.testing.assert_array_equal(kept.returns, data.returns)
    assert kept.lengths.tolist() == [4, 4, 2]
    assert np.shares_memory(kept.observations, data.observations)
    chain = ChainSampler(kept, trajectories=3, batch_size=1)(0)
    to_go, rewards = chain.returns_to_go[chain.mask], chain.rewards[chain.mask]
    assert to_go[0] == data.returns.max()
    for now, later, reward, same in zip(
        to_go, to_go[1:], rewards, np.diff(np.nonzero(chain.mask)[1]) == 0, strict=False
    ):
        assert not same or now - later == reward


@pytest.mark.parametrize("completion", ["target", "done"])
def test_a_strided_chain_is_what_acting_would_have_built(completion):
    rng = np.random.default_rng(1)
    data = Dataset.from_trajectories("made_up", [
        Trajectory(np.zeros((n, 1), np.float32), np.zeros((n, 1), np.float32),
                   (rng.integers(1, 9, n) / 8).astype(np.float32))
        for n in (10, 13, 4, 12)
    ])  # fmt: skip
    chain = ChainSampler(data, trajectories=4, batch_size=1, stride=3, completion=completion)(0)
    order = np.argsort(data.returns, kind="stable")
    progress = begin(np.array([data.returns.max()]))
    for place, index in enumerate(order):
        rewards = data[index].rewards
        for t, first in enumerate(range(0, len(rewards), 3)):
            together = rewards[first : first + 3].sum(keepdims=True)
            to_go, done = progress.return_to_go, np.array([first + 3 >= len(rewards)])
            progress, marks = append(progress, together, done, completion)
            assert chain.returns_to_go[0, place, t] == to_go[0]
            assert chain.completions[0, place, t] == marks[0]


def test_returns_that_the_source_knows_are_taken_from_it():
    known = np.arange(len(RAGGED), dtype=np.float64)
    data = replace(RAGGED, known_returns=known)
    assert data.returns is known


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"window": 0}, "window is 0; it must be at least 1"),
        ({"window": 30, "align": 20}, "window is 30; .* the 20 steps of a token, such as 20"),
        ({"window": 10, "align": 20}, "window is 10; .* such as 20"),
        ({"window": 301}, "window is 301; episodes have 300 steps, so it can be at most 300 or "),
        ({"window": 100, "stride": 4}, "window is 100; episodes have 75 steps"),
        ({"stride": 0}, "stride is 0; it must be at least 1"),
        ({"align": 0}, "align is 0; it must be at least 1"),
    ],
)
def test_a_bad_option_is_one_sentence_with_the_value_and_the_rule(options, sentence):
    with pytest.raises(AgenticError, match=f"^{sentence}") as error:
        ChainSampler(RAGGED, **options)
    assert str(error.value).endswith(".") and "\n" not in str(error.value)
