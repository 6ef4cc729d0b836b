"""Each method's intrinsic reward does what its paper says, on tiny problems; and all keep a law.

Legend: A and B are places in the plane; "familiar" is what a method was trained on.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agentic.collect.agent import Agent
from agentic.collect.config import EXPLORERS, DDPGConfig
from agentic.collect.drivers import explorer_type
from agentic.collect.entropy import particle_entropy
from agentic.collect.explorers.explorer import Transitions
from agentic.collect.explorers.proto import sinkhorn
from agentic.collect.replay import Windows

METHODS = [name for name in EXPLORERS if name != "random"]
SIZE, ROWS = 2, 64
A, B = np.array([-1.0, 0.0]), np.array([2.0, 1.5])


def make(name, observation_size=SIZE, width=32, **fields):
    return explorer_type(name)(observation_size, 1, width, 3e-3, **fields)


def transitions(explorer, place, seed=0, rows=ROWS, spread=0.2):
    """Return transitions near a place: an action moves the point right, skills are the prior's."""
    rng = np.random.default_rng(seed)
    observations = rng.normal(place, spread, (rows, len(place)))
    actions = rng.uniform(-1, 1, (rows, 1))
    after = observations + 0.3 * actions * np.eye(len(place))[0]
    skills = jax.vmap(explorer.sample_skill)(jax.random.split(jax.random.key(seed), rows))
    arrays = (observations, actions, after)
    return Transitions(*(jnp.asarray(array, jnp.float32) for array in arrays), skills)


def stacked(batches):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *batches)


def train(explorer, batches, rounds=40):
    """Return the state before and after learning from a list of batches, `rounds` times over.

    Equal numbers of both let one compiled program serve several tests.
    """
    data = stacked(batches)

    @jax.jit
    def learn(state, keys):
        def update(state, part):
            return explorer.update(state, *part)[0], None

        def epoch(state, key):
            keys = jax.random.split(key, len(batches))
            return jax.lax.scan(update, state, (data, keys))[0], None

        return jax.lax.scan(epoch, state, keys)[0]

    before = explorer.init(np.random.default_rng(0))
    return before, learn(before, jax.random.split(jax.random.key(0), rounds))


def reward(explorer, state, batch):
    return np.asarray(jax.jit(explorer.intrinsic_reward)(state, batch))


@pytest.mark.parametrize("name", METHODS)
def test_every_method_keeps_the_contract_within_the_agent(name):
    """Traced, not compiled: an update takes a state to one of the same shapes and types."""
    agent = Agent(make(name, width=8), DDPGConfig(width=8, n_step=2), seed=0)
    skills = jnp.zeros((16, agent.explorer.skill_size))
    windows = Windows(jnp.zeros((3, 16, SIZE)), jnp.zeros((2, 16, 1)), skills)
    before = jax.eval_shape(lambda: agent.init())
    after, metrics = jax.eval_shape(agent._learn, before, windows)
    assert after == before
    assert metrics.keys() > {"intrinsic_reward", "actor_loss", "critic_loss"}
    assert all(scalar.shape == () for scalar in metrics.values())
    batch = Transitions(
        windows.observations[0], windows.actions[0], windows.observations[1], skills
    )
    reward = jax.eval_shape(agent.explorer.intrinsic_reward, before.explorer, batch)
    assert (reward.shape, reward.dtype) == ((16,), jnp.float32)


@pytest.mark.parametrize("name", ["rnd", "icm", "disagreement"])
def test_the_familiar_earns_less_than_the_new(name):
    explorer = make(name)
    before, after = train(explorer, [transitions(explorer, A, seed) for seed in range(16)])
    familiar, new = (transitions(explorer, place, seed=99) for place in (A, B))
    gaps = [
        reward(explorer, state, new).mean() / reward(explorer, state, familiar).mean()
        for state in (before, after)
    ]
    assert gaps[1] > 10 * max(gaps[0], 1)
    fell = reward(explorer, after, familiar).mean() / reward(explorer, before, familiar).mean()
    assert fell < 0.1


def noisy(explorer, seed, rows=ROWS):
    """Return transitions of a world with a button: actions above zero draw an unforeseeable end."""
    batch = transitions(explorer, A, seed, rows)
    rng = np.random.default_rng(seed + 1000)
    ends = jnp.asarray(rng.uniform(-1, 1, (rows, SIZE)), jnp.float32)
    pressed = batch.actions > 0
    return batch._replace(next_observations=jnp.where(pressed, ends, batch.next_observations))


