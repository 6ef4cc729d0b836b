"""A collection is ExoRL data, the same bytes for the same seed, however often it was stopped."""

import dataclasses
import json
import signal

import jax
import numpy as np
import pytest
from support.plane import STRIDE, Plane

from agentic.collect import CollectConfig, collect
from agentic.collect.drivers import make_driver
from agentic.dataset import load_dataset
from agentic.dataset.episodes import list_episodes
from agentic.errors import AgenticError
from agentic.interruption import Interrupted
from agentic.simulation import observations, rewards
from agentic.training import checkpoint

TASK = "cartpole_swingup"
CONFIG = CollectConfig(
    task=TASK, explorer="rnd", steps=6000, seed=3, width=8, batch_size=8, seed_steps=2000,
    update_every=50, checkpoint_every=2,
)  # fmt: skip
RANDOM = dataclasses.replace(CONFIG, explorer="random", steps=4000)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return the folder of a collection that nothing interrupted."""
    return collect(CONFIG, tmp_path_factory.mktemp("finished") / "data")


def files(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / "buffer").iterdir())}


def learned(folder, config=CONFIG):
    like = make_driver(config).state
    return jax.tree.leaves(checkpoint.load(folder, checkpoint.latest(folder), "agent", like))


def assert_same(folder, other):
    assert files(folder) == files(other)
    for a, b in zip(learned(folder), learned(other), strict=True):
        np.testing.assert_array_equal(a, b)
    ours, theirs = (
        [{k: v for k, v in line.items() if "second" not in k} for line in metrics(each)]
        for each in (folder, other)
    )
    assert ours == theirs


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def at_step(step, happen):
    def progress(done, total, note=""):
        if done == step:
            happen()

    return progress


def ctrl_c():
    signal.raise_signal(signal.SIGINT)


def power_cut():
    raise RuntimeError("power cut")


def test_the_files_are_exorl_episodes_with_the_tasks_own_reward(finished):
    paths = list_episodes(finished)
    assert [path.name for path in paths] == [f"episode_{i:06d}_1000.npz" for i in range(6)]
    for path in paths[::5]:
        with np.load(path) as stored:
            rows = {name: stored[name] for name in stored}
        shapes = {name: array.shape for name, array in rows.items()}
        assert shapes == {
            "observation": (1001, 5), "action": (1001, 1), "reward": (1001, 1),
            "discount": (1001, 1), "physics": (1001, 4),
        }  # fmt: skip
        assert not rows["action"][0].any() and rows["reward"][0] == 0
        assert np.abs(rows["action"]).max() <= 1
        # Observation, physics and action of a row belong together: the reward reads the action.
        seen = observations(TASK, rows["physics"])
        np.testing.assert_allclose(rows["observation"], seen, atol=1e-6)
        expected = rewards(TASK, rows["physics"], rows["action"])
        np.testing.assert_allclose(rows["reward"][1:, 0], expected[1:], atol=1e-6)


def test_the_folder_is_a_data_set(finished):
    data = load_dataset(finished, TASK)
    assert len(data) == 6
    returns = [record["return"] for record in metrics(finished)]
    np.testing.assert_allclose(data.returns, returns, rtol=1e-4)


@pytest.mark.parametrize(
    ("at", "event", "error", "kept"),
    [
        (2500, ctrl_c, Interrupted, 3000),  # within an episode: stops at its end, saved there
        (5000, power_cut, RuntimeError, 4000),  # no time to save: the fifth is made again
    ],
)
def test_six_episodes_are_some_episodes_then_a_stop_and_the_rest(
    finished, tmp_path, at, event, error, kept
):
    with pytest.raises(error):
        collect(CONFIG, tmp_path, progress=at_step(at, event))
    assert checkpoint.latest(tmp_path) == kept
    collect(CONFIG, tmp_path, resume=True)
    assert_same(tmp_path, finished)


def test_asking_for_more_later_equals_asking_at_first(finished, tmp_path):
    fewer = dataclasses.replace(CONFIG, steps=3000, checkpoint_every=100)
    collect(fewer, tmp_path)
    collect(CONFIG, tmp_path, resume=True)
    assert_same(tmp_path, finished)
    assert json.loads((tmp_path / "config.json").read_text())["collection"]["steps"] == 6000


def test_resuming_a_finished_collection_changes_nothing(finished):
    before = files(finished)
    collect(CONFIG, finished, resume=True)
    assert files(finished) == before
    document = (finished / "config.json").read_text()
    with pytest.raises(AgenticError, match="holds 6000 steps already; give --steps at least"):
        collect(dataclasses.replace(CONFIG, steps=5000), finished, resume=True)
    assert (finished / "config.json").read_text() == document


def test_ctrl_c_says_where_it_stopped(tmp_path):
    with pytest.raises(Interrupted, match="stopped after 2 of 4 episodes; --resume goes on"):
        collect(RANDOM, tmp_path, progress=at_step(1050, ctrl_c))
    assert len(files(tmp_path)) == 2


def test_random_actions_do_not_depend_on_how_many_step_together(tmp_path):
    for envs in (1, 4):
        collect(dataclasses.replace(RANDOM, envs=envs), tmp_path / str(envs))
    assert files(tmp_path / "1") == files(tmp_path / "4")
    # Cut off in the middle, random actions go on from the files alone.
    with pytest.raises(RuntimeError):
        collect(RANDOM, tmp_path / "cut", progress=at_step(2500, power_cut))
    collect(RANDOM, tmp_path / "cut", resume=True)
    assert files(tmp_path / "cut") == files(tmp_path / "1")
    collect(dataclasses.replace(RANDOM, seed=4), tmp_path / "other")
    assert not set(files(tmp_path / "1").values()) & set(files(tmp_path / "other").values())


def test_an_episode_that_the_agent_learned_from_is_missing(finished, tmp_path):
    for name, content in files(finished).items():
        (tmp_path / "buffer").mkdir(exist_ok=True)
        (tmp_path / "buffer" / name).write_bytes(content)
    (tmp_path / "config.json").write_text((finished / "config.json").read_text())
    (tmp_path / "checkpoints").symlink_to(finished / "checkpoints")
    (tmp_path / "buffer" / "episode_000002_1000.npz").unlink()
    more = dataclasses.replace(CONFIG, steps=7000)
    with pytest.raises(AgenticError, match=r"lacks episode_000002_1000\.npz"):
        collect(more, tmp_path, resume=True)
    (tmp_path / "buffer" / "episode_000002_1000.npz").write_bytes(b"damaged")
    with pytest.raises(AgenticError, match="cannot be read as an npz episode"):
        collect(more, tmp_path, resume=True)


def test_mistakes_about_folders_end_in_one_sentence(finished, tmp_path):
    with pytest.raises(AgenticError, match="holds data already; add --resume"):
        collect(CONFIG, finished)
    for change, words in [
        ({"explorer": "icm"}, "with explorer = rnd and this command has icm"),
        ({"task": "cartpole_balance"}, "with task = cartpole_swingup and this command has cartp"),
        ({"seed": 4}, "with seed = 3 and this command has 4"),
        ({"width": 16}, "with width = 8 and this command has 16"),
        ({"envs": 2}, "with envs = 1 and this command has 2"),
    ]:
        with pytest.raises(AgenticError, match=words):
            collect(dataclasses.replace(CONFIG, **change), finished, resume=True)
    with pytest.raises(AgenticError, match="holds no collection to resume"):
        collect(CONFIG, tmp_path / "new", resume=True)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(AgenticError, match="is not the folder of a collection"):
        collect(CONFIG, tmp_path, resume=True)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(AgenticError, match="is not valid JSON"):
        collect(CONFIG, tmp_path, resume=True)


def test_the_folder_says_everything_needed_to_repeat_it(finished, tmp_path):
    document = json.loads((finished / "config.json").read_text())
    assert CollectConfig(**document["collection"]) == CONFIG
    assert document["explorer"] == "rnd" and document["seed"] == 3
    assert {"jax", "numpy", "mujoco", "agentic"} <= document["versions"].keys()
    # Another version that goes on with it is written down, too.
    collect(dataclasses.replace(RANDOM, steps=1000), tmp_path)
    document = json.loads((tmp_path / "config.json").read_text())
    document["versions"]["mujoco"] = "2.0"
    (tmp_path / "config.json").write_text(json.dumps(document))
    collect(dataclasses.replace(RANDOM, steps=2000), tmp_path, resume=True)
    resumed = json.loads((tmp_path / "config.json").read_text())
    assert resumed["versions"]["mujoco"] == "2.0"
    assert [stage["versions"]["mujoco"] != "2.0" for stage in resumed["resumed"]] == [True]


def visited(folder):
    """Return how many cells of a 10 x 10 grid over the plane the episodes visit."""
    places = np.concatenate([np.load(path)["physics"] for path in list_episodes(folder)])
    return len(np.unique(np.clip(((places + 1) * 5).astype(int), 0, 9), axis=0))


def test_rnd_visits_more_of_the_plane_than_chance(plane, tmp_path):
    assert STRIDE * 100 > 2  # far enough to cross the plane in one episode
    config = CollectConfig(
        task=plane, explorer="rnd", steps=4000, envs=2, width=32, batch_size=64, seed_steps=400,
        update_every=1,
    )  # fmt: skip
    collect(config, tmp_path / "rnd", make_simulation=Plane)
    collect(
        dataclasses.replace(config, explorer="random"), tmp_path / "random", make_simulation=Plane
    )
    assert visited(tmp_path / "rnd") > 1.5 * visited(tmp_path / "random")


def test_a_method_with_skills_resumes_too(plane, tmp_path):
    config = CollectConfig(
        task=plane, explorer="aps", steps=400, envs=2, width=8, batch_size=16, seed_steps=100,
        update_every=20,
    )  # fmt: skip
    collect(config, tmp_path / "whole", make_simulation=Plane)
    fewer = dataclasses.replace(config, steps=200)
    collect(fewer, tmp_path / "parts", make_simulation=Plane)
    collect(config, tmp_path / "parts", resume=True, make_simulation=Plane)
    assert files(tmp_path / "parts") == files(tmp_path / "whole")
    assert len(files(tmp_path / "whole")) == 4


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"task": "cartpole_swingu"}, "unknown task 'cartpole_swingu'.*cartpole_swingup"),
        ({"explorer": "rdn"}, "explorer is 'rdn'; did you mean 'rnd'"),
        ({"explorer": "disagree"}, "did you mean 'disagreement'"),
        ({"steps": 0}, "steps is 0; it must be at least 1"),
        ({"envs": 0}, "envs is 0; it must be at least 1"),
        ({"seed": -1}, "seed is -1; it must be at least 0"),
        ({"n_step": 0}, "n_step is 0; it must be at least 1"),
        ({"discount": 1.0}, "discount is 1.0; it must be at least 0 and below 1"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; it must be positive"),
    ],
)
def test_contradictions_die_in_one_sentence(fields, words):
    with pytest.raises(AgenticError, match=words):
        dataclasses.replace(CONFIG, **fields)


def test_steps_are_rounded_up_to_whole_rounds():
    for steps, envs, episodes in [(1, 1, 1), (1000, 1, 1), (1001, 1, 2), (1001, 4, 4)]:
        config = dataclasses.replace(CONFIG, steps=steps, envs=envs)
        assert config.total_steps == 1000 * episodes
