"""Round trips: a store to another format and back is the same trajectories."""

import dataclasses
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from agentic import simulation
from agentic.dataset import Dataset, convert, load_dataset, verify
from agentic.dataset.episodes import list_episodes, write_episode
from agentic.dataset.exchange.exorl import export_exorl
from agentic.dataset.exchange.minari import export_minari, find_minari, import_minari
from agentic.errors import AgenticError

TASK, OTHER = "cartpole_swingup", "cartpole_balance"


@pytest.fixture
def store(tmp_path, directory):
    path = tmp_path / "store.h5"
    convert(directory(6, 3, 9), path, [TASK], control="zero")
    return path


def assert_equal(one: Dataset, other: Dataset) -> None:
    for field in dataclasses.fields(Dataset):
        if field.name != "source":
            np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


def test_store_to_exorl_and_back(store, tmp_path):
    out, calls = tmp_path / "npz", []
    done = export_exorl(store, out, progress=lambda *c: calls.append(c))
    assert done == (out, 3, TASK, "stored") and calls == [(1, 3), (2, 3), (3, 3)]
    assert [path.name for path in list_episodes(out)] == [
        "episode_000000_6.npz",
        "episode_000001_3.npz",
        "episode_000002_9.npz",
    ]
    convert(out, tmp_path / "again.h5", [TASK], control="zero")
    assert_equal(
        load_dataset(store, TASK, "zero"), load_dataset(tmp_path / "again.h5", TASK, "zero")
    )


# What quadrupeds feel of forces, and jaco's target, no state tells.
@pytest.mark.parametrize("task", ["walker_run", "quadruped_run", "jaco_reach_top_left"])
def test_exorl_files_are_those_that_a_simulator_would_have_written(tmp_path, recorded, task):
    episode = recorded(task, 12)
    folder, store = tmp_path / "one", tmp_path / "one.h5"
    write_episode(folder / "episode_000000_12.npz", **episode)
    convert(folder, store, [task])
    for source, out in ((folder, tmp_path / "a"), (store, tmp_path / "b")):
        assert export_exorl(source, out, task).last_observations == "stored"
        with (
            np.load(folder / "episode_000000_12.npz") as before,
            np.load(out / "episode_000000_12.npz") as after,
        ):
            assert before.files == after.files
            for key in before.files:
                if key == "reward":  # computed from physics, others are copied
                    np.testing.assert_allclose(after[key], before[key], atol=1e-6)
                else:
                    np.testing.assert_array_equal(after[key], before[key])


def test_minari_keeps_the_last_observation(tmp_path, recorded):
    pytest.importorskip("minari")
    episode = recorded("quadruped_run", 12)
    write_episode(tmp_path / "one" / "episode_000000_12.npz", **episode)
    export_minari(tmp_path / "one", tmp_path / "root", "quadruped_run")
    import_minari(tmp_path / "root", tmp_path / "again.h5")
    export_exorl(tmp_path / "again.h5", tmp_path / "again")
    with np.load(tmp_path / "again" / "episode_000000_12.npz") as after:
        np.testing.assert_array_equal(
            after["observation"], episode["observations"].astype(np.float32)
        )


def test_what_a_store_does_not_hold_is_computed_and_said(store, tmp_path):
    with h5py.File(store, "r+") as file:
        del file["last_observations"]
    assert verify(store).problems == ()
    done = export_exorl(store, tmp_path / "npz")
    assert done.last_observations == "computed from physics"
    data = load_dataset(store, TASK, "zero")
    with np.load(tmp_path / "npz" / "episode_000001_3.npz") as after:
        expected = simulation.observations(TASK, data[1].physics[-1:])[0]
        np.testing.assert_array_equal(after["observation"][-1], expected)


def test_store_to_minari_and_back(store, tmp_path, monkeypatch):
    minari = pytest.importorskip("minari")
    root, calls = tmp_path / "root", []
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MINARI_DATASETS_PATH", raising=False)
    done = export_minari(store, root, progress=lambda *c: calls.append(c))
    assert done == (root / "agentic" / f"{TASK}-v0", 3, TASK, "stored") and calls == [(3, 3)]
    data = load_dataset(store, TASK, "zero")
    for source in (root, done.path, done.path / "data"):
        assert find_minari(source) == done.path / "data"
        again = tmp_path / "again.h5"
        assert import_minari(source, again, overwrite=True).tasks == (TASK,)
        assert_equal(data, load_dataset(again, TASK, "zero"))
    assert not (tmp_path / "home").exists()  # Minari's own place is only for who asks
    # What Minari itself sees, by name.
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))
    assert find_minari(f"agentic/{TASK}-v0") == done.path / "data"
    theirs = minari.load_dataset(f"agentic/{TASK}-v0")
    assert theirs.total_episodes == 3 and theirs.total_steps == 18
    for index, episode in enumerate(theirs.iterate_episodes()):
        np.testing.assert_array_equal(episode.observations[:-1], data[index].observations)
        np.testing.assert_array_equal(episode.actions, data[index].actions)
        np.testing.assert_array_equal(episode.rewards, data[index].rewards)
        np.testing.assert_array_equal(episode.infos["physics"], data[index].physics)
        assert episode.truncations[-1] and episode.truncations.sum() == 1
        assert not episode.terminations.any()
    env = theirs.recover_environment()
    assert env.reset(seed=0)[0].shape == (5,)


