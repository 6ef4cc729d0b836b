"""Laws of hindsight, for ragged trajectories, ties, negative rewards and absent places.

Rewards are multiples of 1/8, so that every sum is exact and the oracle needs no tolerance.
"""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import oracles
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agentic.errors import AgenticError
from agentic.hindsight import (
    COMPLETIONS,
    append,
    begin,
    chain_of_hindsight,
    completions,
    hindsight_order,
    relabel,
    returns_to_go,
    total_rewards,
)

laws = settings(deadline=None, derandomize=True, max_examples=60)
eighths = st.integers(-16, 16).map(lambda number: number / 8)
# An episode without steps is an absent trajectory, which may stand anywhere.
episodes = st.lists(st.lists(eighths, max_size=5), min_size=1, max_size=5).filter(any)
rewarding = st.lists(
    st.tuples(st.lists(eighths.map(abs), max_size=4), st.integers(1, 16)).map(
        lambda pair: [*pair[0], pair[1] / 8]
    ),
    min_size=1,
    max_size=5,
)
modes = st.sampled_from(COMPLETIONS)


def stack(rewards, n=None, steps=None, padding=0.0):
    """Return (observations, actions, rewards, mask) of lists of rewards, padded with `padding`.

    Every step has an observation and an action of its own, which name its trajectory (counting the
    present ones from 1) and its time.
    """
    n, steps = n or len(rewards), steps or max(map(len, rewards))
    arrays = [np.full((n, steps, *axes), padding, np.float32) for axes in [(2,), (1,), ()]]
    mask = np.zeros((n, steps), bool)
    for i, episode in enumerate(rewards):
        name = sum(map(bool, rewards[: i + 1]))
        for t, reward in enumerate(episode):
            arrays[0][i, t] = name, t
            arrays[1][i, t] = (name + t / 10) / 10
            arrays[2][i, t] = reward
            mask[i, t] = True
    return *arrays, mask


def in_hindsight(observations, actions, rewards, mask, completion="target"):
    """Return the chains [..., n, T, ...] of such arrays, stored as episodes [N, T, ...]."""
    arrays = (x.reshape(-1, *x.shape[mask.ndim - 1 :]) for x in (observations, actions, rewards))
    names = ("observations", "actions", "rewards", "lengths", "returns")
    counts = mask.sum(-1).ravel(), total_rewards(rewards, mask).ravel()
    episodes = SimpleNamespace(**dict(zip(names, (*arrays, *counts), strict=True)))
    drawn = np.arange(mask[..., 0].size).reshape(mask.shape[:-1])
    return chain_of_hindsight(episodes, drawn, mask.any(-1), completion)


def rows(array, mask):
    """Return the existing steps of every present trajectory: padding dropped."""
    return [row[exists].tolist() for row, exists in zip(array, mask, strict=True) if exists.any()]


def live(contexts, target, completion):
    """Return (returns-to-go, completions): lists of labels per context and episode.

    Each context lives its own list of episodes, one after another and side by side with the others;
    one that is through goes on with rewards that no one asks for.
    """
    progress = begin(target)
    labels = [[([], []) for _ in episodes] for episodes in contexts]
    place = [(0, 0)] * len(contexts)
    while any(episode < len(contexts[b]) for b, (episode, _) in enumerate(place)):
        active = [episode < len(contexts[b]) for b, (episode, _) in enumerate(place)]
        steps = [
            (contexts[b][k][t], t + 1 == len(contexts[b][k])) if active[b] else (99.0, False)
            for b, (k, t) in enumerate(place)
        ]
        to_go = progress.return_to_go
        rewards, done = map(np.array, zip(*steps, strict=True))
        progress, marks = append(progress, rewards, done, completion)
        for b, (k, t) in enumerate(place):
            if active[b]:
                labels[b][k][0].append(to_go[b])
                labels[b][k][1].append(marks[b])
                place[b] = (k + 1, 0) if done[b] else (k, t + 1)
    return labels


@laws
@given(episodes, modes)
def test_a_chain_is_the_definition(rewards, completion):
    present = [episode for episode in rewards if episode]
    order, to_go, marks = oracles.hindsight_chain(present, completion)
    chain = in_hindsight(*stack(rewards), completion=completion)
    assert rows(chain.returns_to_go, chain.mask) == to_go
    assert rows(chain.completions, chain.mask) == marks
    assert rows(chain.rewards, chain.mask) == [present[index] for index in order]
    assert all(array.dtype == np.float32 for array in chain[:-1]) and chain.mask.dtype == bool


