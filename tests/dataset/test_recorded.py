"""What others recorded is imported where it is the task's, and refused where it is not."""

import gc
import json
import warnings

import gymnasium
import h5py
import numpy as np
import pytest
from gymnasium import wrappers

from agentic import AgenticError
from agentic.dataset import load_dataset, verify
from agentic.dataset.episodes import write_episode
from agentic.dataset.exchange.minari import export_minari, import_minari
from agentic.dataset.exchange.recorded import HARMLESS, check_wrappers

minari = pytest.importorskip("minari")
TASK = "cartpole_swingup"


@pytest.fixture
def record(tmp_path, monkeypatch):
    """Return a function that records random actions through a wrapper with Minari's collector."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))

    def play(name: str, wrap=lambda env: env, episodes: int = 3, steps: int = 40):
        env = minari.DataCollector(wrap(gymnasium.make(f"agentic/{TASK}-v0")))
        rng = np.random.default_rng(0)
        for _ in range(episodes):
            env.reset()
            for _ in range(steps):
                env.step(rng.uniform(-1, 1, 1).astype(np.float32))
        with warnings.catch_warnings():
            # Minari leaves its temporary folders to the garbage collector, which says so.
            warnings.simplefilter("ignore", ResourceWarning)
            env.create_dataset(
                f"{name}/x-v0", author="a", author_email="a", algorithm_name="a", description="a",
                code_permalink="a", eval_env=f"agentic/{TASK}-v0",
            )  # fmt: skip
            env.close()
            del env
            gc.collect()
        return tmp_path / "minari" / name / "x-v0"

    return play


def change_spec(folder, **fields):
    """Change what a data set says of its environment."""
    path = folder / "data" / "metadata.json"
    metadata = json.loads(path.read_text())
    spec = json.loads(metadata["env_spec"]) | fields
    path.write_text(json.dumps(metadata | {"env_spec": json.dumps(spec)}))


CHANGING = {
    "NormalizeObservation": wrappers.NormalizeObservation,
    "StickyAction": lambda env: wrappers.StickyAction(env, 0.25),
    "NormalizeReward": wrappers.NormalizeReward,
    "RepeatAction": lambda env: wrappers.RepeatAction(env, 2),
}


@pytest.mark.parametrize("name", CHANGING)
def test_wrappers_that_may_change_data_are_refused_by_name(record, tmp_path, name):
    folder = record(name, CHANGING[name])
    with pytest.raises(AgenticError, match=rf"was recorded through {name}, which may change"):
        import_minari(folder, tmp_path / "store.h5")
    assert not (tmp_path / "store.h5").exists()


# By their steps alone, as if nobody had said what they were recorded through.
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("NormalizeObservation", "observations that cartpole_swingup does not show: they are off"),
        ("StickyAction", "observations that cartpole_swingup does not show: they are off"),
        ("NormalizeReward", "rewards that cartpole_swingup does not give, such as"),
        ("RepeatAction", "observations that cartpole_swingup does not show: they are off"),
    ],
)
def test_steps_that_the_simulator_does_not_show_are_refused(record, tmp_path, name, words):
    folder = record(name, CHANGING[name])
    change_spec(folder, additional_wrappers=[])
    with pytest.raises(AgenticError, match=words):
        import_minari(folder, tmp_path / "store.h5")


def test_harmless_wrappers_pass(record, tmp_path):
    def wrap(env: gymnasium.Env) -> gymnasium.Env:
        env = wrappers.RecordEpisodeStatistics(wrappers.TimeLimit(env, 40))
        return wrappers.ClipAction(env)

    import_minari(record("harmless", wrap), tmp_path / "store.h5")
    data = load_dataset(tmp_path / "store.h5", TASK)
    np.testing.assert_array_equal(data.lengths, [40, 40, 40])
    assert verify(tmp_path / "store.h5").problems == ()


def test_an_environment_of_others_is_compared_where_it_begins_as_ours(record, tmp_path):
    """Wrappers with a function among their arguments leave no description in the data set."""
    sticky, normalised = (
        record(name, CHANGING[name]) for name in ("StickyAction", "NormalizeObservation")
    )
    plain, out = record("plain"), tmp_path / "store.h5"
    for folder in (sticky, normalised, plain):
        change_spec(folder, id="mine/env-v0", additional_wrappers=[])
        with pytest.raises(AgenticError, match="does not say which task"):
            import_minari(folder, out)
    assert import_minari(plain, out, TASK).warnings == ()
    with pytest.raises(AgenticError, match="observations that cartpole_swingup does not show"):
        import_minari(sticky, out, TASK, overwrite=True)
    [warning] = import_minari(normalised, out, TASK, overwrite=True).warnings
    assert "could not be compared with cartpole_swingup" in warning


def test_harmless_wrappers_have_the_names_of_gymnasium():
    assert set(dir(wrappers)) | {"OrderEnforcing", "PassiveEnvChecker"} >= HARMLESS


@pytest.mark.parametrize("spec", ["[", "[]", '{"additional_wrappers": [1]}', '"x"'])
def test_a_description_that_cannot_be_read_is_refused(spec):
    with pytest.raises(AgenticError, match="environment that cannot be read"):
        check_wrappers(spec, "it")
    check_wrappers(None, "it")


@pytest.mark.parametrize("task", [TASK, "walker_run", "quadruped_run", "jaco_reach_top_left"])
def test_with_states_every_part_is_compared(tmp_path, recorded, task):
    episode, out = recorded(task, 40), tmp_path / "store.h5"
    write_episode(tmp_path / "one" / "episode_000000_40.npz", **episode)
    place = export_minari(tmp_path / "one", tmp_path / "root", task).path
    import_minari(place, out)
    for key, change, words in (
        ("observations", lambda rows: rows * 1.5 + 1, "observations that"),
        ("rewards", lambda rows: rows + 0.5, "rewards that"),
        ("actions", lambda rows: np.roll(rows, 1, axis=0), "actions that do not lead"),
    ):
        with h5py.File(place / "data" / "main_data.hdf5", "r+") as file:
            rows = file["episode_0"][key]
            before = rows[()]
            rows[...] = change(before)
        with pytest.raises(AgenticError, match=words):
            import_minari(place, out, overwrite=True)
        with h5py.File(place / "data" / "main_data.hdf5", "r+") as file:
            file["episode_0"][key][...] = before