def test_disagreement_ignores_the_noise_that_keeps_curiosity_staring():
    """The noisy television of Burda et al. 2018 and Pathak et al. 2019, section 3."""
    excess = {}
    for name in ("icm", "disagreement"):
        explorer = make(name)
        _, state = train(explorer, [noisy(explorer, seed) for seed in range(16)])
        batch = noisy(explorer, 999, 512)
        rewards, pressed = reward(explorer, state, batch), np.asarray(batch.actions[:, 0] > 0)
        new = reward(explorer, state, transitions(explorer, B, seed=99)).mean()
        # In units of what a new place earns: noise that is left of the reward once it is learned.
        excess[name] = rewards[pressed].mean() / new
    assert excess["icm"] > max(0.2, 5 * excess["disagreement"]), excess


def test_icm_features_keep_what_the_action_moves():
    """The second coordinate is noise that no action touches; inverse dynamics need not see it."""
    explorer = make("icm")
    batches = [transitions(explorer, A, seed, spread=0.5) for seed in range(16)]
    batches = [
        batch._replace(
            next_observations=batch.next_observations.at[:, 1].set(
                jax.random.normal(jax.random.key(i), (ROWS,))
            )
        )
        for i, batch in enumerate(batches)
    ]
    _, state = train(explorer, batches)
    model = explorer.network.bind(state.parameters)
    # Half of the law is that the action can be read off at all: chance has its variance, 1/3.
    _, inverse = model.errors(batches[0])
    assert inverse.mean() < 0.1
    base = model.features(jnp.asarray([A], jnp.float32))
    moved, noise = (
        float(jnp.abs(model.features(jnp.asarray([A + step], jnp.float32)) - base).mean())
        for step in (np.array([0.3, 0.0]), np.array([0.0, 0.3]))
    )
    assert moved > 2 * noise


@pytest.mark.parametrize("name", ["icm_apt", "proto"])
def test_reward_grows_with_the_distance_to_neighbours(name):
    explorer = make(name)
    _, state = train(explorer, [transitions(explorer, A, seed) for seed in range(16)])
    steps = np.array([0.0, 0.5, 1.0, 2.0])
    batch = transitions(explorer, A, seed=99)
    # Four of the points stand alone, further and further from the crowd.
    alone = batch.next_observations.at[:4].set(
        jnp.asarray(A + steps[:, None] * np.array([1.0, 1.0]), jnp.float32)
    )
    rewards = reward(explorer, state, batch._replace(next_observations=alone))[:4]
    assert (np.diff(rewards) > 0).all()
    assert rewards[-1] > 1.5 * rewards[0]


def test_icm_apt_is_particle_entropy_of_the_features():
    explorer = make("icm_apt", neighbours=4)
    state = explorer.init(np.random.default_rng(0))
    batch = transitions(explorer, A, seed=3)
    phi = explorer.network.bind(state.parameters).features(batch.next_observations)
    np.testing.assert_allclose(
        reward(explorer, state, batch), particle_entropy(phi, 4), rtol=1e-3, atol=1e-4
    )


def test_proto_reward_is_the_distance_to_the_kth_of_the_queue():
    explorer = make("proto", neighbours=3, prototypes=16, queue=64)
    before, state = train(explorer, [transitions(explorer, A, seed) for seed in range(3)], 1)
    queue = np.asarray(state.queue)
    # Three updates put 3 x 16 candidates, all on the unit sphere, behind 16 empty places.
    np.testing.assert_array_equal(queue[:16], np.asarray(before.queue)[:16])
    np.testing.assert_allclose(np.linalg.norm(queue[16:], axis=1), 1, rtol=1e-4)
    batch = transitions(explorer, B, seed=5)
    embedded = explorer.network.bind(state.networks.parameters).embed(batch.next_observations)
    expected = [np.sort(np.linalg.norm(queue - point, axis=1))[2] for point in np.asarray(embedded)]
    np.testing.assert_allclose(reward(explorer, state, batch), expected, rtol=1e-2, atol=5e-3)