@laws
@given(episodes)
def test_sorting_keeps_every_step_whole(rewards):
    observations, actions, reward, mask = stack(rewards)
    chain = in_hindsight(observations, actions, reward, mask)
    moved = np.concatenate([chain.observations, chain.actions, chain.rewards[..., None]], -1)
    given_ = np.concatenate([observations, actions, reward[..., None]], -1)
    assert sorted(rows(moved, chain.mask)) == sorted(rows(given_, mask))


@laws
@given(episodes)
def test_the_order_is_an_ascending_permutation_with_ties_by_index_and_absent_last(rewards):
    returns = np.array([sum(episode) for episode in rewards])
    present = np.array([bool(episode) for episode in rewards])
    order = hindsight_order(returns, present).tolist()
    assert sorted(order) == list(range(len(rewards)))
    keys = [(not present[index], returns[index] if present[index] else 0, index) for index in order]
    assert keys == sorted(keys)


@laws
@given(episodes, modes)
def test_the_labels_obey_their_equations(rewards, completion):
    chain = in_hindsight(*stack(rewards), completion=completion)
    returns = [sum(episode) for episode in rewards if episode]
    fields = (chain.returns_to_go, chain.rewards, chain.completions)
    for to_go, reward, marks in zip(*(rows(array, chain.mask) for array in fields), strict=True):
        assert to_go[0] == max(returns)
        assert [now - later for now, later in pairwise(to_go)] == reward[:-1]
        rest = to_go[-1] - reward[-1]
        assert rest >= 0 and marks[:-1] == [0] * (len(marks) - 1)
        assert marks[-1] == (completion == "done" or rest == 0)
    best = rows(chain.completions, chain.mask)[-1]
    assert best[-1] == 1, "the last trajectory is the best and always meets the target"


@laws
@given(rewarding)
def test_the_target_is_marked_after_sorting(rewards):
    """Put the best first: a mark made before the sort would stay on the first place."""
    rewards = sorted(rewards, key=sum, reverse=True)
    assume(len(rewards) > 1 and sum(rewards[0]) > sum(rewards[1]))
    chain = in_hindsight(*stack(rewards))
    assert chain.completions.sum(-1).tolist() == [0] * (len(rewards) - 1) + [1]
    assert chain.observations[-1, 0, 0] == 1, "the trajectory that came first is the best"


@laws
@given(st.lists(eighths, min_size=1, max_size=6))
def test_one_trajectory_has_the_decision_transformers_returns_to_go(rewards):
    chain = in_hindsight(*stack([rewards]))
    assert chain.returns_to_go[0].tolist() == [sum(rewards[t:]) for t in range(len(rewards))]
    assert chain.completions[0].tolist() == [0] * (len(rewards) - 1) + [1]


@laws
@given(episodes, modes, st.integers(0, 2), st.integers(0, 3))
def test_what_is_masked_might_as_well_not_be_there(rewards, completion, places, steps):
    present = [episode for episode in rewards if episode]
    dropped = in_hindsight(*stack(present), completion=completion)
    n, length = dropped.mask.shape
    wide = stack(rewards, len(rewards) + places, length + steps, padding=np.nan)
    for ours, theirs in zip(in_hindsight(*wide, completion), dropped, strict=True):
        np.testing.assert_array_equal(ours[:n, :length], theirs)
        assert not ours[n:].any() and not ours[:, length:].any(), "padding is zero"


@laws
@given(st.lists(episodes, min_size=1, max_size=4), modes)
def test_the_chains_of_a_batch_know_nothing_of_each_other(batch, completion):
    n, steps = max(map(len, batch)), max(len(e) for rewards in batch for e in rewards)
    stacked = [stack(rewards, n, steps) for rewards in batch]
    together = in_hindsight(*map(np.stack, zip(*stacked, strict=True)), completion)
    for index, alone in enumerate(stacked):
        for ours, theirs in zip(together, in_hindsight(*alone, completion), strict=True):
            np.testing.assert_array_equal(ours[index], theirs)
    deeper = [np.stack([array, array[::-1]]) for array in map(np.stack, zip(*stacked, strict=True))]
    for ours, theirs in zip(in_hindsight(*deeper, completion), together, strict=True):
        np.testing.assert_array_equal(ours, [theirs, theirs[::-1]])


