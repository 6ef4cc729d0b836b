"""What methods that learn values share: options, many updates in one compiled call, a policy."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from agentic.acting.reactive import ReactivePolicy
from agentic.dataset.dataset import Dataset
from agentic.errors import AgenticError
from agentic.methods.method import RunConfig, config_of
from agentic.methods.networks import Network, Parameters
from agentic.methods.transitions import Transitions, TransitionSampler
from agentic.network.config import Normalization
from agentic.training.checkpoint import Checkpoint, on_one_device
from agentic.training.learner import SAME_RESULT, Batch, Course, Metrics

# Updates that a call has room for: Python's share of an update is then a few microseconds.
ROOM = 50
# For CPUs and data sets of 10^4 to 10^6 transitions; the papers take 10^6 steps.
COURSE = Course(steps=20_000, log_every=200, checkpoint_every=5000)
# Added to deviations before dividing: TD3+BC's figure (arXiv 2106.06860, section 5).
LEAST_DEVIATION = 1e-3
# What scaled returns span: IQL's figure (arXiv 2110.06169, appendix B).
RETURN_SPAN = 1000.0


@dataclass(frozen=True)
class ValueOptions:
    """Options of every method that learns values; figures that the papers share stand here.

    Attributes:
        batch_size: transitions an update.
        learning_rate: of every Adam.
        width: hidden units of each of two layers in every network.
        discount: per step.
        target_rate: share of a network that its slow copy takes over at each update of it.
        normalize: shift and scale observations to mean 0 and deviation 1 over the data.
        resident: megabytes of data at most that are put on the device; larger data stays where it
            is and gives the transitions of each batch alone. Changes no bit of the result.
    """

    batch_size: int = 256
    learning_rate: float = 3e-4
    width: int = 256
    discount: float = 0.99
    target_rate: float = 0.005
    normalize: bool = False
    resident: int = field(default=1024, metadata=SAME_RESULT)

    def __post_init__(self):
        self._at_least(1, "batch_size", "width")
        self._at_least(0, "resident")
        self._positive("learning_rate")
        if not 0 <= self.discount < 1:
            raise AgenticError(f"discount is {self.discount}; it must be at least 0 and below 1.")
        if not 0 < self.target_rate <= 1:
            raise AgenticError(
                f"target_rate is {self.target_rate}; it must be above 0 and at most 1."
            )

    def _at_least(self, least: int, *names: str) -> None:
        for name in names:
            if getattr(self, name) < least:
                raise AgenticError(f"{name} is {getattr(self, name)}; it must be at least {least}.")

    def _positive(self, *names: str) -> None:
        for name in names:
            if not getattr(self, name) > 0:
                raise AgenticError(f"{name} is {getattr(self, name)}; it must be positive.")


class Algorithm(Protocol):
    """Pure functions of a state that has `actor` and `step`."""

    @property
    def actor(self) -> Network: ...

    def init(self) -> Any: ...

    def update(self, state: Any, batch: Transitions) -> tuple[Any, dict[str, jax.Array]]: ...


# (state, transitions of K updates or more [K, B] and how many to make) -> state, metrics
Update = Callable[[Any, Batch], tuple[Any, dict[str, jax.Array]]]


def make_update(algorithm: Algorithm) -> Update:
    """Return the jitted function that makes updates, `count` of the K that a batch has room for.

    It takes over the state's buffers. The count is not part of the program: every call runs the
    same one, and the bits do not depend on how updates are shared out among calls. Metrics are
    [K], zero beyond the count; "loss" is the critics', and "finite" tells whether all of the new
    state is.
    """

    @partial(jax.jit, donate_argnums=0)
    def update(state: Any, batch: Batch) -> tuple[Any, dict[str, jax.Array]]:
        def pick(index: jax.Array) -> Transitions:
            return Transitions(*(array[index] for array in batch.data))

        def once(index: jax.Array, carry: tuple) -> tuple:
            state, metrics = carry
            state, new = algorithm.update(state, pick(index))
            return state, {name: metrics[name].at[index].set(new[name]) for name in metrics}

        names = jax.eval_shape(algorithm.update, state, pick(jnp.zeros((), jnp.int32)))[1]
        empty = {name: jnp.zeros(len(batch.data.rewards)) for name in names}
        state, metrics = jax.lax.fori_loop(0, batch.count, once, (state, empty))
        finite = jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(state)]).all()
        return state, metrics | {"loss": metrics["critic_loss"], "finite": finite}

    return update


@dataclass(frozen=True)
class ValueLearner:
    """A `Learner` of an algorithm that updates critics and an actor with batches of transitions."""

    algorithm: Algorithm
    learning_rate: float
    sampler: Callable[[int, int, int], Transitions]
    from_data: Mapping[str, Any]

    @cached_property
    def _update(self) -> Update:
        return make_update(self.algorithm)

    def initial(self) -> Any:
        """Return the state before the first update."""
        return self.algorithm.init()

    def like(self) -> Any:
        """Return a state's shapes, types and places."""
        return on_one_device(jax.eval_shape(self.algorithm.init))

    @contextmanager
    def batches(self) -> Iterator[Callable[[int, int], Batch]]:
        """Draw the transitions of up to ROOM updates at a time."""

        def draw(step: int, limit: int) -> Batch:
            count = min(ROOM, limit)
            return Batch(self.sampler(step, count, ROOM), count)

        yield draw

    def update(self, state: Any, batch: Batch) -> tuple[Any, Metrics]:
        """Return the state after the updates of a batch, and their metrics."""
        return self._update(state, batch)

    def record(self, metrics: dict[str, np.ndarray], step: int) -> dict[str, float]:
        """Return the mean of each metric and the learning rate; loss is the critics'."""
        means = {name: float(values.mean()) for name, values in metrics.items()}
        return {"loss": means.pop("loss"), **means, "learning_rate": self.learning_rate}

    def saved(self, state: Any) -> dict[str, Any]:
        """Return the actor, which is all that acting reads, and the whole state."""
        return {"parameters": state.actor.parameters, "state": state}

    def restored(self, items: dict[str, Any]) -> Any:
        """Return the whole state."""
        return items["state"]


