"""Laws: a family's data set labelled for a code has the environment's rewards, stored or loaded."""

import h5py
import numpy as np
import pytest

from agentic.dataset import (
    Dataset,
    FamilyDataset,
    convert,
    describe_data,
    load_dataset,
    relabel_store,
    verify,
)
from agentic.dataset.episodes import write_episode
from agentic.dataset.store.reading import is_labelled
from agentic.errors import AgenticError
from agentic.simulation import make_simulation
from agentic.simulation.families import get_family

GOAL, MAZE = "point_mass_goal", "point_mass_maze_goal"
LIST = "point_mass_maze_reach_top_left,point_mass_maze_reach_bottom_right"
MODES = ["action", "zero"]


@pytest.fixture
def folder(tmp_path):
    """Return a function that plays a family's episodes of unequal length and knows their rewards.

    It returns the folder, the code and the environment's rewards of each episode.
    """

    def play(name):
        simulation, rng = make_simulation(name, num=1), np.random.default_rng(3)
        code, rewards = get_family(name).draw(rng, 1), []
        for index, steps in enumerate((6, 3, 9)):
            observations = [simulation.reset([0], [(1, index)], code)[0]]
            physics, actions, own = [simulation.physics[0]], [np.zeros(2, np.float32)], [0.0]
            for _ in range(steps):
                actions.append(rng.uniform(-1, 1, 2).astype(np.float32))
                observed, reward, _ = simulation.step(actions[-1][None])
                observations.append(observed[0])
                physics.append(simulation.physics[0])
                own.append(reward[0])
            write_episode(
                tmp_path / "buffer" / f"episode_{index:06d}_{steps}.npz",
                observations=np.stack(observations), actions=np.stack(actions),
                rewards=np.array(own), physics=np.stack(physics),
            )  # fmt: skip
            rewards.append(own[1:])
        return tmp_path / "buffer", code[0], rewards

    return play


def assert_same(one: FamilyDataset, other: FamilyDataset):
    assert type(one) is type(other) is FamilyDataset
    for name in ("observations", "actions", "features", "lengths", "physics"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), strict=True)
    for name in ("task", "control", "fingerprint"):
        assert getattr(one, name) == getattr(other, name)


@pytest.mark.parametrize("name", [GOAL, "point_mass_goal_sparse", MAZE])
def test_labels_for_a_code_are_the_rewards_of_the_environment(name, folder):
    path, code, rewards = folder(name)
    data = load_dataset(path, name)
    labelled = data.labelled(code)
    assert isinstance(labelled, Dataset) and labelled.rewards.dtype == np.float32
    for index, own in enumerate(rewards):
        np.testing.assert_allclose(labelled[index].rewards, own, rtol=0, atol=1e-6)
        assert not labelled.rewards[index, len(own) :].any()
        assert not data.features[index, len(own) :].any()
    other = data.labelled(code + np.float32(0.1))
    assert other.fingerprint not in (labelled.fingerprint, data.fingerprint)
    one, two = data.observation_statistics(), labelled.observation_statistics()
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(data.mask(np.arange(3)), labelled.mask(np.arange(3)))
    assert len(data) == 3 and data.features.dtype == np.float32


@pytest.mark.parametrize("control", MODES)
def test_a_store_equals_the_directory_converted_or_relabelled(tmp_path, folder, control):
    path, _, _ = folder(MAZE)
    loaded = load_dataset(path, MAZE, control)
    convert(path, tmp_path / "a.h5", [MAZE], control)
    convert(path, tmp_path / "b.h5")
    relabel_store(tmp_path / "b.h5", [MAZE], control)
    for store in ("a.h5", "b.h5"):
        stored = load_dataset(tmp_path / store, MAZE, control)
        assert_same(stored, loaded)
        assert isinstance(stored.features, np.memmap) and stored.features.mode == "r"
        assert verify(tmp_path / store).problems == ()
        assert is_labelled(tmp_path / store, MAZE, control)
        assert not is_labelled(tmp_path / store, MAZE, MODES[control == "action"])
    modes = [load_dataset(path, MAZE, mode).features for mode in MODES]
    assert np.ptp(modes[0] - modes[1]) > 0.01


