"""What learns from a data set, and the one loop that trains it, whatever the method.

learner.initial()                          the state before the first step
with learner.batches() as draw:            batches, each a function of the step it is for
    state, metrics = learner.update(state, draw(step, limit))
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from agentic.errors import AgenticError

# Metadata of options that change how steps are computed and not what is learned: a run may be
# resumed with another value, and runs that differ in it compare.
SAME_RESULT = {"same_result": True}
# Of an update: scalars, or arrays [count or more] of the steps that it took.
Metrics = Mapping[str, jax.Array]


class Batch(NamedTuple):
    """What one call of `update` learns from: the data of `count` steps."""

    data: Any
    count: int


class Learner(Protocol):
    """A method with its options and data; states are pytrees whose `step` counts steps taken.

    A state that is saved, restored and trained on must be that of a run without the pause, bit for
    bit: batches and random draws are functions of the seed and the step.
    """

    @property
    def from_data(self) -> dict[str, Any]:
        """What follows from the data, such as sizes and normalisation, for config.json."""

    def initial(self) -> Any:
        """Return the state before the first step."""

    def like(self) -> Any:
        """Return a state's shapes, types and places, with no array made."""

    def batches(self) -> AbstractContextManager[Callable[[int, int], Batch]]:
        """Open the source of batches: draw(step, limit) is that of `step` and those that follow.

        It may hold several steps, `limit` at most.
        """

    def update(self, state: Any, batch: Batch) -> tuple[Any, Metrics]:
        """Return the state after a batch's steps, and their metrics, "loss" among them.

        It takes over the buffers of the state it is given. A metric that is not finite stops
        training; "finite" may say of a whole update that its state is.
        """

    def record(self, metrics: dict[str, np.ndarray], step: int) -> dict[str, float]:
        """Return what is logged of the steps up to `step`; metrics [steps] are float64."""

    def saved(self, state: Any) -> dict[str, Any]:
        """Return what a checkpoint holds of a state, by name."""

    def restored(self, items: dict[str, Any]) -> Any:
        """Return the state that `saved` made the items of."""


@dataclass(frozen=True)
class Course:
    """How long training goes on, and how often it says and saves how far it is.

    Attributes:
        steps: training steps, of one batch each.
        log_every: steps between logged metrics.
        checkpoint_every: steps between checkpoints; the last step always has one.
    """

    steps: int = 2500
    log_every: int = 20
    checkpoint_every: int = 500

    def __post_init__(self):
        for name in ("steps", "log_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise AgenticError(f"{name} is {getattr(self, name)}; it must be at least 1.")


class NonFiniteLoss(AgenticError):
    """Raised when a loss, a gradient or a state stops being finite; names the step."""


def fit(learner: Learner, state: Any, course: Course) -> Iterator[tuple[Any, dict[str, float]]]:
    """Train from the state's step to `course.steps`; yield the state and a record when one is due.

    A record holds step, what `learner.record` makes of the steps since the record before, seconds
    since the start and steps_per_second. It is due at least at every `log_every`, every
    `checkpoint_every` and the last step, and comes only if everything up to it is finite; else
    NonFiniteLoss is raised. Close the generator, so that the source of batches is closed too.
    """
    done = int(state.step)
    start = last = time.perf_counter()
    with learner.batches() as draw:
        while done < course.steps:
            logged, pending = done, []
            due = _next_record(done, course)
            while done < due:
                batch = draw(done, due - done)
                # Updates return before they are done, so that the next batch is drawn meanwhile.
                state, metrics = learner.update(state, batch)
                pending.append((batch.count, metrics))
                done += batch.count
            record = learner.record(_finite(pending, logged), done)
            now = time.perf_counter()
            speed = (done - logged) / max(now - last, 1e-9)
            times = {"seconds": now - start, "steps_per_second": speed}
            yield state, {"step": done, **record, **times}
            last = now


def _next_record(done: int, course: Course) -> int:
    every = (course.log_every, course.checkpoint_every)
    return min(course.steps, *(done // each * each + each for each in every))


def _finite(pending: list[tuple[int, Metrics]], logged: int) -> dict[str, np.ndarray]:
    """Return the metrics [steps] of some updates, or raise NonFiniteLoss; `logged` steps before."""
    table: dict[str, list[np.ndarray]] = {}
    done = logged
    for count, metrics in jax.device_get(pending):
        done += count
        own = {name: np.atleast_1d(value)[:count] for name, value in metrics.items()}
        sound = own.pop("finite", np.ones(1)).all()
        broken = ~np.all([np.isfinite(values) for values in own.values()], axis=0)
        if broken.any() or not sound:
            at = int(np.argmax(broken)) if broken.any() else count - 1
            raise NonFiniteLoss(
                f"the loss is {own['loss'][at]} at step {done - count + at + 1}, where training "
                "broke down; lower the learning rate or look for outliers in the data."
            )
        for name, values in own.items():
            table.setdefault(name, []).append(values)
    return {name: np.concatenate(parts).astype(np.float64) for name, parts in table.items()}
