"""Many updates in a call are as many calls of one, in one program; the loop stops as it should."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import line

from agentic.methods.method import ROOM, fit, make_learn, make_method
from agentic.methods.options import IQLConfig, TD3BCConfig, TD3Config
from agentic.methods.transitions import TransitionSampler
from agentic.training.loop import NonFiniteLoss

OPTIONS = {"task": line.TASK, "data": "", "width": 8, "batch_size": 4, "log_every": 3}
CONFIGS = [kind(**OPTIONS, steps=8) for kind in (TD3Config, TD3BCConfig, IQLConfig)]


@pytest.fixture(scope="module")
def sampler():
    return TransitionSampler(line.mixed(4), batch_size=4, seed=0)


@pytest.fixture(scope="module", params=CONFIGS, ids=lambda config: config.method)
def compiled(request):
    """Return a configuration, its learn and a function that makes fresh states for it."""
    method = make_method(request.param, 1, 1)
    first = jax.device_get(method.init())
    return request.param, make_learn(method), lambda: jax.tree.map(jnp.array, first)


def equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_how_updates_are_shared_out_among_calls_changes_no_bit(compiled, sampler):
    _, learn, fresh = compiled
    whole, metrics = learn(fresh(), sampler(0, 7, ROOM), 7)
    metrics = jax.device_get(metrics)
    assert bool(metrics.pop("finite")) and int(whole.step) == 7
    state, done = fresh(), 0
    for count in (1, 4, 2):
        state, part = learn(state, sampler(done, count, ROOM), count)
        for name, values in metrics.items():
            np.testing.assert_array_equal(part[name][:count], values[done : done + count])
        done += count
    equal(state, whole)


def test_nothing_is_compiled_after_the_first_call(compiled, sampler):
    _, learn, fresh = compiled
    state, _ = learn(fresh(), sampler(0, 7, ROOM), 7)
    programs = learn._cache_size()
    for count in (1, ROOM, 3):
        state, _ = learn(state, sampler(0, count, ROOM), count)
    assert learn._cache_size() == programs == 1


def test_records_come_when_they_are_due_and_hold_means(compiled, sampler):
    config, learn, fresh = compiled
    config = dataclasses.replace(config, checkpoint_every=4)
    records = [record for _, record in fit(fresh(), learn, sampler, config)]
    assert [record["step"] for record in records] == [3, 4, 6, 8]
    _, metrics = learn(fresh(), sampler(0, 8, ROOM), 8)
    for record, part in zip(records, (slice(0, 3), slice(3, 4), slice(4, 6), slice(6, 8)),
                            strict=True):  # fmt: skip
        for name in metrics.keys() - {"finite"}:
            expected = np.asarray(metrics[name])[part].mean()
            assert record[name] == pytest.approx(expected, rel=1e-5, abs=1e-7)
        assert record["loss"] == record["critic_loss"]


def test_the_loop_goes_on_from_the_states_step(compiled, sampler):
    config, learn, fresh = compiled
    *_, (whole, last) = fit(fresh(), learn, sampler, config)
    state, _ = next(fit(fresh(), learn, sampler, config))
    state = jax.tree.map(jnp.array, jax.device_get(state))
    *_, (resumed, record) = fit(state, learn, sampler, config)
    equal(resumed, whole)
    assert record["loss"] == last["loss"] and record["step"] == 8


def test_the_loop_stops_at_the_first_update_that_is_not_finite(compiled, sampler):
    config, learn, fresh = compiled

    def broken(first, count, room):
        batch = sampler(first, count, room)
        rewards = np.array(batch.rewards)
        if first <= 4 < first + count:
            rewards[4 - first] = np.nan
        return batch._replace(rewards=rewards)

    loop = fit(fresh(), learn, broken, config)
    assert next(loop)[1]["step"] == 3
    with pytest.raises(NonFiniteLoss, match=r"the loss is nan at step 5, .*lower the learning"):
        next(loop)


def test_a_state_that_is_not_finite_is_noticed_where_no_loss_tells(compiled, sampler):
    config, learn, fresh = compiled

    def quiet(state, batches, count):
        state, metrics = learn(state, batches, count)
        return state, metrics | {"finite": jnp.asarray(False)}

    with pytest.raises(NonFiniteLoss, match="at step 3, where learning broke down"):
        next(fit(fresh(), quiet, sampler, config))