def test_sinkhorn_shares_rows_and_columns_evenly():
    scores = np.random.default_rng(0).normal(0, 3, (12, 4)).astype(np.float32)
    assigned = np.asarray(sinkhorn(jnp.asarray(scores), iterations=200))
    np.testing.assert_allclose(assigned.sum(axis=1), 1, rtol=1e-4)
    np.testing.assert_allclose(assigned.sum(axis=0), 3, rtol=1e-3)
    # The slow way: scale columns and rows of the exponentials in turn.
    slow = np.exp(scores.astype(float))
    for _ in range(3):
        slow /= slow.sum(axis=0, keepdims=True)
        slow /= slow.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(sinkhorn(jnp.asarray(scores)), slow, rtol=1e-4)


def by_skill(explorer, seed, rows=ROWS):
    """Return transitions in which every skill has a place of its own on a circle."""
    batch = transitions(explorer, A, seed, rows)
    angle = 2 * np.pi * np.asarray(batch.skills).argmax(-1) / explorer.skill_size
    places = np.stack([np.cos(angle), np.sin(angle)], axis=-1) * 3
    noise = np.random.default_rng(seed).normal(0, 0.1, places.shape)
    return batch._replace(next_observations=jnp.asarray(places + noise, jnp.float32))


def test_diayn_pays_for_skills_that_can_be_told_apart():
    explorer = make("diayn")
    before, after = train(explorer, [by_skill(explorer, seed) for seed in range(16)])
    batch = by_skill(explorer, 99)
    # Chance earns nothing, certainty the entropy of the skills.
    np.testing.assert_allclose(reward(explorer, before, batch).mean(), 0, atol=1.0)
    assert reward(explorer, after, batch).mean() > 0.8 * np.log(16)
    other = batch._replace(skills=jnp.roll(batch.skills, 1, axis=-1))
    assert reward(explorer, after, other).mean() < 0
    logits = explorer.network(after.parameters, batch.next_observations)
    assert (np.argmax(logits, -1) == np.argmax(batch.skills, -1)).mean() > 0.95


def test_smm_pays_for_rare_states_and_for_telling_skills():
    explorer = make("smm", density_rate=3e-3, discriminator_rate=3e-3, code=2)
    _, state = train(explorer, [by_skill(explorer, seed) for seed in range(16)])
    usual = by_skill(explorer, 99)
    rare = usual._replace(next_observations=usual.next_observations * 2)
    # Further out on the same ray: as telling of the skill, but rarely visited.
    assert reward(explorer, state, rare).mean() > reward(explorer, state, usual).mean() + 1
    other = usual._replace(skills=jnp.roll(usual.skills, 1, axis=-1))
    log_q = jax.jit(explorer.log_q)
    parameters = state.discriminator.parameters
    assert log_q(parameters, usual).mean() > log_q(parameters, other).mean() + 3


def test_smm_adds_up_as_the_paper_says():
    explorer = make("smm", width=8)
    state = explorer.init(np.random.default_rng(0))
    batch = by_skill(explorer, 1)
    model = explorer.density.bind(state.density.parameters)
    density = model.bound(batch.next_observations, batch.skills, jnp.zeros((ROWS, 16)), 0.5)
    log_q = explorer.log_q(state.discriminator.parameters, batch)
    np.testing.assert_allclose(
        reward(explorer, state, batch), -density + log_q + np.log(4), rtol=1e-3, atol=1e-4
    )


def test_aps_reward_is_the_skills_task_plus_entropy():
    explorer = make("aps", neighbours=4)
    batches = []
    for seed in range(16):
        batch = transitions(explorer, A, seed)
        # The skill's first two weights show in the state that is reached.
        batches.append(batch._replace(next_observations=2 * batch.skills[:, :2]))
    before, after = train(explorer, batches)
    phi = np.asarray(explorer.network(after.parameters, batches[0].next_observations))
    unit, skills = phi / np.linalg.norm(phi, axis=1, keepdims=True), np.asarray(batches[0].skills)
    task, entropy = explorer.reward_terms(after, batches[0])
    np.testing.assert_allclose(task, [w @ f for w, f in zip(skills, unit, strict=True)], rtol=1e-3)
    np.testing.assert_allclose(entropy, particle_entropy(jnp.asarray(unit), 4), rtol=1e-3)
    total = reward(explorer, after, batches[0])
    np.testing.assert_allclose(total, np.asarray(task) + np.asarray(entropy), rtol=1e-3)
    # Learning turns features towards the skills that led there.
    untrained, _ = explorer.reward_terms(before, batches[0])
    assert np.asarray(task).mean() > np.asarray(untrained).mean() + 0.2