def test_minari_below_a_relative_path(store, tmp_path, monkeypatch):
    pytest.importorskip("minari")
    monkeypatch.chdir(tmp_path)
    export_minari(store, Path("root"))
    assert import_minari(Path("root"), Path("again.h5")).tasks == (TASK,)
    assert_equal(load_dataset(store, TASK, "zero"), load_dataset("again.h5", TASK, "zero"))


def test_minari_without_physics_is_a_store_without(store, tmp_path):
    pytest.importorskip("minari")
    convert(tmp_path / "buffer", store, [TASK], physics=False, overwrite=True)
    with h5py.File(store, "r+") as file:
        del file["last_observations"]
    done = export_minari(store, tmp_path / "root", identifier="mine/test-v3")
    assert done.last_observations == "copies of those before them"
    import_minari(tmp_path / "root" / "mine" / "test-v3", tmp_path / "again.h5")
    again = load_dataset(tmp_path / "again.h5", TASK)
    assert again.physics is None
    np.testing.assert_array_equal(again.rewards, load_dataset(store, TASK).rewards)
    with pytest.raises(AgenticError, match="holds no physics, which ExoRL's format needs"):
        export_exorl(store, tmp_path / "npz")
    assert not (tmp_path / "npz").exists()


def test_an_interrupted_export_leaves_nothing(store, tmp_path):
    pytest.importorskip("minari")

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    for export in (export_exorl, export_minari):
        with pytest.raises(KeyboardInterrupt):
            export(store, tmp_path / "out", progress=interrupt)
        left = [path for path in (tmp_path / "out").rglob("*") if not path.is_dir()]
        assert left == []


def test_mistakes_are_one_sentence(store, tmp_path):
    pytest.importorskip("minari")
    buffer, out = tmp_path / "buffer", tmp_path / "out"
    for work, rule in (
        (lambda: export_exorl(buffer, out), "name the --task whose rewards to export"),
        (lambda: export_exorl(store, buffer), "buffer exists already"),
        (lambda: export_exorl(store, out, OTHER), f"relabel .* --task {OTHER}"),
        (lambda: export_minari(store, out, identifier="../x-v0"), "the name is '../x-v0'"),
        (lambda: import_minari("nobody/knows-v0", tmp_path / "a.h5"), "minari download nobody"),
        (lambda: import_minari(buffer, store), "store.h5 exists already"),
    ):
        with pytest.raises(AgenticError, match=rule):
            work()
    convert(buffer, store, overwrite=True)
    with pytest.raises(AgenticError, match="has no rewards yet; `agentic data relabel"):
        export_exorl(store, out)
    convert(buffer, store, [TASK, OTHER], overwrite=True)
    with pytest.raises(AgenticError, match=f"rewards for {OTHER}, {TASK}; name one"):
        export_exorl(store, out)


def test_a_minari_data_set_that_a_store_cannot_hold_is_refused(store, tmp_path):
    pytest.importorskip("minari")
    export_minari(store, tmp_path / "root")
    place, out = tmp_path / "root" / "agentic" / f"{TASK}-v0", tmp_path / "again.h5"
    with pytest.raises(AgenticError, match=r"observations of shape \(5,\); walker_run has \(24,\)"):
        import_minari(place, out, "walker_run")
    shutil.copytree(place, tmp_path / "root" / "other-v0")
    with pytest.raises(AgenticError, match="holds 2 Minari data sets; name one of"):
        import_minari(tmp_path / "root", out)
    metadata = place / "data" / "metadata.json"
    whole = metadata.read_text()
    metadata.write_text(whole.replace("agentic/cartpole_swingup", "somewhere/else"))
    with pytest.raises(AgenticError, match="does not say which task"):
        import_minari(place, out)
    assert import_minari(place, out, TASK).episodes == 3
    metadata.write_text(whole)
    (place / "data" / "main_data.hdf5").write_bytes(b"damaged")
    with pytest.raises(AgenticError, match="cannot be read as a Minari data set"):
        import_minari(place, out, overwrite=True)
