"""Many updates in one compiled call, and the loop over calls as a generator of metrics."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from agentic.baselines.config import BaselineConfig
from agentic.baselines.iql import IQL
from agentic.baselines.td3 import TD3
from agentic.baselines.transitions import Batch
from agentic.networks import Network
from agentic.training import NonFiniteLoss

# Updates a call has room for: Python's share of an update is then a few microseconds.
ROOM = 50


class Method(Protocol):
    """A value-learning method: pure functions of its state, which has `actor` and `step`."""

    @property
    def actor(self) -> Network: ...

    def init(self) -> Any: ...

    def update(self, state: Any, batch: Batch) -> tuple[Any, dict[str, jax.Array]]: ...


def make_method(config: BaselineConfig, observation_size: int, action_size: int) -> Method:
    """Return the method that a configuration describes."""
    kind = IQL if config.method == "iql" else TD3
    return kind(config, observation_size, action_size)


def make_learn(
    method: Method,
) -> Callable[[Any, Batch, int], tuple[Any, dict[str, jax.Array]]]:
    """Return the jitted learn(state, batches [K, B], count), which takes over the state's buffers.

    It makes `count` <= K updates, one batch each. The number is no part of the program, so every
    call runs the same one, and how updates are shared out among calls changes no bit. Metrics are
    [K], zero beyond `count`; "finite" tells whether all of the new state is.
    """

    @partial(jax.jit, donate_argnums=0)
    def learn(state: Any, batches: Batch, count: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
        def pick(index: jax.Array) -> Batch:
            return Batch(*(array[index] for array in batches))

        def once(index: jax.Array, carry: tuple) -> tuple:
            state, metrics = carry
            state, new = method.update(state, pick(index))
            return state, {name: metrics[name].at[index].set(new[name]) for name in metrics}

        names = jax.eval_shape(method.update, state, pick(jnp.zeros((), jnp.int32)))[1]
        empty = {name: jnp.zeros(len(batches.rewards)) for name in names}
        state, metrics = jax.lax.fori_loop(0, count, once, (state, empty))
        finite = jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(state)]).all()
        return state, metrics | {"finite": finite}

    return learn


def fit(
    state: Any,
    learn: Callable[[Any, Batch, int], tuple[Any, dict[str, jax.Array]]],
    sampler: Callable[[int, int, int], Batch],
    config: BaselineConfig,
) -> Iterator[tuple[Any, dict[str, float]]]:
    """Learn to `config.steps`, yielding the state and a metrics record at every logged step.

    A record holds step, the mean of each metric since the last record, loss (the critics', the
    mean squared error of their targets), learning_rate, seconds since the start and
    steps_per_second. A record comes at least at every `log_every`, every `checkpoint_every` and
    the last step, and only if everything up to it is finite; else NonFiniteLoss is raised.
    """
    logged = int(state.step)
    start = last = time.perf_counter()
    while logged < config.steps:
        due = min(
            config.steps,
            *(
                logged // every * every + every
                for every in (config.log_every, config.checkpoint_every)
            ),
        )
        pending = []
        for first in range(logged, due, ROOM):
            count = min(ROOM, due - first)
            # Calls return before they are done, so that the next batches are drawn meanwhile.
            state, metrics = learn(state, sampler(first, count, ROOM), count)
            pending.append((count, metrics))
        means = _means(pending, logged, config)
        now = time.perf_counter()
        yield (
            state,
            {
                "step": due,
                "loss": means["critic_loss"],
                **means,
                "learning_rate": config.learning_rate,
                "seconds": now - start,
                "steps_per_second": (due - logged) / max(now - last, 1e-9),
            },
        )
        last, logged = now, due


def _means(pending: list[tuple[int, dict]], logged: int, config: BaselineConfig) -> dict:
    """Return the mean of every metric over the updates of some calls, or raise NonFiniteLoss."""
    fetched = [(count, jax.device_get(metrics)) for count, metrics in pending]
    finite = [metrics.pop("finite") for _, metrics in fetched]
    table = {
        name: np.concatenate([metrics[name][:count] for count, metrics in fetched])
        for name in fetched[0][1]
    }
    sound = np.logical_and.reduce([np.isfinite(values) for values in table.values()])
    if not sound.all() or not all(finite):
        at = int(np.argmin(sound)) if not sound.all() else len(sound) - 1
        raise NonFiniteLoss(
            f"the loss is {table['critic_loss'][at]} at step {logged + at + 1}, where learning "
            f"broke down; lower the learning rate ({config.learning_rate:g}) or look for outliers "
            "in the data."
        )
    return {name: float(values.mean(dtype=np.float64)) for name, values in table.items()}
