"""Laws of labelling a store: as if it had been converted so, whole or not at all."""

import fcntl
import os
import resource

import numpy as np
import pytest

from agentic.dataset import convert, load_dataset, relabel_store, verify
from agentic.dataset.store.labelling import copy_file
from agentic.dataset.store.reading import is_labelled, open_arrays
from agentic.errors import AgenticError

TWO_EPISODES = 18  # in states, of the store below
TASK, OTHER, THIRD = "cartpole_swingup", "cartpole_balance", "cartpole_balance_sparse"


@pytest.fixture
def store(tmp_path, directory):
    """A store of five episodes of unequal length, labelled for one task."""
    path = tmp_path / "store.h5"
    convert(directory(6, 3, 9, 4, 1), path, [TASK])
    return path


@pytest.mark.parametrize("control", ["action", "zero"])
@pytest.mark.parametrize("workers", [1, 3])
def test_labels_are_those_of_the_episodes(store, tmp_path, control, workers):
    calls = []
    done = relabel_store(
        store, [OTHER, THIRD, OTHER], control, workers, lambda *c: calls.append(c), TWO_EPISODES
    )
    assert done == (store, (OTHER, THIRD), 23)
    assert calls == [(n, 46) for n in (9, 22, 23, 32, 45, 46)]
    for task in (OTHER, THIRD):
        labelled = load_dataset(store, task, control)
        loaded = load_dataset(tmp_path / "buffer", task, control)
        np.testing.assert_array_equal(labelled.rewards, loaded.rewards)
        np.testing.assert_array_equal(labelled.returns, loaded.returns)
        assert labelled.fingerprint == loaded.fingerprint
    assert open_arrays(store).facts["control"] == ("action" if control == "action" else "mixed")
    assert verify(store).problems == ()


def test_labels_are_replaced_and_the_rest_stays(store):
    before = load_dataset(store, TASK)
    kept = [np.array(x) for x in (before.observations, before.actions, before.physics)]
    place = before.rewards.offset
    assert is_labelled(store, TASK, "action") and not is_labelled(store, TASK, "zero")
    relabel_store(store, [TASK], "zero")
    assert is_labelled(store, TASK, "zero") and not is_labelled(store, TASK, "action")
    after = load_dataset(store, TASK, "zero")
    assert (after.rewards != before.rewards).any()
    for old, new in zip(kept, (after.observations, after.actions, after.physics), strict=True):
        np.testing.assert_array_equal(old, new)
    assert after.fingerprint != before.fingerprint and after.rewards.offset == place
    assert verify(store).problems == ()


def test_who_has_opened_a_store_keeps_its_labels(store):
    data = load_dataset(store, TASK)
    before = np.array(data.rewards)
    relabel_store(store, [TASK], "zero")
    np.testing.assert_array_equal(data.rewards, before)


@pytest.mark.parametrize("when", [1, 2, 3, 4])
def test_an_interruption_leaves_the_store_as_it_was(store, tmp_path, when):
    before, here, calls = store.read_bytes(), sorted(tmp_path.iterdir()), []

    def interrupt(done: int, total: int) -> None:
        calls.append(done)
        if len(calls) == when:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        relabel_store(
            store, [TASK, OTHER], "zero", progress=interrupt, states_at_a_time=TWO_EPISODES
        )
    assert store.read_bytes() == before and sorted(tmp_path.iterdir()) == here


def test_a_failure_to_write_leaves_the_store_as_it_was(store, tmp_path):
    before, here = store.read_bytes(), sorted(tmp_path.iterdir())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A limit on the size of files stands in for a full disk: while copying, and at the new rewards.
    for size in (len(before) // 2, len(before) + 100):
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
            with pytest.raises(AgenticError, match=r"store\.h5 could not be written \(File too"):
                relabel_store(store, [OTHER])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert store.read_bytes() == before and sorted(tmp_path.iterdir()) == here


def test_a_copy_is_a_copy_where_files_cannot_share_blocks(store, tmp_path):
    def refused(source: int, target: int, count: int) -> int:
        raise OSError(18, "Invalid cross-device link")

    def halfway(source: int, target: int, count: int) -> int:
        if count < store.stat().st_size:
            refused(source, target, count)
        return os.copy_file_range(source, target, 1000)

    for copy_range in (None, refused, halfway):
        copy_file(store, tmp_path / "copy", copy_range)
        assert (tmp_path / "copy").read_bytes() == store.read_bytes()


def test_a_link_is_followed(store, tmp_path):
    link = tmp_path / "elsewhere" / "link.h5"
    link.parent.mkdir()
    link.symlink_to(store)
    assert relabel_store(link, [OTHER]).path == link
    assert link.is_symlink() and is_labelled(store, OTHER, "action")
    assert sorted(tmp_path.iterdir()) == sorted([link.parent, store, tmp_path / "buffer"])
    # All names of a store share one lock.
    with store.with_name(f".{store.name}.lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(AgenticError, match="another process is labelling"):
            relabel_store(link, [THIRD])


def test_one_process_labels_at_a_time(store):
    with store.with_name(f".{store.name}.lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(AgenticError, match="another process is labelling"):
            relabel_store(store, [OTHER])
    relabel_store(store, [OTHER])


def test_what_cannot_be_labelled_is_one_sentence(store, tmp_path, directory):
    for tasks, rule in (
        ([], "no task was given"),
        (["walker_run"], "holds episodes of cartpole, and walker_run is a task of walker"),
        (["cartpole_two_poles"], "has physics of width 4, but cartpole_two_poles has width 6"),
        ([TASK, "walker_run"], "do not share a simulator"),
    ):
        with pytest.raises(AgenticError, match=rule):
            relabel_store(store, tasks)
    bare = tmp_path / "bare.h5"
    convert(tmp_path / "buffer", bare, [TASK], physics=False)
    with pytest.raises(AgenticError, match="holds no physics, from which rewards are computed"):
        relabel_store(bare, [OTHER])
    with pytest.raises(AgenticError, match="does not exist"):
        relabel_store(tmp_path / "no.h5", [OTHER])
