"""The agent: targets against a slow loop, standardised rewards, skills, and that it learns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agentic.collect.agent import Agent
from agentic.collect.config import DDPGConfig
from agentic.collect.ddpg import DDPG, Batch
from agentic.collect.explorers.aps import APS
from agentic.collect.explorers.diayn import DIAYN
from agentic.collect.explorers.explorer import Explorer
from agentic.collect.explorers.rnd import RND
from agentic.collect.explorers.smm import SMM
from agentic.collect.replay import Windows

CONFIG = DDPGConfig(width=8, n_step=2, discount=0.9)
B = 16


def batch(ddpg, skill_size=0, seed=0):
    draw = np.random.default_rng(seed).normal
    return Batch(*(
        jnp.asarray(draw(size=shape).astype(np.float32))
        for shape in (
            (B, ddpg.input_size), (B, ddpg.action_size), (B,), (B, ddpg.input_size), (B, skill_size)
        )
    ))  # fmt: skip


@pytest.mark.parametrize("features", [0, 3])
def test_critic_target_is_the_formula_one_row_at_a_time(features):
    ddpg = DDPG(DDPGConfig(width=8, n_step=2, discount=0.9, noise=0.0), 4, 2, features)
    state, data = ddpg.init(np.random.default_rng(0)), batch(ddpg, features)
    # A critic other than its slow copy, so that the wrong one shows.
    state = state._replace(target=ddpg.init(np.random.default_rng(1)).critic.parameters)
    weights = data.skills if features else jnp.ones((B, 1))
    actual = ddpg.critic_target(state, data, weights, jax.random.key(2))
    actor = ddpg.actor.bind(state.actor.parameters)
    critic = ddpg.critic.bind(state.target)
    for i in range(3):
        action = jnp.tanh(actor(data.next_inputs[i]))
        hidden = critic.trunk(jnp.concatenate([data.next_inputs[i], action]))
        outputs = [np.asarray(head(hidden)) for head in critic.heads]
        # Q = psi.w with successor features, else the output itself.
        values = [float(psi @ np.asarray(weights[i])) for psi in outputs]
        expected = float(data.returns[i]) + 0.9**2 * min(values)
        np.testing.assert_allclose(actual[i], expected, rtol=1e-4, atol=1e-5)


def test_actions_stay_in_range_and_noise_is_clipped():
    ddpg = DDPG(DDPGConfig(width=8, noise=5.0), 4, 2)
    actor = ddpg.init(np.random.default_rng(0)).actor.parameters
    inputs = jnp.asarray(np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32))
    free = ddpg.act(actor, inputs, jax.random.key(1))
    clipped = ddpg.act(actor, inputs, jax.random.key(1), clip=0.3)
    quiet = jnp.tanh(ddpg.actor(actor, inputs))
    assert np.abs(free).max() == 1 and (np.abs(free) == 1).mean() > 0.5
    assert np.abs(clipped - quiet).max() <= 0.3 + 1e-6


def test_the_target_follows_slowly():
    ddpg = DDPG(CONFIG, 4, 2)
    before = ddpg.init(np.random.default_rng(0))
    after, _ = jax.jit(ddpg.update)(before, batch(ddpg), jax.random.key(1))
    for slow, old, new in zip(
        *map(jax.tree.leaves, (after.target, before.target, after.critic.parameters)), strict=True
    ):
        np.testing.assert_allclose(slow, 0.99 * old + 0.01 * new, rtol=1e-4, atol=1e-6)


def test_ddpg_finds_the_action_that_pays():
    """A bandit: the return is -(a - 0.5)^2, whatever the state."""
    config = DDPGConfig(width=32, learning_rate=3e-3, discount=0.0, noise=0.1)
    ddpg = DDPG(config, 1, 1)

    def step(state, key):
        keys = jax.random.split(key)
        actions = jax.random.uniform(keys[0], (64, 1), minval=-1.0)
        data = Batch(
            jnp.zeros((64, 1)), actions, -jnp.square(actions[:, 0] - 0.5), jnp.zeros((64, 1)),
            jnp.zeros((64, 0)),
        )  # fmt: skip
        return ddpg.update(state, data, keys[1])[0], None

    keys = jax.random.split(jax.random.key(1), 400)
    state, _ = jax.jit(lambda s: jax.lax.scan(step, s, keys))(ddpg.init(np.random.default_rng(0)))
    action = jnp.tanh(ddpg.actor(state.actor.parameters, jnp.zeros((1, 1))))
    np.testing.assert_allclose(action, 0.5, atol=0.1)


class Sum(Explorer):
    """A method whose reward is known: the sum of the transition's next observation and action."""

    def init(self, generator):
        return jnp.zeros(())

    def intrinsic_reward(self, state, transitions):
        return transitions.next_observations.sum(-1) + transitions.actions.sum(-1)

    def update(self, state, transitions, key):
        return state + 1, {}


