"""Laws of labelling a store: as if it had been converted so, whole or not at all."""

import fcntl

import numpy as np
import pytest

from agentic.dataset import convert, load_dataset, relabel_store, verify
from agentic.dataset import relabel as module
from agentic.dataset.store import is_labelled, open_arrays
from agentic.errors import AgenticError

TASK, OTHER, THIRD = "cartpole_swingup", "cartpole_balance", "cartpole_balance_sparse"


@pytest.fixture
def store(tmp_path, directory):
    """A store of five episodes of unequal length, labelled for one task."""
    path = tmp_path / "store.h5"
    convert(directory(6, 3, 9, 4, 1), path, [TASK])
    return path


@pytest.mark.parametrize("control", ["action", "zero"])
@pytest.mark.parametrize("workers", [1, 3])
def test_labels_are_those_of_the_episodes(store, tmp_path, monkeypatch, control, workers):
    monkeypatch.setattr(module, "BLOCK", 18)  # two episodes at a time
    calls = []
    done = relabel_store(store, [OTHER, THIRD, OTHER], control, workers, lambda *c: calls.append(c))
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
def test_an_interruption_leaves_the_store_as_it_was(store, tmp_path, monkeypatch, when):
    monkeypatch.setattr(module, "BLOCK", 18)
    before, here, calls = store.read_bytes(), sorted(tmp_path.iterdir()), []

    def interrupt(done: int, total: int) -> None:
        calls.append(done)
        if len(calls) == when:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        relabel_store(store, [TASK, OTHER], "zero", progress=interrupt)
    assert store.read_bytes() == before and sorted(tmp_path.iterdir()) == here


def test_a_failure_to_write_leaves_the_store_as_it_was(store, tmp_path, monkeypatch):
    before, here = store.read_bytes(), sorted(tmp_path.iterdir())

    def full(*arguments):
        raise OSError(28, "No space left on device")

    for function in ("set_labels", "_copy"):
        with monkeypatch.context() as patch:
            patch.setattr(module, function, full)
            with pytest.raises(AgenticError, match="No space left on device"):
                relabel_store(store, [OTHER])
        assert store.read_bytes() == before and sorted(tmp_path.iterdir()) == here


def test_a_copy_is_a_copy_where_files_cannot_share_blocks(store, tmp_path, monkeypatch):
    def refused(*arguments):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(module.os, "copy_file_range", refused)
    module._copy(store, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == store.read_bytes()


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
