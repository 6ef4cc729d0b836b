"""TD3's target is the smaller of two estimates; actors descend what the two papers say."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agentic.methods.method import configure
from agentic.methods.td3 import TD3
from agentic.methods.transitions import Transitions

OBSERVATION, ACTION, B = 3, 2, 32


def make(method="td3", **options):
    config = configure("cartpole_swingup", "", method, width=8, **options)
    return TD3(config, OBSERVATION, ACTION)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    shapes = ((B, OBSERVATION), (B, ACTION), (B,), (B, OBSERVATION))
    return Transitions(*(jnp.asarray(rng.uniform(-1, 1, s), jnp.float32) for s in shapes))


def mlp(parameters, x, trunk):
    """Return the network's output, layer by layer in NumPy."""
    layers = parameters["layers"]
    for index in range(3):
        layer = layers[index]
        x = x @ np.asarray(layer["kernel"]) + np.asarray(layer["bias"])
        if index == 0 and trunk:
            x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
            x = np.tanh(x * np.asarray(parameters["norm"]["scale"]) + parameters["norm"]["bias"])
        elif index < 2:
            x = np.maximum(x, 0)
    return x


@pytest.mark.parametrize("name", ["td3", "td3_bc"])
def test_the_target_is_the_smaller_of_the_slow_critics_at_the_slow_actors_action(batch, name):
    method = make(name, noise=0.0)
    # The learning networks are another draw: the target must not look at them.
    state, other = method.init(), make(name, seed=5).init()
    state = state._replace(actor=other.actor, critic=other.critic)
    actions = np.tanh(
        mlp(state.slow_actor["layers"], batch.next_observations, method.options.trunk)
    )
    inputs = np.concatenate([batch.next_observations, actions], axis=-1)

    def estimates():
        twins = (state.slow_critic["twins"][i] for i in (0, 1))
        return [mlp(twin, inputs, method.options.trunk)[:, 0] for twin in twins]

    # Put the twins on one level, so that neither is the smaller everywhere.
    twins = estimates()
    state.slow_critic["twins"][1]["layers"][2]["bias"] += float((twins[0] - twins[1]).mean())
    twins = estimates()
    expected = batch.rewards + 0.99 * np.minimum(*twins)
    np.testing.assert_allclose(method.target(state, batch), expected, rtol=1e-4, atol=1e-4)
    for twin in twins:
        assert np.abs(expected - (batch.rewards + 0.99 * twin)).max() > 1e-3


def test_the_targets_noise_is_clipped_and_drawn_anew_for_every_update(batch):
    method, seen = make(noise=5.0, noise_clip=0.3), []
    state = method.init()

    class Spy:
        def __call__(self, parameters, observations, actions):
            seen.append(np.asarray(actions))
            return jnp.zeros((2, B))

    object.__setattr__(method, "critic", Spy())  # in place of the cached network
    for step in (0, 1):
        method.target(state._replace(step=jnp.asarray(step)), batch)
    exact = np.asarray(method.actor(state.slow_actor, batch.next_observations))
    for actions in seen:
        assert np.abs(actions).max() <= 1
        inside = np.abs(actions) < 1
        # Noise of such deviation is nearly always cut.
        assert np.isclose(np.abs(actions - exact)[inside], 0.3, atol=1e-5).mean() > 0.5
        assert np.abs(actions - exact).max() <= 0.3 + 1e-5
    assert (seen[0] != seen[1]).any()


def test_td3_climbs_the_first_critic_alone(batch):
    method = make()
    state = method.init()
    actor, critic = state.actor.parameters, state.critic.parameters
    actions = method.actor(actor, batch.observations)
    expected = -method.critic(critic, batch.observations, actions)[0].mean()
    assert float(method.actor_loss(actor, critic, batch)) == pytest.approx(
        float(expected), rel=1e-5
    )


def test_td3_bc_weighs_the_value_by_alpha_over_its_size(batch):
    method = make("td3_bc", alpha=2.5)
    state = method.init()
    actor, critic = state.actor.parameters, state.critic.parameters
    actions = method.actor(actor, batch.observations)
    values = np.asarray(method.critic(critic, batch.observations, actions)[0])
    expected = np.square(actions - batch.actions).mean()
    expected -= 2.5 * values.mean() / np.abs(values).mean()
    assert float(method.actor_loss(actor, critic, batch)) == pytest.approx(
        float(expected), rel=1e-4
    )


def test_td3_bc_with_alpha_towards_zero_becomes_behaviour_cloning(batch):
    def gradient(alpha):
        method = make("td3_bc", alpha=alpha)
        state = method.init()
        return jax.grad(method.actor_loss)(state.actor.parameters, state.critic.parameters, batch)

    method = make("td3_bc")
    actor = method.init().actor.parameters
    cloning = jax.grad(
        lambda p: jnp.square(method.actor(p, batch.observations) - batch.actions).mean()
    )(actor)

    def distance(alpha):
        differences = jax.tree.map(lambda a, b: jnp.abs(a - b).max(), gradient(alpha), cloning)
        return max(map(float, jax.tree.leaves(differences)))

    distances = [distance(alpha) for alpha in (2.5, 0.25, 0.025, 0.0)]
    assert distances[0] > 1e-2 and distances[-1] < 1e-7
    # The pull of the values is linear in alpha.
    np.testing.assert_allclose(np.divide(distances[:2], distances[1:3]), 10, rtol=1e-2)


def test_an_actor_waits_and_slow_copies_wait_with_it(batch):
    method = make("td3_bc", actor_every=3, target_rate=0.25)
    update = jax.jit(method.update)
    states, losses = [method.init()], []
    for _ in range(3):
        state, metrics = update(states[-1], batch)
        states.append(state)
        losses.append(float(metrics["actor_loss"]))

    def same(a, b):
        return all(jax.tree.leaves(jax.tree.map(lambda x, y: bool((x == y).all()), a, b)))

    for before, after in itertools.pairwise(states[:3]):
        assert same(before.actor.parameters, after.actor.parameters)
        assert same(before.slow_critic, after.slow_critic)
        assert not same(before.critic.parameters, after.critic.parameters)
    assert not same(states[2].actor.parameters, states[3].actor.parameters)
    assert losses[:2] == [0, 0] and losses[2] != 0
    for slow, fresh in [
        ("slow_actor", states[3].actor), ("slow_critic", states[3].critic),
    ]:  # fmt: skip
        expected = jax.tree.map(
            lambda old, new: 0.75 * old + 0.25 * new, getattr(states[2], slow), fresh.parameters
        )
        moved = getattr(states[3], slow)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), moved, expected
        )
