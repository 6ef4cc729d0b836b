"""Many updates in a call are as many calls of one, in one program, whatever the method."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import line

from agentic.methods import METHODS
from agentic.methods.method import configure
from agentic.methods.transitions import TransitionSampler
from agentic.methods.value import ROOM, ValueLearner
from agentic.training.learner import Batch, NonFiniteLoss, fit

OPTIONS = {"width": 8, "batch_size": 4, "log_every": 3, "steps": 8, "checkpoint_every": 4}
NAMES = ["td3", "td3_bc", "iql"]


@pytest.fixture(scope="module")
def sampler():
    return TransitionSampler(line.mixed(4), batch_size=4, seed=0)


@pytest.fixture(scope="module", params=NAMES)
def compiled(request, sampler):
    """Return a configuration, its learner and a function that makes fresh states for it."""
    config = configure(line.TASK, "", request.param, **OPTIONS)
    algorithm = METHODS[request.param].algorithm(config, 1, 1)
    learner = ValueLearner(algorithm, config.options.learning_rate, sampler, {})
    first = jax.device_get(learner.initial())
    return config, learner, lambda: jax.tree.map(jnp.array, first)


def equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_how_updates_are_shared_out_among_calls_changes_no_bit(compiled, sampler):
    _, learner, fresh = compiled
    whole, metrics = learner.update(fresh(), Batch(sampler(0, 7, ROOM), 7))
    metrics = jax.device_get(metrics)
    assert bool(metrics.pop("finite")) and int(whole.step) == 7
    state, done = fresh(), 0
    for count in (1, 4, 2):
        state, part = learner.update(state, Batch(sampler(done, count, ROOM), count))
        for name, values in metrics.items():
            np.testing.assert_array_equal(part[name][:count], values[done : done + count])
        done += count
    equal(state, whole)


def test_nothing_is_compiled_after_the_first_call(compiled, sampler):
    _, learner, fresh = compiled
    state, _ = learner.update(fresh(), Batch(sampler(0, 7, ROOM), 7))
    programs = learner._update._cache_size()
    for count in (1, ROOM, 3):
        state, _ = learner.update(state, Batch(sampler(0, count, ROOM), count))
    assert learner._update._cache_size() == programs == 1


def test_records_hold_means_and_the_critics_loss(compiled, sampler):
    config, learner, fresh = compiled
    records = [record for _, record in fit(learner, fresh(), config)]
    assert [record["step"] for record in records] == [3, 4, 6, 8]
    _, metrics = learner.update(fresh(), Batch(sampler(0, 8, ROOM), 8))
    for record, part in zip(records, (slice(0, 3), slice(3, 4), slice(4, 6), slice(6, 8)),
                            strict=True):  # fmt: skip
        for name in metrics.keys() - {"finite"}:
            expected = np.asarray(metrics[name])[part].mean()
            assert record[name] == pytest.approx(expected, rel=1e-5, abs=1e-7)
        assert record["loss"] == record["critic_loss"]
        assert record["learning_rate"] == config.options.learning_rate


def test_what_is_saved_is_the_state(compiled):
    _, learner, fresh = compiled
    state = fresh()
    items = learner.saved(state)
    equal(learner.restored(items), state)
    equal(items["parameters"], state.actor.parameters)
    shapes = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), learner.like())
    assert shapes == jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), state)


def test_learning_stops_at_the_first_update_that_is_not_finite(compiled, sampler):
    config, learner, fresh = compiled

    def broken(first, count, room):
        batch = sampler(first, count, room)
        rewards = np.array(batch.rewards)
        if first <= 4 < first + count:
            rewards[4 - first] = np.nan
        return batch._replace(rewards=rewards)

    loop = fit(ValueLearner(learner.algorithm, 1e-3, broken, {}), fresh(), config)
    assert next(loop)[1]["step"] == 3
    assert next(loop)[1]["step"] == 4
    with pytest.raises(NonFiniteLoss, match=r"the loss is nan at step 5, .*lower the learning"):
        next(loop)
