"""A step decays, compiles once and counts as it says."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import compiling, synthetic

from agentic.errors import AgenticError
from agentic.training.batch import batch_maker
from agentic.training.loop import (
    TrainingConfig,
    initial_state,
    make_optimizer,
    make_step,
    schedule,
)
from agentic.training.mesh import MeshShape, make_mesh, place_batch, state_sharding

CONFIG = synthetic.policy_config("chunk of 3", layers=1)
ONE = make_mesh(MeshShape())
TRAINING = TrainingConfig(steps=4, log_every=1, checkpoint_every=2, warmup=1)


@pytest.fixture(scope="module", autouse=True)
def compiled_plainly():
    with compiling.plainly():
        yield


@pytest.fixture(scope="module")
def compiled():
    """Return a step that is compiled once, and a function that makes fresh states for it."""
    first = jax.device_get(initial_state(CONFIG, TRAINING, ONE))
    places = state_sharding(ONE, first)
    return make_step(CONFIG, TRAINING, ONE), lambda: jax.device_put(first, places)


@lru_cache
def maker():
    return batch_maker(CONFIG, TRAINING.loss, ONE)


def batch(index: int):
    """Return the batch of a step, on the device."""
    return place_batch(maker()(synthetic.chain(seed=index)), ONE)


def test_a_step_compiles_once_and_counts(compiled):
    step, fresh = compiled
    state = fresh()
    for index in range(3):
        state, metrics = step(state, batch(index))
    assert int(state.step) == 3
    assert step._cache_size() == 1
    assert metrics.loss.dtype == metrics.gradient_norm.dtype == jnp.float32


def test_weight_decay_shrinks_kernels_and_nothing_else():
    config = TrainingConfig(weight_decay=0.5, learning_rate=0.1, warmup=1, steps=10)
    parameters = synthetic.parameters(synthetic.policy_config("chunk of 3"))
    optimizer = make_optimizer(config)
    state, zero = optimizer.init(parameters), jax.tree.map(jnp.zeros_like, parameters)
    update = jax.jit(optimizer.update)
    with jax.numpy_dtype_promotion("standard"):  # as in the step: optax relies on it
        _, state = update(zero, state, parameters)
        updates, _ = update(zero, state, parameters)
    flat = dict(jax.tree_util.tree_leaves_with_path(parameters))
    for path, change in jax.tree_util.tree_leaves_with_path(updates):
        factor = -0.05 if path[-1].key == "kernel" else 0.0
        np.testing.assert_allclose(change, factor * flat[path], rtol=1e-5)


@pytest.mark.parametrize(("steps", "warmup", "peak"), [(1000, 100, 100), (200, 100, 20)])
def test_learning_rate_rises_linearly_and_falls_to_zero(steps, warmup, peak):
    config = TrainingConfig(steps=steps, warmup=warmup, learning_rate=0.02)
    rate = np.array([float(schedule(config)(step)) for step in range(0, steps + 1, 10)])
    rising = rate[: peak // 10 + 1]
    np.testing.assert_allclose(rising, np.linspace(0, 0.02, len(rising)), rtol=1e-5)
    assert (np.diff(rate[peak // 10 :]) < 0).all()
    assert rate[-1] == pytest.approx(0.0, abs=1e-8)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"steps": 0}, "steps is 0; it must be at least 1"),
        ({"log_every": 0}, "log_every is 0"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0; it must be positive"),
        ({"clip": 0.0}, "clip is 0.0; it must be positive"),
        ({"remat": "layers"}, "remat is 'layers'; did you mean 'layer'"),
        ({"loss": "lats"}, "loss is 'lats'; did you mean 'last'"),
    ],
)
def test_contradictions_die_in_one_sentence(fields, words):
    with pytest.raises(AgenticError, match=words):
        TrainingConfig(**fields)
