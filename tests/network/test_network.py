"""The policy network is its written-out definition; what it sees and what it must not see."""

import dataclasses
import itertools
from functools import lru_cache, partial

import jax
import numpy as np
import pytest
from support import policy_oracle, synthetic

from agentic.network.parameters import count, initialize, unstack


@pytest.mark.parametrize("layout", synthetic.LAYOUTS)
def test_forward_pass_is_the_written_out_policy_on_chains_without_padding(layout):
    config = synthetic.policy_config(layout)
    parameters, chain = synthetic.parameters(config), synthetic.chain()
    actual = synthetic.forward(config)(parameters, chain)
    for row in range(len(chain.mask)):
        expected = policy_oracle.actions(config, parameters, synthetic.episodes(chain, row))
        for k, episode in enumerate(expected):
            np.testing.assert_allclose(actual[row, k, : len(episode)], episode, atol=1e-5)


@pytest.mark.parametrize("layout", ["5", "1", "chunk of 3"])
def test_garbage_in_padding_changes_nothing(layout):
    config = synthetic.policy_config(layout)
    parameters, chain = synthetic.parameters(config), synthetic.chain()
    clean, dirty = (
        np.asarray(synthetic.forward(config)(parameters, x))[chain.mask]
        for x in (chain, synthetic.with_garbage(chain))
    )
    np.testing.assert_array_equal(clean, dirty)


@lru_cache
def jacobian(layout: str):
    """Return a chain and |d action / d field| summed over features: [B, n, T, B, n, T] each."""
    config = synthetic.policy_config(layout, layers=1)
    parameters = synthetic.parameters(config)
    chain = synthetic.chain(np.array([[7, 5], [4, 6]]))

    @jax.jit
    def differentiate(floats):
        return jax.jacrev(lambda x: synthetic.actions(config, parameters, chain._replace(**x)))(
            floats
        )

    fields = chain._asdict()
    fields.pop("mask")
    slopes = {name: np.abs(np.asarray(x)).sum(3) for name, x in differentiate(fields).items()}
    return chain, {name: x.reshape(*x.shape[:6], -1).sum(-1) for name, x in slopes.items()}


def seen_by_definition(layout: str, mask: np.ndarray) -> dict[str, np.ndarray]:
    """Return which (row, trajectory, step) of which field the action of each step may depend on."""
    config = synthetic.policy_config(layout)
    c = config.action_chunk
    situation, outcome, own = (np.zeros(mask.shape * 2, bool) for _ in range(3))
    for now, then in itertools.product(np.ndindex(mask.shape), repeat=2):
        if now[0] != then[0] or not mask[now] or not mask[then]:
            continue
        here, there = (now[1], now[2] // c), (then[1], then[2] // c)
        situation[now + then] = there <= here and then[2] % c == 0
        outcome[now + then] = there < here
        own[now + then] = now == then
    return {
        "observations": situation | own,
        "returns_to_go": situation,
        "actions": outcome,
        "rewards": outcome,
        "completions": outcome & ("d" in config.inputs),
    }


@pytest.mark.parametrize("layout", ["5", "4", "1", "chunk of 3"])
def test_sees_the_past_and_the_present_situation_and_nothing_else(layout):
    # Past steps and trajectories act; the future, the present outcome, other rows, padding do not.
    chain, slopes = jacobian(layout)
    for field, expected in seen_by_definition(layout, chain.mask).items():
        actual = (slopes[field] > 0)[chain.mask]
        np.testing.assert_array_equal(actual, expected[chain.mask], err_msg=field)


def test_the_previous_trajectory_is_visible():
    _, slopes = jacobian("chunk of 3")
    for field in ("observations", "returns_to_go", "actions", "rewards", "completions"):
        assert (slopes[field][0, 1, :5, 0, 0, 0] > 0).all(), field


def test_behaviour_cloning_ignores_returns_rewards_and_completions():
    config = synthetic.policy_config("sa, chunk of 4")
    parameters, chain = synthetic.parameters(config), synthetic.chain()
    other = chain._replace(
        rewards=chain.rewards + 1, returns_to_go=-chain.returns_to_go, completions=chain.rewards
    )
    run = synthetic.forward(config)
    np.testing.assert_array_equal(run(parameters, chain), run(parameters, other))


def test_dropout_acts_only_with_a_key_and_each_key_its_own_way():
    config = synthetic.policy_config("1", dropout=0.5)
    parameters, chain = synthetic.parameters(config), synthetic.chain()
    plain = synthetic.policy_config("1")
    without = synthetic.forward(plain)(parameters, chain)
    np.testing.assert_array_equal(synthetic.forward(config)(parameters, chain), without)
    run = jax.jit(lambda key: synthetic.actions(config, parameters, chain, key))
    first, second = run(jax.random.key(0)), run(jax.random.key(1))
    assert (first != second).any()
    assert (first != without).any()
    np.testing.assert_array_equal(first, run(jax.random.key(0)))


def test_bfloat16_is_the_same_policy_roughly():
    config = synthetic.policy_config("chunk of 3")
    half = dataclasses.replace(config, dtype="bfloat16")
    parameters, chain = synthetic.parameters(config), synthetic.chain()
    with jax.numpy_dtype_promotion("standard"):  # flax's layer norm relies on it
        actual = synthetic.forward(half)(parameters, chain)
    assert actual.dtype == np.float32
    expected = synthetic.forward(config)(parameters, chain)
    difference = np.abs(actual - expected)[chain.mask]
    assert 0 < difference.mean() < 0.05


def test_parameters_are_float32_start_small_and_follow_their_key():
    config = synthetic.policy_config("chunk of 3", layers=1)
    draw = jax.jit(partial(initialize, config))
    first, again, other = (draw(jax.random.key(seed)) for seed in (0, 0, 1))
    kernel = first["blocks"]["projection_in"]["kernel"]
    assert {leaf.dtype for leaf in jax.tree.leaves(first)} == {np.dtype("float32")}
    assert count(first) == sum(np.size(leaf) for leaf in jax.tree.leaves(first))
    np.testing.assert_array_equal(kernel, again["blocks"]["projection_in"]["kernel"])
    assert (kernel != other["blocks"]["projection_in"]["kernel"]).any()
    assert 0.015 < np.std(kernel) < 0.025


def test_unstacked_layers_are_those_of_the_stack():
    """Layer after layer, and what is unstacked stays as it is."""
    config = synthetic.policy_config("1", layers=3)
    parameters = synthetic.parameters(config)
    apart = unstack(parameters)
    assert unstack(apart) is apart
    for index, layer in apart["blocks"].items():
        own = jax.tree.map(lambda x, index=index: x[index], parameters["blocks"])
        jax.tree.map(np.testing.assert_array_equal, layer, own)
