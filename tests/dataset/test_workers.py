"""Laws of reading ahead: in order, bounded, and errors at their turn."""

import threading

import pytest

from agentic.dataset.workers import in_order


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_order(workers):
    assert list(in_order(lambda x: x * x, range(20), workers)) == [x * x for x in range(20)]


def test_at_most_workers_and_one_results_wait():
    started, lock = [], threading.Lock()

    def read(item: int) -> int:
        with lock:
            started.append(item)
        return item

    for taken, item in enumerate(in_order(read, range(50), 3)):
        with lock:
            # Handed out, waiting, and the one whose place has become free.
            assert len(started) <= taken + 1 + 3 + 1
        assert item == taken


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_is_raised_at_its_turn(workers):
    def read(item: int) -> int:
        if item == 4:
            raise KeyError(item)
        return item

    seen = []
    with pytest.raises(KeyError):
        for item in in_order(read, range(9), workers):
            seen.append(item)
    assert seen == [0, 1, 2, 3]