def windows(agent, seed=0, batch=B):
    explorer, n = agent.explorer, agent.config.n_step
    draw = np.random.default_rng(seed).normal
    shapes = (
        (n + 1, batch, explorer.observation_size),
        (n, batch, explorer.action_size),
        (batch, explorer.skill_size),
    )
    return Windows(*(draw(1, 3, size=shape).astype(np.float32) for shape in shapes))


def test_the_return_is_the_discounted_sum_of_standardised_intrinsic_rewards():
    given = {}

    class Spy(DDPG):
        """A DDPG that keeps the data of its update and learns nothing from it."""

        def update(self, state, data, key):
            given.update(data._asdict())
            return state, {}

    agent = Agent(Sum(3, 2, 8, 1e-3), CONFIG, seed=0)
    agent.ddpg = Spy(CONFIG, 3, 2)
    data = windows(agent)
    state, metrics = agent._learn(agent.init(), data)
    mean, std = data.observations[0].mean(0), data.observations[0].std(0)
    seen = np.clip((data.observations - mean) / std, -5, 5)
    raw = np.array([seen[k + 1].sum(-1) + data.actions[k].sum(-1) for k in range(2)])
    scaled = (raw - raw[0].mean()) / raw[0].std()
    np.testing.assert_allclose(given["returns"], scaled[0] + 0.9 * scaled[1], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(given["inputs"], seen[0], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(given["next_inputs"], seen[2], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(metrics["intrinsic_reward"], raw.mean(), rtol=1e-3)
    assert state.explorer == 1 and state.updates == 1


def test_learning_does_not_recompile():
    agent = Agent(RND(3, 2, 8, 1e-3), CONFIG, seed=0)
    state = agent.init()
    for number in range(3):
        state, _ = agent.learn(state, windows(agent, number))
    skills = np.zeros((2, 0), np.float32)
    for step in (0, 1):
        agent.act(state, np.zeros((2, 3), np.float32), skills, np.uint32(step))
    assert agent.learn._cache_size() == 1 and agent.act._cache_size() == 1


@pytest.mark.parametrize(("method", "period"), [(DIAYN, 50), (SMM, 120), (APS, 5)])
def test_skills_last_their_period_and_depend_on_the_episode_alone(method, period):
    agent = Agent(method(3, 2, 8, 1e-3), CONFIG, seed=0)
    skills = agent.skills(np.arange(60), 120)
    assert skills.shape == (60, 120, agent.explorer.skill_size)
    np.testing.assert_array_equal(skills[5], agent.skills(np.array([5]), 120)[0])
    np.testing.assert_allclose(np.linalg.norm(skills, axis=-1), 1, rtol=1e-5)
    for start in range(0, 120, period):
        part = skills[:, start : start + period]
        np.testing.assert_array_equal(part, np.broadcast_to(part[:, :1], part.shape))
    starts = skills[:, ::period].reshape(-1, agent.explorer.skill_size)
    different = len(np.unique(starts, axis=0))
    assert different == (len(starts) if method is APS else agent.explorer.skill_size)
