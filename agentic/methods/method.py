"""Many updates in one compiled call, and the loop over calls as a generator of metrics.

A baseline's run: trained in a folder that says everything needed to repeat it, and read back.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from agentic.acting.reactive import ReactivePolicy
from agentic.dataset.dataset import Dataset
from agentic.methods.iql import IQL
from agentic.methods.networks import Network, Parameters
from agentic.methods.options import BaselineConfig, config_class
from agentic.methods.td3 import TD3
from agentic.methods.transitions import Batch, TransitionSampler
from agentic.network.config import Normalization
from agentic.progress import Progress
from agentic.simulation.tasks import get_task
from agentic.training import checkpoint
from agentic.training.loop import NonFiniteLoss
from agentic.training.run import begin, chosen_step, describe, follow

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


# Added to deviations before dividing: TD3+BC's figure (arXiv 2106.06860, section 5).
LEAST_DEVIATION = 1e-3
# What scaled returns span: IQL's figure (arXiv 2110.06169, appendix B).
RETURN_SPAN = 1000.0


def train(
    config: BaselineConfig,
    folder: Path,
    data: Dataset,
    resume: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Train in `folder`, or go on where it stopped, and return the folder.

    Arguments, results and errors are those of `agentic.methods.transformer.run`.
    """
    normalization, scale = normalization_of(config, data), reward_scale(config, data)
    sampler = TransitionSampler(
        data, config.batch_size, config.seed, normalization.observation_mean,
        normalization.observation_std, scale, config.resident * 10**6,
    )  # fmt: skip
    parts = _parts(config, normalization, scale)
    document = describe(config, data, jax.devices()[0].device_kind, **parts)
    # In this order: the normalisation follows from an option and is not what the user chose.
    compared = dict.fromkeys(("sampler", "training", "policy"), type(config))
    begin(folder, document, resume, compared)
    method = make_method(config, data.observations.shape[2], data.actions.shape[2])
    state = method.init()
    if resume and checkpoint.steps(folder):
        state = checkpoint.load(folder, checkpoint.latest(folder), "state", state)
    loop = fit(state, make_learn(method), sampler, config)
    done, steps, every = int(state.step), config.steps, config.checkpoint_every
    follow(loop, folder, done, steps, every, _items, progress)
    return folder


def _items(state: Any) -> dict[str, Any]:
    """Return what a checkpoint holds: the actor, which is all that acting reads, and all."""
    return {"parameters": state.actor.parameters, "state": state}


def load(folder: Path, document: dict, step: int | None = None) -> ReactivePolicy:
    """Return the policy of the run in `folder`, whose config.json is `document`.

    Raises AgenticError where there is no such checkpoint.
    """
    step = chosen_step(folder, step)
    method = method_of(document)
    like = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=jax.sharding.SingleDeviceSharding(jax.devices()[0])
        ),
        method.actor.shapes,
    )
    normalization = Normalization(
        tuple(document["policy"]["observation_mean"]), tuple(document["policy"]["observation_std"])
    )
    parameters = checkpoint.load(folder, step, "parameters", like)
    return ReactivePolicy(jitted_actor(method), parameters, normalization)


@lru_cache(maxsize=8)
def jitted_actor(method: Method) -> Callable[[Parameters, np.ndarray], jax.Array]:
    """Return a method's jitted actor: parameters, observations [B, O] -> [B, A]."""
    return jax.jit(method.actor.__call__)


def method_of(document: dict) -> Method:
    """Return the method that a config.json describes."""
    config = config_class(document["method"])(**document["experiment"])
    policy = document["policy"]
    return make_method(config, policy["observation_size"], policy["action_size"])


def _parts(config: BaselineConfig, normalization: Normalization, scale: float) -> dict:
    """Return the parts of config.json that reports and a resumed run compare."""
    own, spec = dataclasses.asdict(config), get_task(config.task)
    sampled = ("batch_size", "seed")
    elsewhere = (*config.RUN, *sampled, "width")
    return {
        "policy": {
            "observation_size": spec.observation_size,
            "action_size": spec.action_size,
            "width": config.width,
            "observation_mean": normalization.observation_mean,
            "observation_std": normalization.observation_std,
        },
        "sampler": {name: own[name] for name in sampled} | {"reward_scale": scale},
        "training": {name: own[name] for name in own if name not in elsewhere},
    }


def normalization_of(config: BaselineConfig, data: Dataset) -> Normalization:
    """Return what observations are shifted and divided by: zeros and ones if left as they are."""
    size = data.observations.shape[2]
    if not config.normalize:
        return Normalization((0.0,) * size, (1.0,) * size)
    mean, deviation = data.observation_statistics()
    return Normalization(
        tuple(map(float, mean)), tuple(float(value) + LEAST_DEVIATION for value in deviation)
    )


def reward_scale(config: BaselineConfig, data: Dataset) -> float:
    """Return what rewards are multiplied by: 1 if they are left as they are.

    Rewards of data whose returns are all equal are left, too: there is no span to scale.
    """
    span = float(data.returns.max() - data.returns.min())
    if not getattr(config, "scale_rewards", False) or span == 0:
        return 1.0
    return RETURN_SPAN / span
