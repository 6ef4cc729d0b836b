"""Acting step by step through the cache is the forward pass, and forgets whole trajectories."""

from itertools import pairwise

import numpy as np
import pytest
from support import policy_oracle, synthetic
from support.lived import act_through, as_lived

from agentic import hindsight
from agentic.acting.context import ContextPolicy
from agentic.errors import AgenticError
from agentic.trajectory import Chain

# Beyond the three trajectories that a context holds, ragged, and rows end at different steps.
LONG = np.array([[7, 4, 6, 1, 7], [2, 7, 5, 7, 3]])


def acting(config, target=synthetic.TARGET) -> ContextPolicy:
    return ContextPolicy(config, synthetic.parameters(config), target)


@pytest.mark.parametrize("layout", synthetic.LAYOUTS)
def test_cached_steps_are_one_forward_pass_until_the_oldest_trajectory_leaves(layout):
    config, chain = synthetic.policy_config(layout), as_lived(synthetic.chain(LONG))
    policy = acting(config)
    policy.reset(2)
    actual = act_through(policy, chain)
    first = Chain(*(x[:, :3] for x in chain))
    once = np.asarray(synthetic.forward(config)(synthetic.parameters(config), first))
    np.testing.assert_allclose(actual[:, :3][first.mask], once[first.mask], atol=1e-5)
    # Afterwards: the definition with every token's sight limited to the last three trajectories.
    for row in range(2):
        episodes = synthetic.episodes(chain, row)
        expected = policy_oracle.actions(config, policy.parameters, episodes)
        for k, episode in enumerate(expected):
            np.testing.assert_allclose(actual[row, k, : len(episode)], episode, atol=1e-5)


@pytest.mark.parametrize("layout", ["5", "1", "chunk of 3"])
def test_a_prefilled_context_is_a_lived_one(layout):
    config, chain = synthetic.policy_config(layout), as_lived(synthetic.chain())
    third = Chain(*(x[:, 2:] for x in chain))
    expected = synthetic.forward(config)(synthetic.parameters(config), chain)
    prefilled = acting(config)
    prefilled.prefill(Chain(*(x[:, :2] for x in chain)))
    assert prefilled.episode.tolist() == [2, 2]
    actual = act_through(prefilled, third)
    np.testing.assert_allclose(actual[:, 0][third.mask[:, 0]],
                               np.asarray(expected)[:, 2][third.mask[:, 0]], atol=1e-5)  # fmt: skip


