"""IQL's expectile lies where its definition says, and its actor imitates by advantage."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agentic.methods.iql import IQL, expectile_loss
from agentic.methods.method import configure
from agentic.methods.transitions import Transitions

OBSERVATION, ACTION, B = 3, 2, 32


def make(**options):
    config = configure("cartpole_swingup", "", "iql", width=8, **options)
    return IQL(config, OBSERVATION, ACTION)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    shapes = ((B, OBSERVATION), (B, ACTION), (B,), (B, OBSERVATION))
    return Transitions(*(jnp.asarray(rng.uniform(-1, 1, s), jnp.float32) for s in shapes))


def minimiser(values, expectile):
    """Return the estimate of least loss on a fine grid."""
    grid = np.linspace(values.min(), values.max(), 20001, dtype=np.float32)
    losses = expectile_loss(jnp.asarray(values) - grid[:, None], expectile).mean(axis=1)
    return grid[int(np.argmin(losses))]


def test_the_expectile_of_a_half_is_the_mean_and_towards_one_the_maximum():
    values = np.array([-1.0, 0.0, 0.5, 3.0], np.float32)
    assert minimiser(values, 0.5) == pytest.approx(values.mean(), abs=1e-3)
    # Where the weighted pulls of what lies above and below balance.
    m = minimiser(values, 0.7)
    pulls = 0.7 * (values[values > m] - m).sum(), 0.3 * (m - values[values < m]).sum()
    assert pulls[0] == pytest.approx(pulls[1], rel=1e-2)
    assert values.mean() < m < minimiser(values, 0.99) < values.max()
    assert minimiser(values, 0.999) == pytest.approx(values.max(), abs=0.05)


def test_weights_rise_with_the_advantage_and_are_cut():
    method = make()
    advantages = jnp.asarray([-1.0, 0.0, 0.5, 5.0, 1e4])
    expected = [np.exp(-3), 1, np.exp(1.5), 100, 100]
    np.testing.assert_allclose(method.weights(advantages), expected, rtol=1e-5)
    even = make(temperature=0.0)
    np.testing.assert_array_equal(even.weights(advantages), 1)


def test_the_actors_density_is_a_gaussians(batch):
    method = make()
    parameters = method.init().actor.parameters
    parameters["log_deviation"] = jnp.asarray([-0.5, 9.0])  # the second is cut at 2
    policy = method.actor.bind(parameters)
    mean = np.asarray(policy(batch.observations))
    deviation = np.exp([-0.5, 2.0])
    error = (np.asarray(batch.actions) - mean) / deviation
    expected = np.log(np.exp(-0.5 * error**2) / (deviation * np.sqrt(2 * np.pi))).sum(axis=1)
    actual = policy.log_density(batch.observations, batch.actions)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_one_update_is_its_equations(batch):
    """Each loss is that of the recorded actions and of the networks that the paper names."""
    method = make(target_rate=0.25)
    # The slow critics are another draw, so that each kind is seen where it belongs.
    other = make(seed=5).init()
    before = method.init()._replace(slow_critic=other.slow_critic)
    after, metrics = jax.jit(method.update)(before, batch)
    recorded = np.asarray(method.critic(before.slow_critic, batch.observations, batch.actions))
    recorded = recorded.min(axis=0)
    error = recorded - np.asarray(method.value(before.value.parameters, batch.observations))[:, 0]
    weight = np.where(error < 0, 0.3, 0.7)
    assert float(metrics["value_loss"]) == pytest.approx((weight * error**2).mean(), rel=1e-4)
    # The actor and the critics already see the new value.
    value = np.asarray(method.value(after.value.parameters, batch.observations))[:, 0]
    weights = np.minimum(np.exp(3 * (recorded - value)), 100)
    policy = method.actor.bind(before.actor.parameters)
    density = np.asarray(policy.log_density(batch.observations, batch.actions))
    assert float(metrics["actor_loss"]) == pytest.approx(-(weights * density).mean(), rel=1e-4)
    following = np.asarray(method.value(after.value.parameters, batch.next_observations))[:, 0]
    aim = np.asarray(batch.rewards) + 0.99 * following
    values = np.asarray(method.critic(before.critic.parameters, batch.observations, batch.actions))
    expected = ((values - aim) ** 2).mean(axis=1).sum()
    assert float(metrics["critic_loss"]) == pytest.approx(expected, rel=1e-4)
    slow = jax.tree.map(
        lambda old, new: 0.75 * old + 0.25 * new, before.slow_critic, after.critic.parameters
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), after.slow_critic, slow
    )


def test_the_actors_rate_falls_along_a_cosine():
    method = make(steps=100)
    rates = [float(method.actor_rate(step)) for step in (0, 50, 100)]
    assert rates == pytest.approx([3e-4, 1.5e-4, 0.0], abs=1e-9)
