"""Batches drawn ahead are the sampler's own, in any order, within bounds, and end cleanly."""

import threading
import weakref

import numpy as np
import pytest
from support.random_data import RAGGED

from agentic.dataset import ChainSampler
from agentic.dataset.prefetch import BATCHES, Prefetch
from agentic.errors import AgenticError

SIZE = 1000


class Counted:
    """A sampler of one array of SIZE bytes that notes every draw."""

    def __init__(self, failing=()):
        self.drawn, self.failing, self.made = [], failing, []
        self.changed = threading.Condition()

    def __call__(self, step: int) -> tuple:
        with self.changed:
            self.drawn.append(step)
            self.changed.notify_all()
        if step in self.failing:
            raise ValueError(f"step {step}")
        array = np.full(SIZE, step % 128, np.int8)
        self.made.append(weakref.ref(array))
        return (array,)

    def wait_for(self, count: int) -> None:
        """Wait until `count` draws were begun."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.drawn) >= count, timeout=60)


def threads() -> int:
    return threading.active_count()


@pytest.mark.parametrize("options", [{}, {"window": 6}])
def test_batches_are_bit_equal_in_any_order_of_steps(options):
    sampler = ChainSampler(RAGGED, trajectories=3, batch_size=2, **options)
    with Prefetch(sampler, memory=10**9) as ahead:
        for step in [0, 1, 2, 3, 7, 8, 8, 2, 0, 1]:
            ours, theirs = ahead(step), sampler(step)
            assert type(ours) is type(theirs)
            np.testing.assert_equal(tuple(ours), tuple(theirs))


@pytest.mark.parametrize(
    ("memory", "waiting"),
    [(1, 0), (SIZE - 1, 0), (SIZE, 1), (2 * SIZE + 1, 2), (10**9, BATCHES)],
)
def test_no_more_batches_wait_than_memory_admits(memory, waiting):
    sampler = Counted()
    with Prefetch(sampler, memory) as ahead:
        for step in range(5):
            assert ahead(step)[0][0] == step
            sampler.wait_for(step + 1 + waiting)
    assert sampler.drawn == list(range(5 + waiting))
    assert not any(array() is not None for array in sampler.made), "closed, it keeps none of them"


def test_a_jump_throws_away_what_was_drawn_and_goes_on_from_there():
    sampler = Counted()
    with Prefetch(sampler, memory=2 * SIZE) as ahead:
        ahead(0)
        sampler.wait_for(3)
        assert ahead(100)[0][0] == 100
        assert ahead(101)[0][0] == 101
    assert sampler.drawn[:5] == [0, 1, 2, 100, 101]


def test_an_error_surfaces_at_its_step_and_not_before():
    sampler = Counted(failing={2})
    with Prefetch(sampler, memory=10**9) as ahead:
        ahead(0)
        sampler.wait_for(3)
        ahead(1)
        assert sampler.drawn == [0, 1, 2], "what comes after an error waits until it is asked for"
        for _ in range(2):
            with pytest.raises(ValueError, match="step 2"):
                ahead(2)
        assert ahead(3)[0][0] == 3


@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt])
def test_no_thread_outlives_its_block(error):
    before = threads()
    caught = None
    try:
        with Prefetch(Counted(), memory=10**9) as ahead:
            ahead(0)
            assert threads() == before + 1
            if error is not None:
                raise error
    except (RuntimeError, KeyboardInterrupt) as raised:
        caught = type(raised)
    assert caught is error and threads() == before
    with pytest.raises(AgenticError, match="closed"):
        ahead(1)
    ahead.close()


def test_a_block_that_asks_for_nothing_ends_too():
    before = threads()
    with Prefetch(Counted(), memory=10**9):
        pass
    assert threads() == before


def test_settings_of_numpy_hold_in_the_thread():
    def sampler(step):
        return (np.ones(2) / np.float64(step),)

    with np.errstate(divide="ignore"), Prefetch(sampler, memory=100) as ahead:
        assert np.isinf(ahead(0)[0]).all()


def test_no_memory_is_refused():
    with pytest.raises(AgenticError, match="memory is 0 bytes; drawing ahead needs at least 1"):
        Prefetch(Counted(), memory=0)