@pytest.mark.parametrize("layout", ["5", "chunk of 3"])
def test_a_strided_policy_lives_the_chain_of_strided_episodes_and_holds_its_actions(layout):
    """Episodes of other lengths than the stride divides, and rows that end at different steps."""
    config, stride = synthetic.policy_config(layout), 3
    lengths = np.array([[20, 15, 18], [14, 21, 7]])
    chain = synthetic.chain(lengths, steps=21, completion="done")
    kept = -(-lengths // stride)
    rewards = np.add.reduceat(chain.rewards, range(0, 21, stride), axis=-1)
    expected = hindsight.relabel(
        chain.observations[:, :, ::stride], chain.actions[:, :, ::stride], rewards,
        np.arange(7) < kept[..., None], "done", np.full(2, synthetic.TARGET),
    )  # fmt: skip
    policy = ContextPolicy(config, synthetic.parameters(config), synthetic.TARGET, "done", stride)
    policy.reset(2)
    # The fed actions replace its own, so that what it held shows only where it decides.
    lived = act_through(policy, chain)[:, :, ::stride]
    plain = ContextPolicy(config, synthetic.parameters(config), synthetic.TARGET, "done")
    plain.reset(2)
    np.testing.assert_allclose(lived, act_through(plain, expected), atol=1e-5)


def test_between_kept_steps_the_action_is_held_until_the_episode_ends():
    config = synthetic.policy_config("1")
    policy = ContextPolicy(config, synthetic.parameters(config), synthetic.TARGET, stride=3)
    rng, seen = np.random.default_rng(0), []
    for done in [False] * 4 + [True] + [False] * 3:
        seen.append(policy.act(rng.normal(size=synthetic.OBSERVATIONS)))
        policy.observe(0.1, done)
    held = [bool((a == b).all()) for a, b in pairwise(seen)]
    assert held == [True, True, False, True, False, True, True]


def test_prefilling_shorter_arrays_and_empty_rows():
    config = synthetic.policy_config("chunk of 3")
    chain = synthetic.chain(np.array([[4, 5], [0, 0]]), steps=5)
    policy = acting(config)
    policy.prefill(chain)
    assert policy.episode.tolist() == [2, 0]
    action = policy.act(np.ones((2, synthetic.OBSERVATIONS), np.float32))
    fresh = acting(config).act(np.ones(synthetic.OBSERVATIONS, np.float32))
    np.testing.assert_allclose(action[1], fresh, atol=1e-5)
    assert np.abs(action[0] - fresh).max() > 1e-3


@pytest.mark.parametrize("layout", ["5", "chunk of 3"])
def test_a_context_of_one_trajectory_keeps_nothing_across_episodes(layout):
    config = synthetic.policy_config(layout, trajectories=1)
    chain = synthetic.chain(np.array([[5, 6], [5, 6]]))
    same = Chain(*(np.repeat(x[:, :1], 3, axis=1) for x in chain))
    policy = acting(config)
    policy.reset(2)
    act_through(policy, Chain(*(x[:, 1:2] for x in chain)))
    actual = act_through(policy, same)
    policy.reset(2)
    fresh = act_through(policy, Chain(*(x[:, :1] for x in chain)))
    for k in range(3):
        np.testing.assert_allclose(actual[0, k], fresh[0, 0], atol=1e-6)


def test_a_cleared_row_is_a_fresh_context_and_the_others_keep_theirs():
    config = synthetic.policy_config("chunk of 3")
    past = as_lived(synthetic.chain(np.array([[7, 4], [7, 4]])))
    future = as_lived(synthetic.chain(np.array([[5], [5]]), seed=4))
    rows = np.array([True, False])
    actual = {}
    for name in ("kept", "cleared", "index"):
        policy = acting(config)
        policy.reset(2)
        act_through(policy, past)
        if name != "kept":
            policy.clear(rows, keep_index=name == "index")
        actual[name] = act_through(policy, future)[:, 0, :5]
    for name in ("cleared", "index"):
        np.testing.assert_array_equal(actual[name][1], actual["kept"][1])
        alone = policy_oracle.actions(
            config, policy.parameters, synthetic.episodes(future, 0), first=2 * (name == "index")
        )
        np.testing.assert_allclose(actual[name][0], alone[0], atol=1e-5)
    assert np.abs(actual["cleared"][0] - actual["index"][0]).max() > 1e-3
    assert np.abs(actual["cleared"][0] - actual["kept"][0]).max() > 1e-3


def test_one_simulator_is_a_batch_of_one():
    config, rng = synthetic.policy_config("chunk of 3"), np.random.default_rng(0)
    single, batched = acting(config), acting(config)
    single.reset()
    batched.reset(1)
    for t in range(9):
        observation = rng.normal(size=synthetic.OBSERVATIONS)
        action = single.act(observation)
        assert action.shape == (synthetic.ACTIONS,)
        assert action.dtype == np.float32
        np.testing.assert_array_equal(action, batched.act(observation[None])[0])
        single.observe(0.5, t == 4)
        batched.observe(np.array([0.5]), np.array([t == 4]))
    assert single.episode == 1


def test_the_executed_action_is_what_enters_the_context():
    config = synthetic.policy_config("1")
    observation, actions = np.ones(synthetic.OBSERVATIONS), []
    for executed in (None, np.full(synthetic.ACTIONS, 0.9)):
        policy = acting(config)
        policy.reset()
        policy.act(observation)
        policy.observe(0.5, False, executed)
        actions.append(policy.act(observation))
    assert np.abs(actions[0] - actions[1]).max() > 1e-4


def test_mistakes_end_in_one_sentence():
    policy = acting(synthetic.policy_config("1"))
    policy.reset()
    with pytest.raises(AgenticError, match=r"has shape \(3,\); this policy needs 4 values"):
        policy.act(np.zeros(3))
    policy.reset()
    policy.act(np.zeros(4))
    policy.observe(0.0, False)
    with pytest.raises(AgenticError, match="needs an act\\(\\) before it"):
        policy.observe(0.0, False)
    for _ in range(synthetic.STEPS - 1):
        policy.act(np.zeros(4))
        policy.observe(0.0, False)
    with pytest.raises(AgenticError, match="gone past 7 steps"):
        policy.act(np.zeros(4))
    with pytest.raises(AgenticError, match="a chain of 4 trajectories x 7 steps does not fit"):
        policy.prefill(synthetic.chain(np.full((1, 4), 7)))