@laws
@given(episodes, eighths, modes)
def test_another_target_moves_the_labels_and_keeps_the_order(rewards, target, completion):
    arrays = stack(rewards)
    chain = relabel(*arrays, completion, target=np.float64(target))
    present = [episode for episode in rewards if episode]
    assert rows(chain.rewards, chain.mask) == present
    for to_go, marks, episode in zip(
        rows(chain.returns_to_go, chain.mask), rows(chain.completions, chain.mask), present,
        strict=True,
    ):  # fmt: skip
        assert to_go == [target - sum(episode[:t]) for t in range(len(episode))]
        assert marks[-1] == (completion == "done" or sum(episode) >= target)


def test_returns_to_go_of_long_float32_episodes_are_summed_in_float64():
    rewards = np.random.default_rng(0).uniform(size=(3, 1000)).astype(np.float32)
    mask = np.ones_like(rewards, bool)
    target = rewards.sum(-1, dtype=np.float64)
    to_go = returns_to_go(rewards, mask, target)
    np.testing.assert_array_equal(to_go[:, 0], target)
    np.testing.assert_allclose(to_go[:, :-1] - to_go[:, 1:], rewards[:, :-1], atol=1e-12)
    np.testing.assert_allclose(to_go[:, -1], rewards[:, -1], atol=1e-12)
    # Cumulative and pairwise sums differ in the last bits; meeting the target must not.
    late = begin(target)
    for t in range(1000):
        late, marks = append(late, rewards[:, t], np.full(3, t == 999))
        assert marks.tolist() == [float(t == 999)] * 3


@laws
@given(st.lists(st.tuples(rewarding, eighths), min_size=1, max_size=3), modes)
def test_living_gives_the_definition_in_every_context_and_episode(contexts, completion):
    """Contexts have other targets and their episodes end at other times."""
    lists, targets = zip(*contexts, strict=True)
    labels = live(lists, np.array(targets), completion)
    for episodes_, target, found in zip(lists, targets, labels, strict=True):
        assert found == [oracles.lived_labels(e, target, completion) for e in episodes_]


@laws
@given(rewarding, modes)
def test_living_a_chain_gives_the_labels_it_is_trained_with(rewards, completion):
    """No reward is negative and each last one is positive: the target is met at the end or never.

    Then acting in the chain's order for its target return builds exactly the sampler's labels.
    """
    chain = in_hindsight(*stack(rewards), completion=completion)
    lived = rows(chain.rewards, chain.mask)
    target = chain.returns_to_go[:1, 0].astype(np.float64)
    (labels,) = live([lived], target, completion)
    to_go, marks = map(list, zip(*labels, strict=True))
    assert to_go == rows(chain.returns_to_go, chain.mask)
    assert marks == rows(chain.completions, chain.mask)


@laws
@given(episodes, modes)
def test_living_and_hindsight_agree_in_all_but_when_the_target_is_met(rewards, completion):
    """Whatever the rewards: equal returns-to-go; with "done" equal completions, too."""
    chain = in_hindsight(*stack(rewards), completion=completion)
    lived = rows(chain.rewards, chain.mask)
    (labels,) = live([lived], chain.returns_to_go[:1, 0].astype(np.float64), completion)
    to_go, marks = map(list, zip(*labels, strict=True))
    assert to_go == rows(chain.returns_to_go, chain.mask)
    for mine, theirs in zip(marks, rows(chain.completions, chain.mask), strict=True):
        assert sum(mine) >= sum(theirs), "what meets the target at its end has reached it"
        assert sum(mine) <= 1
        if completion == "done":
            assert mine == theirs


def test_a_target_reached_early_is_marked_where_it_is_reached_and_in_hindsight_at_the_end():
    """Trailing zeros: while acting nobody knows that nothing more will come."""
    rewards = [[1.0, 2.0, 0.0, 0.0]]
    chain = in_hindsight(*stack(rewards))
    ((labels,),) = live([rewards], np.array([3.0]), "target")
    assert labels == ([3, 2, 0, 0], [0, 1, 0, 0])
    assert chain.returns_to_go[0].tolist() == [3, 2, 0, 0]
    assert chain.completions[0].tolist() == [0, 0, 0, 1]


def test_an_unknown_completion_is_met_with_the_nearest_one():
    mask = np.ones((1, 2), bool)
    sentence = r"^completion is 'taget'; did you mean 'target'\? valid: done, target\.$"
    with pytest.raises(AgenticError, match=sentence):
        completions(np.ones(1), mask, np.ones(1), "taget")
    with pytest.raises(AgenticError, match=sentence):
        append(begin(np.ones(1)), np.ones(1), np.ones(1, bool), "taget")
