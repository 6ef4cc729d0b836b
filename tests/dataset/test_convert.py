"""Laws of converting: the same bytes for every number of workers, options that say what is kept."""

import errno
import re

import h5py
import numpy as np
import pytest

from agentic.dataset import convert, load_dataset
from agentic.dataset.episodes import list_episodes, write_episode
from agentic.dataset.store.output import Output
from agentic.dataset.store.reading import open_arrays
from agentic.errors import AgenticError
from agentic.simulation import observations

TASK, OTHER = "cartpole_swingup", "cartpole_balance"


@pytest.mark.parametrize("tasks", [(), (TASK, OTHER)])
def test_bytes_do_not_depend_on_the_number_of_workers(tmp_path, directory, tasks):
    folder, written = directory(6, 3, 9, 5, 7, 2, 8), []
    for workers in (1, 2, 5):
        convert(folder, tmp_path / "store.h5", tasks, overwrite=True, workers=workers)
        written.append((tmp_path / "store.h5").read_bytes())
    assert written[0] == written[1] == written[2]


def test_without_a_task_a_store_holds_everything_but_labels(tmp_path, directory):
    folder, path = directory(6, 3), tmp_path / "store.h5"
    assert convert(folder, path).tasks == ()
    store, loaded = open_arrays(path), load_dataset(folder, TASK)
    assert store.labels == {} and store.domains == ["cartpole"]
    assert store.facts["control"] == "none"
    for stored, expected in (
        (store.observations, loaded.observations),
        (store.actions, loaded.actions),
        (store.physics, loaded.physics),
        (store.lengths, loaded.lengths),
    ):
        np.testing.assert_array_equal(stored, expected)
    with pytest.raises(AgenticError, match="has no rewards for cartpole_swingup or any other task"):
        load_dataset(path, TASK)
    with pytest.raises(AgenticError, match="holds episodes of cartpole, and walker_run is a task"):
        load_dataset(path, "walker_run")


def test_physics_are_dropped_on_request(tmp_path, directory):
    folder, path = directory(6, 3), tmp_path / "store.h5"
    convert(folder, path, [TASK], physics=False)
    data = load_dataset(path, TASK)
    assert data.physics is None and data[0].physics is None
    np.testing.assert_array_equal(data.rewards, load_dataset(folder, TASK).rewards)
    with pytest.raises(AgenticError, match="holds no physics to label from"):
        load_dataset(path, OTHER)


def test_returns_are_stored_and_used(tmp_path, directory):
    folder, path = directory(6, 3, 9), tmp_path / "store.h5"
    convert(folder, path, [TASK])
    np.testing.assert_array_equal(
        load_dataset(path, TASK).returns, load_dataset(folder, TASK).returns
    )
    with h5py.File(path, "r+") as file:
        assert file[f"returns/{TASK}"].dtype == np.float64
        file[f"returns/{TASK}"][1] = 5.0
    assert load_dataset(path, TASK).returns[1] == 5.0


def test_every_damaged_episode_is_named_and_left_out(tmp_path, directory):
    folder, out = directory(6, 3, 9, 5, 7), tmp_path / "store.h5"
    paths = list_episodes(folder)
    paths[0].write_bytes(b"")
    for damaged in (paths[2], paths[4]):
        content = bytearray(damaged.read_bytes())
        content[200] ^= 1  # a bit of the compressed observations: found only by reading them
        damaged.write_bytes(content)
    with pytest.raises(AgenticError, match=rf"{re.escape(str(paths[0]))}.*--skip-damaged leaves"):
        convert(folder, out)
    calls = []
    done = convert(folder, out, [TASK], progress=lambda *c: calls.append(c), skip_damaged=True)
    assert [str(p) in s for p, s in zip(paths[::2], done.skipped, strict=True)] == [True] * 3
    assert done.episodes == 2 and done.steps == 8 and calls[-1] == (2, 2)
    np.testing.assert_array_equal(load_dataset(out, TASK).lengths, [3, 5])


def test_a_name_may_tell_another_length_than_the_file_has(tmp_path, directory):
    folder, right, wrong = directory(6, 3, 9), tmp_path / "right.h5", tmp_path / "wrong.h5"
    convert(folder, right, [TASK])
    for index, path in enumerate(list_episodes(folder)):
        path.rename(path.with_name(f"episode_{index:06d}_{(6, 4, 2)[index]}.npz"))
    convert(folder, wrong, [TASK])
    assert wrong.read_bytes() == right.read_bytes()
    list_episodes(folder)[1].write_bytes(b"")
    assert convert(folder, wrong, [TASK], skip_damaged=True, overwrite=True).steps == 15


def test_episodes_of_two_domains_do_not_mix(tmp_path, rows):
    write_episode(tmp_path / "episode_0_6.npz", **rows(6, seed=0))
    write_episode(tmp_path / "episode_1_6.npz", **rows(6, seed=1, task="walker_run"))
    with pytest.raises(AgenticError, match=r"episode_1_6.*come from one domain"):
        convert(tmp_path, tmp_path / "store.h5")


