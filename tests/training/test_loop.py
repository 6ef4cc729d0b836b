"""The loss is its definition on unpadded steps; a step decays and compiles as it says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import compiling, policy_oracle, synthetic

from agentic.errors import AgenticError
from agentic.training.loop import (
    TrainingConfig,
    chain_loss,
    initial_state,
    make_optimizer,
    make_step,
    schedule,
)

GOLDEN = {"all": 0.6826137, "last": 0.7270839}
TRAINING = TrainingConfig(steps=4, log_every=1, checkpoint_every=2, warmup=1)


@pytest.fixture(scope="module", autouse=True)
def compiled_plainly():
    with compiling.plainly():
        yield


@pytest.fixture(scope="module")
def losses():
    """Return {loss: (parameters, chain) -> value}, compiled once."""
    config = synthetic.policy_config("chunk of 3")
    return {
        name: jax.jit(lambda p, chain, name=name: chain_loss(config, p, chain, name, None))
        for name in ("all", "last")
    }


@pytest.fixture(scope="module")
def compiled():
    """Return a step that is compiled once, and a function that makes fresh states for it."""
    config = synthetic.policy_config("chunk of 3", layers=1)
    first = jax.device_get(initial_state(config, TRAINING))
    return make_step(config, TRAINING), lambda: jax.tree.map(jnp.asarray, first)


# One present trajectory, absent ones, ragged ones: each weighs by its steps.
@pytest.mark.parametrize("lengths", [synthetic.LENGTHS, np.array([[4, 0, 0], [7, 2, 0]])])
def test_loss_is_the_mean_over_existing_steps(losses, lengths):
    config = synthetic.policy_config("chunk of 3")
    parameters, chain = synthetic.parameters(config), synthetic.chain(lengths)
    errors = {"all": [], "last": []}
    for row in range(len(lengths)):
        episodes = synthetic.episodes(chain, row)
        predicted = policy_oracle.actions(config, parameters, episodes)
        squares = [(p - e.actions) ** 2 for p, e in zip(predicted, episodes, strict=True)]
        errors["all"] += [step for episode in squares for step in episode]
        errors["last"] += list(squares[-1])
    for name, steps in errors.items():
        for batch in (chain, synthetic.with_garbage(chain)):
            assert losses[name](parameters, batch) == pytest.approx(np.mean(steps), rel=1e-5)


def test_loss_on_the_golden_batch(losses):
    config = synthetic.policy_config("chunk of 3")
    actual = {
        name: float(loss(synthetic.parameters(config), synthetic.chain()))
        for name, loss in losses.items()
    }
    assert actual == pytest.approx(GOLDEN, rel=1e-4), (
        "The loss on one fixed batch with fixed parameters has changed: what the model computes, "
        "how a chain becomes tokens or how the loss is averaged is no longer what earlier runs "
        "were trained with, so their checkpoints act differently now. If that is meant, say so in "
        f"CHANGELOG.md and set GOLDEN to {actual}."
    )


def test_a_step_compiles_once_and_counts(compiled):
    step, fresh = compiled
    state = fresh()
    for index in range(3):
        state, metrics = step(state, synthetic.chain(seed=index))
    assert int(state.step) == 3
    assert step._cache_size() == 1
    assert metrics.loss.dtype == metrics.gradient_norm.dtype == jnp.float32


def test_half_precision_with_dropout_trains_as_a_function_of_the_step():
    config = synthetic.policy_config("1", dtype="bfloat16", dropout=0.5)
    first, batch = jax.device_get(initial_state(config, TRAINING)), synthetic.chain()
    step = make_step(config, TRAINING)

    def loss(number: int) -> float:
        state = first._replace(step=np.int32(number))
        return float(step(jax.tree.map(jnp.asarray, state), batch)[1].loss)

    # In bfloat16 flax's layer norm relies on implicit promotion; our own code does not.
    with jax.numpy_dtype_promotion("standard"):
        state, _ = step(jax.tree.map(jnp.asarray, first), batch)
        state, metrics = step(state, batch)
        losses = loss(7), loss(7), loss(8)
    assert np.isfinite(metrics).all()
    leaves = zip(*map(jax.tree.leaves, (first.parameters, state.parameters)), strict=True)
    assert all(new.dtype == jnp.float32 and (old != new).any() for old, new in leaves)
    # A resumed run drops out what the first one would have.
    assert losses[0] == losses[1] != losses[2]


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