def test_a_list_labelled_for_one_of_its_tasks_is_that_tasks_data_set_bit_for_bit(folder):
    path, _, _ = folder(MAZE)
    data = load_dataset(path, LIST)
    for code, task in zip(np.eye(2), LIST.split(","), strict=True):
        np.testing.assert_array_equal(data.labelled(code).rewards, load_dataset(path, task).rewards)


def test_families_of_other_rewards_share_their_features(tmp_path, folder):
    path, _, _ = folder(GOAL)
    store, tasks = tmp_path / "store.h5", [GOAL, "point_mass_goal_sparse", "point_mass_easy"]
    convert(path, store, tasks)
    assert relabel_store(store, tasks).tasks == (GOAL, "point_mass_easy")
    with h5py.File(store) as file:
        assert list(file["features"]) == ["x,y"] and list(file["rewards"]) == ["point_mass_easy"]
        assert file["features/x,y"].shape == (3, 9, 2)
    for name in (GOAL, "point_mass_goal_sparse", "point_mass_goal:0.02"):
        assert_same(load_dataset(store, name), load_dataset(path, name))
    assert load_dataset(store, GOAL).fingerprint != load_dataset(store, tasks[1]).fingerprint
    assert describe_data(store).facts["shapes"]["features x,y"] == (3, 9, 2)


def test_relabelling_adds_features_beside_rewards_and_replaces_them(tmp_path, folder):
    path, _, _ = folder(MAZE)
    store, task = tmp_path / "store.h5", LIST.split(",")[0]
    convert(path, store, [task, MAZE])
    before = load_dataset(store, task)
    relabel_store(store, [MAZE, LIST], "zero")
    after = load_dataset(store, task)
    assert after.fingerprint == before.fingerprint and after.control == "action"
    assert_same(load_dataset(store, MAZE, "zero"), load_dataset(path, MAZE, "zero"))
    assert_same(load_dataset(store, LIST, "zero"), load_dataset(path, LIST, "zero"))
    with pytest.raises(AgenticError, match="labelled with control 'zero' and 'action' was asked"):
        load_dataset(store, MAZE, "action")


@pytest.mark.parametrize(
    ("index", "value", "words"),
    [
        ((1, 0, 0), 7.0, ["other features x,y than it was written with"]),
        ((0, 8, 1), 1.0, ["episode 0 has features x,y other than zero behind its last step"]),
        ((0, 0, 1), np.nan, ["episode 0 has features x,y that are not finite", "other features"]),
    ],
)
def test_every_changed_feature_is_named(tmp_path, folder, index, value, words):
    store = tmp_path / "store.h5"
    convert(folder(GOAL)[0], store, [GOAL])
    with h5py.File(store, "r+") as file:
        file["features/x,y"][index] = value
    problems = verify(store).problems
    assert len(problems) == len(words)
    assert all(word in problem for word, problem in zip(words, problems, strict=True))


def test_mistakes_are_met_with_a_sentence(tmp_path, folder):
    path, _, _ = folder(GOAL)
    convert(path, tmp_path / "store.h5")
    data = load_dataset(path, GOAL)
    for ask, sentence in (
        (lambda: data.rewards, "point_mass_goal is a task family, whose rewards and returns"),
        (lambda: data.returns, "depend on a code"),
        (lambda: data.every(2), "stride is 2; for the task family"),
        (lambda: data.labelled([0.1]), r"codes have shape \(1,\)"),
        (lambda: load_dataset(tmp_path / "store.h5", GOAL), "no features for point_mass_goal; run"),
        (lambda: load_dataset(path, "walker_velocity"), "width"),
        (lambda: relabel_store(tmp_path / "store.h5", ["walker_velocity"]), "walker_velocity is"),
        (lambda: describe_data(path, GOAL), "a task family, which has other returns"),
    ):
        with pytest.raises(AgenticError, match=sentence):
            ask()
    assert data.every(1) is data and "3 trajectories for point_mass_goal" in repr(data)