@dataclass(frozen=True)
class ValueMethod:
    """A `Method` that learns values and acts without memory.

    `algorithm` makes the functions of a run's configuration and the sizes of observation and
    action.
    """

    title: str
    Options: type[ValueOptions]
    algorithm: Callable[[RunConfig, int, int], Algorithm]
    course: Course = field(default=COURSE)
    imitates: bool = False
    across_processes: bool = False

    def learner(self, config: RunConfig, data: Dataset) -> ValueLearner:
        """Return what learns values from the data."""
        options, sizes = config.options, (data.observations.shape[2], data.actions.shape[2])
        normalization, scale = normalization_of(options, data), reward_scale(options, data)
        sampler = TransitionSampler(
            data, options.batch_size, config.seed, normalization.observation_mean,
            normalization.observation_std, scale, options.resident * 10**6,
        )  # fmt: skip
        from_data = {
            "observation_size": sizes[0],
            "action_size": sizes[1],
            "normalization": {
                "observation_mean": normalization.observation_mean,
                "observation_std": normalization.observation_std,
            },
            "reward_scale": scale,
        }
        algorithm = self.algorithm(config, *sizes)
        return ValueLearner(algorithm, options.learning_rate, sampler, from_data)

    def policy(
        self, document: Mapping[str, Any], checkpoint: Checkpoint, **kept: Any
    ) -> ReactivePolicy:
        """Return the actor of a checkpoint; it has no context that could be kept in any way."""
        if kept:
            raise AgenticError(
                f"{document['method']} acts without a context; leave out {' and '.join(kept)}."
            )
        follows = document["from_data"]
        algorithm = self.algorithm(
            config_of(document), follows["observation_size"], follows["action_size"]
        )
        parameters = checkpoint.load("parameters", on_one_device(algorithm.actor.shapes))
        mean, deviation = (
            tuple(follows["normalization"][name])
            for name in ("observation_mean", "observation_std")
        )
        return ReactivePolicy(jitted_actor(algorithm), parameters, Normalization(mean, deviation))

    def notes(self, config: RunConfig) -> list[str]:
        """Return nothing: there is nothing to say before training."""
        return []


@lru_cache(maxsize=8)
def jitted_actor(algorithm: Algorithm) -> Callable[[Parameters, np.ndarray], jax.Array]:
    """Return an algorithm's jitted actor: parameters, observations [B, O] -> [B, A]."""
    return jax.jit(algorithm.actor.__call__)


def normalization_of(options: ValueOptions, data: Dataset) -> Normalization:
    """Return what observations are shifted and divided by: zeros and ones if left as they are."""
    size = data.observations.shape[2]
    if not options.normalize:
        return Normalization((0.0,) * size, (1.0,) * size)
    mean, deviation = data.observation_statistics()
    return Normalization(
        tuple(map(float, mean)), tuple(float(value) + LEAST_DEVIATION for value in deviation)
    )


def reward_scale(options: ValueOptions, data: Dataset) -> float:
    """Return what rewards are multiplied by: 1 if they are left as they are.

    Rewards of data whose returns are all equal are left, too: there is no span to scale.
    """
    span = float(data.returns.max() - data.returns.min())
    if not getattr(options, "scale_rewards", False) or span == 0:
        return 1.0
    return RETURN_SPAN / span
