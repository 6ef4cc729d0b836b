"""Laws of the data set: padding is masked, statistics see existing steps only, all bytes count."""

import dataclasses
import importlib
import pkgutil

import numpy as np
import pytest

import agentic.dataset
from agentic.dataset import Dataset, load_dataset, sample_directory
from agentic.errors import AgenticError
from agentic.trajectory import Trajectory

TASK = "cartpole_swingup"


def trajectories(*lengths: int) -> list[Trajectory]:
    rng = np.random.default_rng(0)
    return [
        Trajectory(
            observations=rng.normal(3.0, 2.0, (steps, 5)).astype(np.float32),
            actions=rng.uniform(-1, 1, (steps, 1)).astype(np.float32),
            rewards=rng.uniform(size=steps).astype(np.float32),
            physics=rng.normal(size=(steps + 1, 4)),
        )
        for steps in lengths
    ]


def assert_equal(one: Trajectory, other: Trajectory) -> None:
    for field in dataclasses.fields(Trajectory):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


def test_unequal_lengths_are_padded_with_zeros_and_masked():
    episodes = trajectories(3, 5, 1)
    data = Dataset.from_trajectories(TASK, episodes)
    assert data.observations.shape == (3, 5, 5) and data.physics.shape == (3, 6, 4)
    np.testing.assert_array_equal(data.lengths, [3, 5, 1])
    mask = data.mask(np.arange(3))
    np.testing.assert_array_equal(mask, [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]])
    for array in (data.observations, data.actions, data.rewards[..., None]):
        assert not array[~mask].any() and array[mask].all()
    np.testing.assert_array_equal(data.mask(np.array([[2], [1]])), mask[[[2], [1]]])
    np.testing.assert_array_equal(data.mask(1), mask[1])


def test_indexing_gives_back_what_went_in_and_nothing_of_the_padding():
    episodes = trajectories(3, 5, 1)
    data = Dataset.from_trajectories(TASK, episodes)
    for index, episode in enumerate(episodes):
        assert_equal(data[index], episode)
        assert_equal(data[index - 3], episode)
        assert data.returns[index] == pytest.approx(episode.total_reward, abs=1e-12)
    assert len(data) == 3 and data.returns.dtype == np.float64
    for index in (3, -4):
        with pytest.raises(IndexError):
            data[index]


def test_statistics_are_those_of_all_existing_steps_together():
    episodes = trajectories(3, 50, 1, 20)
    together = np.concatenate([episode.observations for episode in episodes]).astype(np.float64)
    mean, std = Dataset.from_trajectories(TASK, episodes).observation_statistics()
    assert mean.dtype == std.dtype == np.float32
    np.testing.assert_allclose(mean, together.mean(0), rtol=1e-6)
    np.testing.assert_allclose(std, together.std(0), rtol=1e-6)


def test_any_change_of_what_training_reads_changes_the_fingerprint():
    def fingerprint(episodes: list[Trajectory], task: str = TASK) -> str:
        return Dataset.from_trajectories(task, episodes).fingerprint

    original = fingerprint(trajectories(3, 5))
    assert fingerprint(trajectories(3, 5)) == original
    seen = {original, fingerprint(trajectories(3, 5), "cartpole_balance")}
    for field in ("observations", "actions", "rewards"):
        episodes = trajectories(3, 5)
        getattr(episodes[1], field)[2] *= 0.5
        seen.add(fingerprint(episodes))
    seen.add(fingerprint(trajectories(3, 5)[::-1]))
    seen.add(fingerprint(trajectories(3)))
    # The same numbers cut into other episodes are other data.
    still = [Trajectory(np.zeros((t, 5)), np.zeros((t, 1)), np.zeros(t)) for t in (8, 4, 4)]
    seen |= {fingerprint(still[:1]), fingerprint(still[1:])}
    assert len(seen) == 9


def test_illegal_and_no_trajectories_are_refused():
    episodes = trajectories(3, 5)
    episodes[1].actions[0] = 2.0
    with pytest.raises(AgenticError, match="trajectory 1 has an action of size 2"):
        Dataset.from_trajectories(TASK, episodes)
    with pytest.raises(AgenticError, match="no trajectories"):
        Dataset.from_trajectories(TASK, [])


def test_a_directory_gives_what_its_trajectories_give(directory):
    folder, calls = directory(6, 3, 9), []
    data = load_dataset(folder, TASK, progress=lambda *call: calls.append(call))
    rebuilt = Dataset.from_trajectories(TASK, list(data), source=data.source)
    for field in dataclasses.fields(Dataset):
        np.testing.assert_array_equal(getattr(data, field.name), getattr(rebuilt, field.name))
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert data.source == str(folder) and data.control == "action" and data.task == TASK
    np.testing.assert_array_equal(data.lengths, [6, 3, 9])


def test_episodes_are_loaded_with_a_hint_for_who_listens(caplog):
    with caplog.at_level("INFO", "agentic"):
        data = load_dataset(sample_directory(), "cartpole_swingup")
    [hint] = caplog.messages
    assert hint == f"hint: agentic data convert {sample_directory()} OUT.h5 makes loading fast"
    assert len(repr(data)) < 200 and "50 trajectories of cartpole_swingup" in repr(data)


def test_no_module_takes_the_name_of_what_the_package_offers():
    # An imported module becomes an attribute of its package, in the place of what is offered there.
    modules = {module.name for module in pkgutil.iter_modules(agentic.dataset.__path__)}
    for name in modules:
        importlib.import_module(f"agentic.dataset.{name}")
    assert not modules & set(agentic.dataset.__all__)
    assert all(callable(getattr(agentic.dataset, name)) for name in agentic.dataset.__all__)