@pytest.mark.parametrize(
    ("tasks", "words"),
    [([TASK], "width 6, but cartpole_swingup has width 1"), ([], "others have")],
)
def test_an_odd_first_episode_is_left_out_alone(tmp_path, rows, tasks, words):
    write_episode(tmp_path / "episode_0_6.npz", **rows(6, seed=0, task="walker_run"))
    for index in (1, 2):
        write_episode(tmp_path / f"episode_{index}_6.npz", **rows(6, seed=index))
    done = convert(tmp_path, tmp_path / "store.h5", tasks, skip_damaged=True)
    assert done.episodes == 2 and words in done.skipped[0]


@pytest.fixture
def wide(tmp_path, recorded):
    """Episodes whose observations are two features wider than the simulator's."""
    episode = recorded("walker_run", 12)
    observed = np.concatenate([episode["observations"], np.ones((13, 2))], axis=1)
    write_episode(tmp_path / "wide" / "episode_0_12.npz", **episode | {"observations": observed})
    return tmp_path / "wide"


BOTH = r"of width 26, but walker_run has width 24 .*--recompute-observations"


def test_another_width_of_observations_is_refused_or_computed_anew(tmp_path, wide, recorded):
    path = tmp_path / "store.h5"
    for refused in (
        lambda: load_dataset(wide, "walker_run"),
        lambda: convert(wide, path, ["walker_run"]),
    ):
        with pytest.raises(AgenticError, match=BOTH):
            refused()
    with pytest.raises(AgenticError, match=r"widths \(26, 6, 18\), which no task.*--recompute"):
        convert(wide, path)
    convert(wide, path, ["walker_run"], recompute_observations=True)
    loaded = load_dataset(wide, "walker_run", recompute_observations=True)
    expected = recorded("walker_run", 12)["observations"][:-1]
    for data in (load_dataset(path, "walker_run"), loaded):
        np.testing.assert_allclose(data.observations[0], expected, atol=1e-6)
    assert loaded.fingerprint == load_dataset(path, "walker_run").fingerprint


def test_a_store_of_another_width_is_refused_or_observed_anew(tmp_path, recorded, directory):
    write_episode(tmp_path / "one" / "episode_0_12.npz", **recorded("walker_run", 12))
    path = tmp_path / "store.h5"
    convert(tmp_path / "one", path, ["walker_run"])
    plain = load_dataset(path, "walker_run")
    # Copies, because the file's bytes change places below.
    before, states = np.array(plain.observations), np.array(plain.physics[0, :-1])
    with h5py.File(path, "r+") as file:
        for key in ("observations", "last_observations"):
            values = file[key][()]
            del file[key]
            file[key] = np.concatenate([values, values[..., :2]], axis=-1)
        file["last_observations"].attrs["sha256"] = np.bytes_("")
    with pytest.raises(AgenticError, match=BOTH):
        load_dataset(path, "walker_run")
    data = load_dataset(path, "walker_run", recompute_observations=True)
    np.testing.assert_array_equal(data.observations[0], observations("walker_run", states))
    assert data.fingerprint != plain.fingerprint or (data.observations == before).all()


class FailingOutput(Output):
    """A file whose disk fails once: at the second write, or when it is first waited for."""

    fails_at = "write"
    count = 0

    def fail(self, what: str, at: int) -> None:
        if what == self.fails_at:
            type(self).count += 1
            if self.count == at:
                raise OSError(errno.EIO, "Input/output error")

    def write_at(self, offset, data):
        self.fail("write", at=2)
        return super().write_at(offset, data)

    def sync(self):
        self.fail("sync", at=1)
        super().sync()


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(("what", "sync_every"), [("write", 2**24), ("sync", 0)])
def test_a_failing_disk_is_one_sentence_and_leaves_nothing(
    tmp_path, directory, workers, what, sync_every
):
    folder, out = directory(6, 3, 9, 5, 7, 2, 8), tmp_path / "store.h5"
    here = sorted(tmp_path.iterdir())
    kind = type("Failing", (FailingOutput,), {"fails_at": what, "sync_every": sync_every})
    with pytest.raises(AgenticError, match=r"store\.h5 could not be written \(Input/output error"):
        convert(folder, out, workers=workers, output_type=kind)
    assert kind.count > 0 and sorted(tmp_path.iterdir()) == here
    assert convert(folder, out, workers=workers).episodes == 7


class WatchedOutput(Output):
    """Counts what was written before it was closed, and in all."""

    writes = 0
    before_closing = None

    def write_at(self, offset, data):
        type(self).writes += 1
        return super().write_at(offset, data)

    def close(self):
        if self.before_closing is None:
            type(self).before_closing = self.writes
        super().close()


def test_nothing_is_written_after_an_interrupted_conversion_has_ended(tmp_path, directory):
    """Threads that read ahead are waited for: a closed file's number may be another file's."""
    folder, out = directory(*[400] * 20), tmp_path / "store.h5"

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        convert(folder, out, progress=interrupt, workers=5, output_type=WatchedOutput)
    caught.value.with_traceback(None)
    assert WatchedOutput.writes > 0 and WatchedOutput.before_closing == WatchedOutput.writes
