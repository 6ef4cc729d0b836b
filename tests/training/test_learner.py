"""The loop trains to the last step, tells of every step once, and stops where numbers break."""

from contextlib import closing, contextmanager
from typing import NamedTuple

import numpy as np
import pytest

from agentic.errors import AgenticError
from agentic.training import checkpoint
from agentic.training.learner import Batch, Course, NonFiniteLoss, fit
from agentic.training.run import keep, newest_state


class State(NamedTuple):
    """What a `Counter` has added up."""

    total: np.ndarray
    step: np.ndarray


class Counter:
    """A learner that adds up the numbers it is shown, `size` steps of them in a batch."""

    def __init__(self, size=1, broken_at=None, finite=True):
        self.size, self.broken_at, self.finite = size, broken_at, finite
        self.from_data, self.limits, self.open = {}, [], 0

    def initial(self):
        return State(np.zeros(()), np.zeros((), np.int32))

    like = initial

    @contextmanager
    def batches(self):
        def draw(step, limit):
            self.limits.append(limit)
            count = min(self.size, limit)
            return Batch(np.arange(step, step + self.size, dtype=np.float64), count)

        self.open += 1
        try:
            yield draw
        finally:
            self.open -= 1

    def update(self, state, batch):
        losses = np.where(batch.data == self.broken_at, np.nan, batch.data)
        total = np.asarray(state.total + batch.data[: batch.count].sum())
        metrics = {"loss": losses[0] if self.size == 1 else losses, "norm": batch.data}
        step = np.asarray(state.step + np.int32(batch.count))
        return State(total, step), metrics | {"finite": np.asarray(self.finite)}

    def record(self, metrics, step):
        return {"loss": float(metrics["loss"].mean()), "steps": len(metrics["norm"])}

    def saved(self, state):
        return {"state": state}

    def restored(self, items):
        return items["state"]


@pytest.mark.parametrize("size", [1, 3, 50])
def test_records_come_when_they_are_due_and_tell_of_every_step_once(size):
    learner = Counter(size)
    course = Course(steps=11, log_every=5, checkpoint_every=4)
    with closing(fit(learner, learner.initial(), course)) as loop:
        states, records = zip(*loop, strict=True)
    assert [record["step"] for record in records] == [4, 5, 8, 10, 11]
    assert [record["steps"] for record in records] == [4, 1, 3, 2, 1]
    assert [record["loss"] for record in records] == [1.5, 4.0, 6.0, 8.5, 10.0]
    assert states[-1].total == sum(range(11)) and learner.open == 0
    assert list(records[0]) == ["step", "loss", "steps", "seconds", "steps_per_second"]
    assert records[0]["seconds"] <= records[-1]["seconds"]


def test_the_loop_goes_on_from_the_states_step():
    learner = Counter(3)
    course = Course(steps=8, log_every=4, checkpoint_every=4)
    whole = [(state.total, record["step"]) for state, record in fit(learner, State(0.0, 0), course)]
    state, _ = next(fit(learner, State(0.0, 0), course))
    rest = [(state.total, record["step"]) for state, record in fit(learner, state, course)]
    assert rest == whole[1:]


@pytest.mark.parametrize("size", [1, 2])
def test_a_metric_that_is_not_finite_stops_before_its_record(size):
    learner, seen = Counter(size, broken_at=2), []
    course = Course(steps=6, log_every=1, checkpoint_every=6)
    with (
        pytest.raises(NonFiniteLoss, match=r"the loss is nan at step 3, .*; lower the") as caught,
        closing(fit(learner, learner.initial(), course)) as loop,
    ):
        seen.extend(record["step"] for _, record in loop)
    assert seen == [1, 2] and learner.open == 0
    assert "\n" not in str(caught.value)


def test_a_state_that_is_not_finite_is_noticed_where_no_loss_tells():
    course = Course(steps=6, log_every=3, checkpoint_every=6)
    learner = Counter(4, finite=False)
    with pytest.raises(NonFiniteLoss, match="at step 3, where training broke down"):
        next(fit(learner, learner.initial(), course))


def test_training_that_breaks_down_keeps_what_was_good(tmp_path):
    learner, course = Counter(broken_at=2), Course(steps=4, log_every=1, checkpoint_every=2)
    with pytest.raises(NonFiniteLoss):
        keep(tmp_path, learner, learner.initial(), course, None)
    assert checkpoint.steps(tmp_path) == [2]
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2
    again = Counter()
    state = newest_state(tmp_path, again)
    assert (float(state.total), int(state.step)) == (1.0, 2)
    told = []
    keep(tmp_path, again, state, course, lambda *now: told.append(now))
    assert told == [(3, 4, "loss 2.0000"), (4, 4, "loss 3.0000")]
    assert float(newest_state(tmp_path, again).total) == 6


@pytest.mark.parametrize("name", ["steps", "log_every", "checkpoint_every"])
def test_a_course_has_steps(name):
    with pytest.raises(AgenticError, match=f"{name} is 0; it must be at least 1"):
        Course(**{name: 0})
